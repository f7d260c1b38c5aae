"""Servers that cannot be reached, are not trusted, are busy, or whose answers get lost on the way."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from k8s_bridge.localcluster.tls import load_identity
from tests.cli.conftest import url
from tests.cli.front import Call, Front, front_of
from tests.cli.terminal import Cli
from tests.e2e.driver import Driver, job
from tests.stack import Stack

pytestmark = pytest.mark.e2e


@pytest.fixture
def token(driver: Driver, logged_in: Path) -> str:
    [context] = json.loads((logged_in / "secflow" / "config.json").read_text())["contexts"].values()
    return str(context["access"])


@pytest.fixture
def front(stack: Stack) -> Iterator[Front]:
    with front_of(stack.port) as found:
        yield found


@pytest.fixture
def through(cli: Cli, front: Front, token: str) -> Cli:
    """The command line whose server is behind the front."""
    return cli.with_env(SECFLOW_URL=front.url, SECFLOW_TOKEN=token)


def is_post(end: str) -> object:
    return lambda call: call.method == "POST" and call.path.endswith(end)


def posts(front: Front, end: str) -> list[Call]:
    return [call for call in front.calls if call.method == "POST" and call.path.endswith(end)]


def test_nobody_listens(cli: Cli, token: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{taken.getsockname()[1]}"

        done = cli.with_env(SECFLOW_URL=where, SECFLOW_TOKEN=token).run("ps")

    done.failed(5, f"no server answers at {where}", "make quickstart", "--url")


def test_somebody_listens_who_never_answers(cli: Cli, token: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        where = f"http://127.0.0.1:{silent.getsockname()[1]}"

        done = cli.with_env(SECFLOW_URL=where, SECFLOW_TOKEN=token).run("ps", "--request-timeout", "0.2")

    done.failed(5, "does not answer in time", "--request-timeout")


def test_a_server_of_something_else(cli: Cli, front: Front, token: str) -> None:
    front.busy += [lambda call: True] * 20
    front.retry_after = "nothing"

    done = cli.with_env(SECFLOW_URL=front.url, SECFLOW_TOKEN=token).run("ps")

    done.failed(5, "but not as SecFlow does")


def test_certificates_are_checked(stack: Stack, cli: Cli, token: str, tmp_path: Path) -> None:
    identity = load_identity(tmp_path / "tls", now=datetime.now(tz=UTC))
    with front_of(stack.port, identity.server_context()) as front:
        there = cli.with_env(SECFLOW_URL=front.url, SECFLOW_TOKEN=token)

        there.run("ps").failed(5, "is not trusted", "--ca-file", "--insecure")
        there.run("ps", "--ca-file", str(identity.ca_certificate)).ok()
        there.run("ps", "--insecure").ok()
        there.with_env(SECFLOW_CA_FILE=str(identity.ca_certificate)).run("ps").ok()
        there.run("ps", "--ca-file", "/dev/null/missing").failed(2, "CA file")
        plain = cli.with_env(SECFLOW_URL=front.url.replace("https", "http"), SECFLOW_TOKEN=token)
        assert plain.run("ps").code == 5


def test_reads_are_tried_again(through: Cli, front: Front) -> None:
    front.lose_answer(lambda call: call.method == "GET")
    front.be_busy(lambda call: call.method == "GET", times=2)

    through.run("ps").ok()

    assert len(front.calls) == 4


def test_a_server_that_stays_busy_is_code_5(through: Cli, front: Front) -> None:
    front.be_busy(lambda call: True, times=100, retry_after="120")

    done = through.run("ps")

    done.failed(5)
    assert len(front.calls) == 1


@pytest.mark.parametrize("command", [("start",), ("run",), ("start", "--key", "build-7")])
def test_a_start_whose_answer_gets_lost_starts_one_run(
    through: Cli, front: Front, driver: Driver, command: tuple[str, ...]
) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")])
    front.lose_answer(is_post("/start"))

    name, *options = command
    through.run(name, instance, *options).ok()

    keys = [call.headers["Idempotency-Key"] for call in posts(front, "/start")]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert (driver.read(instance)["status"], driver.read(instance)["run_count"]) == ("running", 1)


def test_a_trigger_whose_answer_gets_lost_runs_once(through: Cli, front: Front, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("true"), "work")])
    driver.run(instance)
    front.lose_answer(is_post("/trigger"))

    through.run("trigger", instance, "--watch").ok()

    assert len(posts(front, "/trigger")) == 2
    assert driver.read(instance)["run_count"] == 2


@pytest.mark.parametrize(("command", "path"), [("stop", "/stop"), ("uninit", "/uninitialize")])
def test_a_verb_without_a_key_finds_what_it_did(
    through: Cli, front: Front, driver: Driver, command: str, path: str
) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")])
    driver.act(instance, "start").ok()
    front.lose_answer(is_post(path))

    through.run(command, instance, *(["--yes"] if command == "uninit" else [])).ok()

    assert len(posts(front, path)) == 2
    # Without a lost answer the same is refused: it would be news that somebody else did it.
    through.run(command, instance, *(["--yes"] if command == "uninit" else [])).failed(3)


def test_a_deletion_whose_answer_gets_lost_is_done(through: Cli, front: Front, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("true"), "work")])
    front.lose_answer(lambda call: call.method == "DELETE")

    through.run("delete", instance, "--yes").ok()

    assert [call.method for call in front.calls].count("DELETE") == 2
    through.run("delete", instance, "--yes").failed(4)


@pytest.mark.parametrize(
    ("command", "method"), [(("stop",), "POST"), (("uninit", "--yes"), "POST"), (("delete", "--yes"), "DELETE")]
)
def test_a_verb_that_an_outage_came_after_is_done(
    through: Cli, front: Front, driver: Driver, command: tuple[str, ...], method: str
) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")])
    driver.act(instance, "start").ok()
    front.fail_after(lambda call: call.method == method)

    through.run(*command, instance).ok()

    assert [call.method for call in front.calls].count(method) == 2


def test_a_deletion_is_followed_until_it_is_done(cli: Cli, stack: Stack, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")], name="lasting")
    driver.act(instance, "start").ok()
    driver.wait(instance, lambda found: found["nodes"][0]["status"] == "running")
    workers = [psutil.Process(pid) for pid in stack.pids("worker")]
    for worker in workers:
        worker.suspend()
    try:
        cli.run("delete", "lasting", "--yes", "--wait", "--timeout", "1s").failed(7, "goes on")
        with cli.start("delete", "lasting", "--yes", "--wait") as deleting:
            assert deleting.stdout is not None
            # A deletion that is followed shows where the workflow is.
            assert "stopped" in deleting.stdout.readline()
            for worker in workers:
                worker.resume()
            said, _ = deleting.communicate(timeout=60)
    finally:
        for worker in workers:
            worker.resume()

    assert (deleting.returncode, said.splitlines()[-1]) == (0, "lasting  deleted")
    assert driver.call("GET", f"/workflow-instances/{instance}").status == 404


def test_what_no_header_may_hold_is_refused_and_not_shown(through: Cli, front: Front, token: str) -> None:
    for damaged in (f"{token}\nsecret", f"{token} secret", f"{token}sécret"):
        said = through.with_env(SECFLOW_TOKEN=damaged).run("ps").failed(2, "SECFLOW_TOKEN holds no token")
        assert token not in said
        assert "cret" not in said
    through.with_env(SECFLOW_TOKEN=f" {token}\n").run("whoami").ok()
    assert all(call.method == "GET" for call in front.calls)


def test_watching_survives_a_server_that_goes_away_for_a_while(
    cli: Cli, stack: Stack, driver: Driver, token: str
) -> None:
    instance = driver.instance([job(driver.job_template("sleep 4"), "work")])
    with front_of(stack.port) as front:
        there = cli.with_env(SECFLOW_URL=front.url, SECFLOW_TOKEN=token)
        front.be_busy(lambda call: len(front.calls) > 4, times=12, retry_after="60")

        done = there.run("run", instance, "--watch")

    assert done.ok().splitlines()[-1].startswith("i succeeded")
    assert "trying again" in done.out


def test_watching_works_without_events(through: Cli, front: Front, driver: Driver) -> None:
    front.missing = lambda call: "/events" in call.path
    instance = driver.instance([job(driver.job_template("sleep 1"), "work")])

    assert "succeeded" in through.run("run", instance, "--watch").ok()
    through.run("events", "-f").failed(4)


def test_a_token_goes_to_no_other_server(cli: Cli, front: Front, stack: Stack) -> None:
    """A login at one address is not used at another one that somebody was talked into."""
    done = cli.with_env(SECFLOW_URL=front.url).run("ps")

    done.failed(6, "not logged in at")
    assert front.calls == []
    assert front.url != url(stack)
