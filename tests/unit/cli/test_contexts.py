"""Logins are kept where only their owner reads them, whole or not at all, and go to no other server."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from secflow.cli.contexts import Context, ContextFile, Contexts
from secflow.cli.errors import NotLoggedIn, UsageProblem
from secflow.cli.session import Choices, Session

ADA = Context(url="https://one.example.org", username="ada", access="a.b.c", refresh="d.e.f")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


@pytest.fixture
def file(environ: dict[str, str]) -> ContextFile:
    made = ContextFile(environ)
    made.write(Contexts().with_context("one", ADA).with_context("two", Context(url="https://two.example.org")))
    return made


def test_only_the_owner_can_read_the_file_and_its_folder(file: ContextFile) -> None:
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert [one.name for one in file.path.parent.iterdir()] == ["config.json"]


def test_a_folder_that_others_could_read_is_closed(file: ContextFile) -> None:
    file.path.parent.chmod(0o755)

    with file.locked():
        file.write(file.read())

    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_what_was_written_is_read_again(file: ContextFile) -> None:
    assert file.read() == Contexts(current="one", known={"one": ADA, "two": Context(url="https://two.example.org")})


def test_tokens_are_not_in_the_text_of_a_context() -> None:
    assert "a.b.c" not in repr(ADA)
    assert "d.e.f" not in repr(ADA)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"contexts": {"x": 1}}', '{"contexts": {"x": {"url": "u", "access": 5}}}']
)
def test_a_damaged_file_is_a_sentence(file: ContextFile, content: str) -> None:
    file.path.write_text(content)

    with pytest.raises(UsageProblem, match="is damaged"):
        file.read()


def test_fields_of_a_later_version_do_no_harm(file: ContextFile) -> None:
    data = json.loads(file.path.read_text())
    data["contexts"]["one"]["colour"] = "blue"
    file.path.write_text(json.dumps(data))

    assert file.read().known["one"] == ADA


@pytest.mark.parametrize(
    ("choices", "wanted"),
    [
        (Choices(), ("one", ADA.url)),
        (Choices(context="two"), ("two", "https://two.example.org")),
        (Choices(url="https://two.example.org/"), ("two", "https://two.example.org")),
        (Choices(url="https://evil.example.org"), ("", "https://evil.example.org")),
        (Choices(url="https://evil.example.org", context="one"), ("", "https://evil.example.org")),
    ],
)
def test_a_token_goes_to_no_other_address_than_its_own(
    file: ContextFile, environ: dict[str, str], choices: Choices, wanted: tuple[str, str]
) -> None:
    session = Session(choices, environ)

    assert (session.login[0], session.login[1].url) == wanted
    if not wanted[0]:
        assert session.login[1].access == ""


def test_nobody_is_logged_in_at_first(environ: dict[str, str]) -> None:
    with pytest.raises(NotLoggedIn, match="not logged in anywhere"):
        _ = Session(Choices(), environ).login


def test_an_unknown_context_is_a_sentence(file: ContextFile, environ: dict[str, str]) -> None:
    with pytest.raises(UsageProblem, match=r"no context 'three' \(known: one, two\)"):
        _ = Session(Choices(context="three"), environ).login


@pytest.mark.parametrize(("named", "wanted"), [(None, "p1"), ("p2", "p2"), ("all", None)])
def test_the_project_of_the_context_is_the_default(
    environ: dict[str, str], named: str | None, wanted: str | None
) -> None:
    ContextFile(environ).write(Contexts().with_context("one", Context(url="https://x", project="p1")))

    assert Session(Choices(project=named), environ).project == wanted
