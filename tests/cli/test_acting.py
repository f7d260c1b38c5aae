"""start, stop, init, uninit, trigger, activate, deactivate, sync, delete."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Cli
from tests.e2e.driver import PORTS, Driver, app, job

pytestmark = pytest.mark.e2e


def test_the_life_of_a_workflow(cli: Cli, driver: Driver) -> None:
    nodes = [app(driver.app_template(service_ports=PORTS), "site"), job(driver.job_template("true"), "work")]
    instance = driver.instance(nodes, [("site", "work")], name="life", run_mode="persistent")

    assert "initialized" in cli.run("init", "life", "--wait").ok()
    started = cli.run("start", "life").ok()
    assert "running" in started or "succeeded" in started  # the answer tells the status of its own moment
    cli.run("watch", "life").ok()
    assert "refuses triggers" in cli.run("deactivate", "life").ok()
    cli.run("trigger", "life").failed(3, f"`secflow activate {instance}`")
    assert "accepts triggers" in cli.run("activate", "life").ok()
    cli.run("trigger", "life", "--watch").ok()
    assert driver.read(instance)["run_count"] == 2
    assert "records and cluster agree" in cli.run("sync", "life").ok()
    cli.run("stop", "life").failed(3, "Hint: Its run ended")
    assert "pending" in cli.run("uninit", "life", "--yes", "--wait").ok()
    assert "deleted" in cli.run("delete", "life", "--yes").ok()
    assert driver.call("GET", f"/workflow-instances/{instance}").status == 404


def test_several_at_once_and_one_that_is_refused_does_not_keep_the_others(cli: Cli, driver: Driver) -> None:
    template = driver.job_template("sleep 300")
    first, second, third = (driver.instance([job(template, "work")], name=name) for name in ("one", "two", "three"))
    driver.act(second, "start").ok()

    done = cli.run("start", "one", "two", "three")

    done.failed(3, "two: ")
    assert done.out.split() == ["one", "running", "three", "running"]
    assert {driver.read(one)["status"] for one in (first, second, third)} == {"running"}
    stopped = cli.run("stop", *cli.run("ps", "--status", "running", "-o", "name").out.split(), "-o", "json").json
    assert {(item["id"], item["status"]) for item in stopped} == {(one, "stopped") for one in (first, second, third)}


def test_the_status_that_forbids_a_verb_comes_with_what_to_do(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")], name="busy")

    cli.run("stop", "busy").failed(3, f"`secflow start {instance}`")
    cli.run("start", "busy").ok()
    cli.run("start", "busy").failed(3, f"`secflow watch {instance}`", f"`secflow stop {instance}`")
    cli.run("run", "busy").failed(3, f"`secflow watch {instance}`")


def test_no_advice_names_what_would_be_refused_too(cli: Cli, driver: Driver) -> None:
    work = [job(driver.job_template("sleep 300"), "work")]
    instance = driver.instance(work, name="advised")

    uninit = cli.run("uninit", "advised", "--yes").failed(3, "Hint: It is a draft already")
    stop = cli.run("stop", "advised").failed(3, "nothing to stop")
    trigger = cli.run("trigger", "advised").failed(3, f"`secflow start {instance}` runs it")
    cli.run("start", "advised").ok()
    start = cli.run("start", "advised").failed(3, "does not allow to start: it runs already; stop it")
    cli.run("init", "advised").failed(3, f"`secflow stop {instance}`", "--force")
    cli.run("stop", "advised", "--wait").ok()
    init = cli.run("init", "advised").failed(3, f"`secflow init {instance} --force`")
    cli.run("init", "advised", "--force", "--wait").ok()

    assert "secflow init" not in uninit + stop + trigger
    assert "trigger" not in start
    assert "force=true" not in init


def test_a_key_starts_one_run_however_often_it_is_used(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("true"), "work")], name="keyed")

    cli.run("start", "keyed", "--key", "build 7".replace(" ", "-"), "--watch").ok()
    cli.run("start", "keyed", "--key", "build-7").ok()

    assert driver.read(instance)["run_count"] == 1
    cli.run("run", "keyed", "--key", "build-7", "--watch").ok()
    assert driver.read(instance)["run_count"] == 1
    cli.run("run", "keyed", "--key", "build-8", "--watch").ok()
    assert driver.read(instance)["run_count"] == 2


def test_a_key_that_no_header_may_hold_is_refused(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("true"), "work")], name="odd key")

    for key in ("schlüssel", "two\nlines"):
        cli.run("start", "odd key", "--key", key).failed(2, "the key has characters that HTTP does not allow")

    assert driver.read(instance)["status"] == "pending"


def test_those_that_begin_are_watched_although_one_is_refused(cli: Cli, driver: Driver) -> None:
    template = driver.job_template("true")
    refused, begun = (driver.instance([job(template, "work")], name=name) for name in ("ran", "fresh"))
    driver.run(refused)

    done = cli.run("start", "ran", "fresh", "--watch")

    done.failed(3, "ran: ")
    assert "fresh succeeded" in done.out
    assert driver.read(begun)["status"] == "succeeded"


@pytest.mark.parametrize("command", ["delete", "uninit"])
def test_what_destroys_is_asked_about(cli: Cli, driver: Driver, command: str) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")], name="precious")
    driver.act(instance, "start").ok()

    cli.run(command, "precious").failed(2, "--yes")
    with cli.terminal(command, "precious") as terminal:
        terminal.wait_for("precious (running)? [y/N]")
        terminal.type("n\n")
        assert terminal.end() == 2
    assert driver.read(instance)["status"] == "running"
    with cli.terminal(command, "precious") as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("y\n")
        assert terminal.end() == 0


def test_waiting_ends_after_the_time_that_was_given(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")], name="slow")

    cli.run("run", "slow", "--watch", "--timeout", "1s").failed(7, "goes on", f"secflow watch {instance}")

    assert driver.read(instance)["status"] == "running"
    cli.run("watch", "slow", "--timeout", "soon").failed(2, "no length of time")


def test_names_are_looked_up_before_anything_is_done(cli: Cli, driver: Driver) -> None:
    template = driver.job_template("sleep 300")
    made = [driver.instance([job(template, "work")], name=name) for name in ("here", "there")]

    cli.run("start", "here", "nowhere", "there").failed(4, "no workflow 'nowhere'")

    assert {driver.read(one)["status"] for one in made} == {"pending"}


def test_strangers_are_refused_with_a_hint(cli: Cli, driver: Driver) -> None:
    driver.instance([], name="empty")

    cli.run("start", "empty").failed(3)
    cli.run("start", "wf-inst-nothing-00000000").failed(4)
