"""logs and events."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import url
from tests.cli.front import Call, front_of
from tests.cli.terminal import Cli
from tests.e2e.driver import Driver, app, job
from tests.stack import Stack

pytestmark = pytest.mark.e2e
COUNT = "for n in 1 2 3 4 5 6; do echo line $n; sleep 0.4; done"
HOSTILE = r"printf 'a\033[31mred\033[0m \033]0;title\007 \342\200\256 end\n'"


def test_logs_of_a_run_that_is_over(cli: Cli, driver: Driver) -> None:
    nodes = [
        job(driver.job_template("echo one; echo two"), "first"),
        job(driver.job_template("echo three"), "second node"),
    ]
    instance = driver.instance(nodes, [("first", "second node")], name="over")
    driver.run(instance)

    every = cli.run("logs", "over").ok().splitlines()
    first = cli.run("logs", "over", "--node", "first").ok()

    assert every == ["first       | one", "first       | two", "second node | three"]
    assert first == "one\ntwo\n"
    assert cli.run("logs", "over", "--node", "first", "--tail", "1").ok() == "two\n"
    stamp, text = cli.run("logs", "over", "--node", "first", "--timestamps").ok().splitlines()[0].split(" ", 1)
    assert (stamp[:2], text) == ("20", "one")
    facts = [json.loads(line) for line in cli.run("logs", "over", "-o", "json").ok().splitlines()]
    assert [(fact["node"], fact["text"]) for fact in facts] == [
        ("first", "one"),
        ("first", "two"),
        ("second node", "three"),
    ]


def test_logs_are_kept_when_the_pods_are_gone(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("echo kept"), "work")], name="kept")
    driver.run(instance)
    driver.wait(
        instance,
        lambda _: driver.call("GET", f"/workflow-instances/{instance}/logs").ok()["items"][0]["log_updated_at"],
    )
    driver.act(instance, "uninitialize").ok()

    assert cli.run("logs", "kept", "--node", "work").ok() == "kept\n"
    _options_of_a_kept_text(cli)


def _options_of_a_kept_text(cli: Cli) -> None:
    """What such a text cannot tell is said on standard error, or refused, and not passed over."""
    plain = cli.run("logs", "kept", "--node", "work", "--container", "main")
    timed = cli.run("logs", "kept", "--since", "1s", "--timestamps")
    before = cli.run("logs", "kept", "--node", "work", "--previous")

    assert (plain.ok(), plain.err) == ("kept\n", "")
    cli.run("logs", "kept", "--node", "work", "--container", "nope").failed(3, "container 'nope'", "--container main")
    assert timed.ok() == "work | kept\n"
    assert timed.err.count("shown without --since and --timestamps") == 1
    assert before.ok() == ""
    assert "nothing is kept of the container before its last restart" in before.err


def test_logs_are_followed_to_the_end_and_each_line_comes_once(cli: Cli, driver: Driver) -> None:
    nodes = [job(driver.job_template(COUNT), "first"), job(driver.job_template(COUNT), "second")]
    instance = driver.instance(nodes, [("first", "second")], name="follow")
    driver.act(instance, "start").ok()

    lines = cli.run("logs", "follow", "-f").ok().splitlines()

    wanted = [f"line {number}" for number in range(1, 7)]
    assert [line.split("| ")[1] for line in lines if line.startswith("first ")] == wanted
    assert [line.split("| ")[1] for line in lines if line.startswith("second")] == wanted


def test_logs_are_followed_over_a_restart_of_the_server(cli: Cli, driver: Driver, stack: Stack) -> None:
    script = "for n in 1 2 3 4 5 6; do echo line $n; sleep 1; done"
    instance = driver.instance([job(driver.job_template(script), "work")], name="restarted")
    driver.act(instance, "start").ok()
    login = json.loads((cli.home / "secflow" / "config.json").read_text())["contexts"].values()
    with front_of(stack.port) as front:
        there = cli.with_env(SECFLOW_URL=front.url, SECFLOW_TOKEN=next(iter(login))["access"])
        # From the first reading of the log on.
        front.be_busy(lambda call: any("/logs" in one.path for one in front.calls[:-1]), times=4, retry_after="60")

        done = there.run("logs", "restarted", "--node", "work", "-f")

    assert done.ok().splitlines() == [f"line {number}" for number in range(1, 7)]
    assert front.busy == []
    assert done.err.count("trying again") == 1


def test_a_line_that_is_still_being_written_is_waited_for(cli: Cli, driver: Driver) -> None:
    script = "echo whole; printf half; sleep 3; echo ' and half'; printf 'without an end'"
    instance = driver.instance([job(driver.job_template(script), "work")], name="halves")
    driver.act(instance, "start").ok()

    assert cli.run("logs", "halves", "--node", "work", "-f").ok() == "whole\nhalf and half\nwithout an end\n"


def test_the_log_of_an_app_goes_on_after_the_run(cli: Cli, driver: Driver) -> None:
    template = driver.app_template("n=0; while true; do n=$((n+1)); echo tick $n; sleep 0.3; done")
    instance = driver.instance([app(template, "site")], name="ticking")
    driver.run(instance)

    with cli.terminal("logs", "ticking", "--node", "site", "-f", "--tail", "2") as terminal:
        terminal.wait_for("tick")
        seen = terminal.text.count("tick")
        while terminal.text.count("tick") < seen + 4:
            terminal.wait_for("tick")
            terminal._read()
        terminal.type("\x03")
        assert terminal.end() == 130
    numbers = [int(line.split()[1]) for line in terminal.text.splitlines() if line.startswith("tick")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_old_lines_are_left_out(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("echo early; sleep 5; echo late"), "work")], name="since")
    driver.run(instance)

    assert cli.run("logs", "since", "--node", "work", "--since", "1h").ok() == "early\nlate\n"
    shown = cli.run("logs", "since", "--node", "work", "--since", "3s").ok()
    assert "early" not in shown


def test_container_and_previous_are_of_one_node(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("echo x"), "work")], name="parts")
    driver.run(instance)

    assert cli.run("logs", "parts", "--node", "work", "--container", "main").ok() == "x\n"
    cli.run("logs", "parts", "--container", "main").failed(2, "--node")
    assert cli.run("logs", "parts", "--node", "work", "--container", "other").code in (3, 4)


def test_what_has_not_run_says_so(cli: Cli, driver: Driver) -> None:
    driver.instance([job(driver.job_template("true"), "work")], name="fresh")

    done = cli.run("logs", "fresh")

    assert (done.code, done.out) == (0, "")
    assert "has not run yet" in done.err


def test_a_log_steers_no_terminal_and_is_raw_in_a_pipe(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template(HOSTILE), "work")], name="hostile")
    driver.run(instance)
    raw = "a\x1b[31mred\x1b[0m \x1b]0;title\x07 \u202e end"

    with cli.terminal("logs", "hostile", "--node", "work") as terminal:
        assert terminal.end() == 0

    assert "ared \\x1b]0;title\\x07 \\u202e end" in terminal.text
    assert "\x1b]0" not in terminal.raw
    assert cli.run("logs", "hostile", "--node", "work").ok() == f"{raw}\n"
    [fact] = [json.loads(line) for line in cli.run("logs", "hostile", "-o", "json").ok().splitlines()]
    assert fact["text"] == raw


def test_forms_that_lines_do_not_have_are_refused(cli: Cli, driver: Driver) -> None:
    driver.instance([], name="formless")

    for arguments in (("logs", "-o", "yaml"), ("logs", "-o", "name"), ("events", "-o", "yaml")):
        cli.run(*arguments, "formless").failed(2, f"are not given with -o {arguments[-1]}", "-o json")


def test_events_of_a_workflow(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("true"), "work")], name="journal")
    driver.run(instance)

    lines = cli.run("events", "journal").ok().splitlines()
    facts = [json.loads(line) for line in cli.run("events", "journal", "-o", "json").ok().splitlines()]

    kinds = [line.split("  ")[1].strip() for line in lines]
    assert kinds[0] == "instance.created"
    assert kinds[-1] == "run.succeeded"
    assert [fact["kind"] for fact in facts] == kinds
    assert [fact["sequence"] for fact in facts] == list(range(1, len(facts) + 1))
    assert "  work  run 1" in "\n".join(lines)
    rest = cli.run("events", "journal", "--after", facts[2]["cursor"], "-o", "json").ok().splitlines()
    assert [json.loads(line) for line in rest] == facts[3:]
    assert len(cli.run("events", "journal", "--tail", "2").ok().splitlines()) == 2


@pytest.mark.parametrize("streams", [True, False])
def test_events_are_followed_with_a_stream_and_without(cli: Cli, driver: Driver, stack: Stack, streams: bool) -> None:
    """Each event once, in order, although the connection breaks in between."""
    with front_of(stack.port) as front:
        if not streams:
            front.busy = [_is_stream] * 1000
        login = json.loads((cli.home / "secflow" / "config.json").read_text())["contexts"].values()
        there = cli.with_env(SECFLOW_URL=front.url, SECFLOW_TOKEN=next(iter(login))["access"])
        instance = driver.instance([job(driver.job_template("true"), "work")], name="live")
        with there.start("events", "live", "-f", "--tail", "50", "-o", "json") as running:
            assert running.stdout is not None
            facts = [json.loads(running.stdout.readline())]
            driver.act(instance, "start").ok()
            while facts[-1]["kind"] != "run.succeeded":
                facts.append(json.loads(running.stdout.readline()))
            front.cut()
            driver.act(instance, "trigger").ok()
            while facts[-1]["kind"] != "run.succeeded" or facts[-1]["run_number"] != 2:
                facts.append(json.loads(running.stdout.readline()))
            running.terminate()

    assert [fact["sequence"] for fact in facts] == list(range(1, len(facts) + 1))
    streamed = [call for call in front.calls if _is_stream(call)]
    assert len(streamed) >= 1
    assert url(stack) != front.url


def _is_stream(call: Call) -> bool:
    return "event-stream" in call.headers.get("Accept", "")
