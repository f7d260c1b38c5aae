"""Names and messages that would like to do more than be read."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.cli.terminal import Cli, Done
from tests.e2e.driver import Driver, job

pytestmark = pytest.mark.e2e

NAMES = [
    "<script>alert(1)</script> [bold red]x[/] {{7*7}}",
    "\u202egnihton\u202c \u2066a\u2069",
    "夜間スキャン ليلي לילה é\u0301 🚀",
    "x" * 128,
    "--yes",
    "a/b; rm -rf $HOME `id`",
]
STEERING = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(done: Done) -> str:
    """The output of a command that went well and holds nothing that steers."""
    assert not STEERING.search(done.ok().replace("\n", "")), done
    return done.out


@pytest.fixture
def named(driver: Driver) -> dict[str, str]:
    """A workflow of one node for each name; the ids by name."""
    made = {
        name: driver.instance([job(driver.job_template("echo fine", name=name), name)], name=name) for name in NAMES
    }
    for instance in made.values():
        driver.act(instance, "start").ok()
    for instance in made.values():
        driver.wait_for(instance, "succeeded")
    return made


def test_hostile_names_are_shown_harmless_and_given_back_as_they_are(cli: Cli, named: dict[str, str]) -> None:
    listed = harmless(cli.run("ps", "-o", "wide"))
    templates = harmless(cli.run("get", "templates"))
    document = harmless(cli.run("ps", "-o", "json"))
    as_yaml = harmless(cli.run("get", "instances", "-o", "yaml"))

    assert {item["name"] for item in json.loads(document)} == set(NAMES)
    assert {item["name"] for item in yaml.safe_load(as_yaml)} == set(NAMES)
    for shown in (listed, templates):
        assert "\\u202egnihton\\u202c" in shown
        assert "[bold red]x[/]" in shown
        assert "夜間スキャン ليلي לילה" in shown


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:12].encode("unicode_escape").decode())
def test_a_hostile_name_finds_its_workflow(cli: Cli, driver: Driver, name: str) -> None:
    instance = driver.instance([job(driver.job_template("echo fine"), name)], name=name)
    driver.run(instance)

    assert cli.run("get", "instance", "-o", "json", "--", name).json["id"] == instance
    harmless(cli.run("describe", instance))
    assert harmless(cli.run("logs", instance)).endswith("| fine\n")


def test_on_a_terminal_only_the_command_itself_steers(cli: Cli, named: dict[str, str]) -> None:
    with cli.terminal("ps") as listed:
        assert listed.end() == 0
    with cli.terminal("run", named[NAMES[1]], "--watch") as watched:
        assert watched.end() == 0

    for terminal in (listed, watched):
        assert not STEERING.search(
            re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.raw).replace("\r", "").replace("\n", "")
        )
    assert "\\u202egnihton" in listed.text
