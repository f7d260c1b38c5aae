"""Logging in, the tokens that are kept, and what happens when they are not accepted."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.cli.conftest import url
from tests.cli.terminal import Cli
from tests.e2e.driver import Driver
from tests.stack import PASSWORD, ROOT, Stack

pytestmark = pytest.mark.e2e


def kept(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "secflow" / "config.json").read_text())
    return found


def change(home: Path, **values: str) -> None:
    """Other values in the only context that is kept."""
    found = kept(home)
    [name] = found["contexts"]
    found["contexts"][name] |= values
    (home / "secflow" / "config.json").write_text(json.dumps(found))


@pytest.fixture
def own(tmp_path: Path, stack: Stack) -> Cli:
    """A home of the test's own, logged in."""
    found = Cli(tmp_path)
    found.run("login", url(stack), "-u", "admin", "--password-stdin", stdin=f"{PASSWORD}\n").ok()
    return found


def test_a_token_that_cannot_be_one_is_refused_and_not_shown(tmp_path: Path, stack: Stack) -> None:
    for damaged in ("Bearer secret", "secrét", "sec\tret"):
        done = Cli(tmp_path).run("login", url(stack), "--token-stdin", stdin=f"{damaged}\n")
        assert "sec" not in done.failed(2, "standard input holds no token").replace("secflow", "")
    assert not (tmp_path / "secflow" / "config.json").exists()


def test_a_kept_token_that_no_header_may_hold_is_not_shown(own: Cli) -> None:
    change(own.home, access="hidden\nhidden", refresh="")

    assert "hidden" not in own.run("ps").failed(2, "the token has characters that HTTP does not allow")


def test_a_person_is_asked_and_the_password_is_not_shown(tmp_path: Path, stack: Stack) -> None:
    with Cli(tmp_path).terminal("login") as terminal:
        terminal.wait_for("Server")
        terminal.type(f"{url(stack)}\n")
        terminal.wait_for("User")
        terminal.type("admin\n")
        terminal.wait_for("Password of admin: ")
        terminal.type(f"{PASSWORD}\n")
        code = terminal.end()

    assert code == 0
    assert f"Logged in at {url(stack)} as admin" in terminal.text
    assert PASSWORD not in terminal.text
    assert stat.S_IMODE((tmp_path / "secflow" / "config.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secflow").stat().st_mode) == 0o700


def test_the_password_is_kept_nowhere_and_no_token_is_printed(own: Cli, stack: Stack) -> None:
    [context] = kept(own.home)["contexts"].values()
    commands = (
        ["whoami"],
        ["whoami", "-o", "json"],
        ["context", "list"],
        ["context", "list", "-o", "json"],
        ["ps"],
        ["version"],
    )

    said = "".join(done.out + done.err for done in (own.run(*command) for command in commands))

    assert PASSWORD not in json.dumps(kept(own.home))
    assert context["access"] not in said
    assert context["refresh"] not in said


def test_a_wrong_password_is_code_6_and_keeps_nothing(tmp_path: Path, stack: Stack) -> None:
    done = Cli(tmp_path).run("login", url(stack), "-u", "admin", "--password-stdin", stdin="wrong\n")

    done.failed(6, "does not accept this name and password")
    assert not (tmp_path / "secflow" / "config.json").exists()


def test_the_local_stand_is_found_by_its_files(tmp_path: Path, stack: Stack) -> None:
    cli = Cli(tmp_path, {"DATA_DIR": str(stack.folder)})

    said = cli.run("login", "--local").err
    whoami = cli.run("whoami", "-o", "json").json

    assert f"Logged in at {url(stack)} as admin (context local)." in said
    assert PASSWORD not in said
    assert (whoami["username"], whoami["context"], whoami["roles"]) == ("admin", "local", ["admin"])


def test_without_a_local_stand_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = Cli(tmp_path, {"DATA_DIR": str(tmp_path)}).run("login", "--local")

    done.failed(5, "no local stand of yours runs", "make quickstart")


def test_an_expired_access_token_is_renewed_once_for_all_commands(own: Cli) -> None:
    change(own.home, access=_expired())
    before = kept(own.home)

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _: own.run("ps").code, range(4)))

    assert codes == [0, 0, 0, 0]
    [old], [new] = before["contexts"].values(), kept(own.home)["contexts"].values()
    assert old["refresh"] != new["refresh"]
    assert own.run("ps").code == 0


def test_a_token_that_the_server_refuses_is_renewed_too(own: Cli) -> None:
    [name] = kept(own.home)["contexts"]
    change(own.home, access="not.a.token")

    own.run("ps").ok()

    assert kept(own.home)["contexts"][name]["access"] != "not.a.token"


def test_when_nothing_can_be_renewed_it_says_log_in(own: Cli) -> None:
    change(own.home, access=_expired(), refresh=_expired())

    own.run("ps").failed(6, "Run `secflow login`")


def test_logging_out_ends_the_login_here_and_there(own: Cli, driver: Driver) -> None:
    [context] = kept(own.home)["contexts"].values()

    own.run("logout").ok()

    own.run("whoami").failed(6, "not logged in")
    refused = driver._send("POST", "/api/token/refresh/", {"refresh": context["refresh"]}, {})
    assert refused.status == 401


def test_a_token_of_the_environment_goes_before_the_kept_one(own: Cli, stack: Stack) -> None:
    [context] = kept(own.home)["contexts"].values()

    with_good = own.with_env(SECFLOW_TOKEN=context["access"], SECFLOW_URL=url(stack))
    with_bad = own.with_env(SECFLOW_TOKEN="x.y.z")

    assert with_good.run("whoami", "-o", "json").json["context"] is None
    with_bad.run("whoami").failed(6)


def test_several_servers_are_remembered(own: Cli, stack: Stack) -> None:
    named = ("--context", "other", "--project", "p1")
    own.run("login", url(stack), "-u", "admin", "--password-stdin", *named, stdin=f"{PASSWORD}\n").ok()

    listed = {item["id"]: item for item in own.run("context", "list", "-o", "json").json}
    first = next(name for name in listed if name != "other")
    assert (listed["other"]["current"], listed["other"]["project"]) == (True, "p1")
    assert own.run("whoami", "-o", "json").json["project"] == "p1"

    own.run("context", "use", first).ok()
    assert own.run("whoami", "-o", "json").json["context"] == first
    assert own.run("whoami", "-o", "json", "--context", "other").json["context"] == "other"
    own.run("context", "use", "nobody").failed(2, "no context 'nobody'")


def test_commands_import_nothing_of_the_server_and_little_else() -> None:
    """What a start costs: the HTTP client and the tables that move are loaded by those commands that need them."""
    script = (
        "import sys; sys.argv = ['secflow', 'context', 'list']; from secflow.cli.main import run; run(sys.argv[1:]);"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'django', 'httpx', 'rich', 'yaml', 'kubernetes', 'ssl'}))"
    )

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)

    assert found.stdout.splitlines()[-1] == "[]", found.stdout


def _expired() -> str:
    return jwt.encode({"exp": 1}, "nobody-knows-this-key-0123456789abcdef", algorithm="HS256")
