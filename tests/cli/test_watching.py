"""Following a run: on a terminal, in a pipe, interrupted, failed."""

from __future__ import annotations

import signal

import pytest

from secflow.runtime.claims import ensure_claims
from secflow.runtime.definition import Claim
from tests.cli.terminal import Cli
from tests.e2e.driver import Driver, job
from tests.stack import Stack

pytestmark = pytest.mark.e2e
HIDE_CURSOR, SHOW_CURSOR, UP = "\x1b[?25l", "\x1b[?25h", "\x1b[1A"


@pytest.fixture
def chain(driver: Driver) -> str:
    """Three jobs after one another, a second each."""
    template = driver.job_template("sleep 1; echo done")
    nodes = [job(template, name) for name in ("first", "second", "third")]
    return driver.instance(nodes, [("first", "second"), ("second", "third")], name="chain")


def test_on_a_terminal_a_table_moves(cli: Cli, chain: str) -> None:
    with cli.terminal("run", "chain", "--watch") as terminal:
        assert terminal.end() == 0

    assert HIDE_CURSOR in terminal.raw
    assert UP in terminal.raw
    assert terminal.raw.rindex(SHOW_CURSOR) > terminal.raw.rindex(HIDE_CURSOR)
    assert "3 of 3 nodes done" in terminal.text
    assert "chain succeeded after" in terminal.text
    assert terminal.raw.count("NODE") > 3


def test_a_low_terminal_shows_what_matters(cli: Cli, driver: Driver) -> None:
    template = driver.job_template("true")
    driver.instance([job(template, f"node {number:02}") for number in range(30)], name="wide")

    with cli.terminal("run", "wide", "--watch", lines=12) as terminal:
        assert terminal.end() == 0

    assert "more" in terminal.text
    assert "30 of 30 nodes done" in terminal.text


def test_without_colours_the_table_still_moves(cli: Cli, chain: str) -> None:
    with cli.with_env(NO_COLOR="1").terminal("run", "chain", "--watch") as terminal:
        assert terminal.end() == 0

    assert "\x1b[32m" not in terminal.raw
    assert UP in terminal.raw


def test_elsewhere_each_change_is_a_line(cli: Cli, stack: Stack, driver: Driver) -> None:
    """Each job goes on until its line has been seen."""
    ensure_claims(stack.kubeconfig, driver.project, [Claim("signs", "1Mi")])
    signs = {"volume_mounts": [{"pvc_name": "signs", "mount_path": "/data"}]}
    names = ("first", "second", "third")
    nodes = [
        job(driver.job_template(f"until test -e /data/{name}; do sleep 0.1; done", container=signs), name)
        for name in names
    ]
    driver.instance(nodes, [("first", "second"), ("second", "third")], name="chain")

    lines, waiting = [], list(names)
    with cli.start("run", "chain", "--watch") as running:
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line)
            if waiting and line.split()[2:4] == [waiting[0], "running"]:
                sign = driver.job_template(f"touch /data/{waiting.pop(0)}", container=signs)
                driver.run(driver.instance([job(sign, "sign")], name="sign"))
        assert running.wait(30) == 0

    facts = [line.split()[2:4] for line in lines[:-1]]
    for name in names:
        assert facts.count([name, "running"]) == 1
        assert facts.count([name, "succeeded"]) == 1
        assert facts.index([name, "running"]) < facts.index([name, "succeeded"])
    assert lines[-1].startswith("chain succeeded after ")
    assert not any("\x1b" in line for line in lines)


def test_a_dumb_terminal_gets_lines(cli: Cli, chain: str) -> None:
    with cli.with_env(TERM="dumb").terminal("run", "chain", "--watch") as terminal:
        assert terminal.end() == 0

    assert "\x1b" not in terminal.raw
    assert "third   succeeded" in terminal.text


def test_ctrl_c_says_that_the_run_goes_on(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")], name="long")

    with cli.terminal("run", "long", "--watch") as terminal:
        terminal.wait_for("running")
        terminal.type("\x03")
        assert terminal.end() == 130

    assert "the run of long goes on" in terminal.text
    assert f"secflow watch {instance}" in terminal.text
    assert f"secflow stop {instance}" in terminal.text
    assert terminal.raw.rindex(SHOW_CURSOR) > terminal.raw.rindex(HIDE_CURSOR)
    assert driver.read(instance)["status"] == "running"


def test_an_interrupt_without_a_terminal_is_code_130_too(cli: Cli, driver: Driver) -> None:
    driver.instance([job(driver.job_template("sleep 300"), "work")], name="long")

    with cli.start("run", "long", "--watch") as running:
        assert running.stdout is not None
        while "running" not in running.stdout.readline():
            pass
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)

    assert running.returncode == 130
    assert "the run of long goes on" in said


def test_a_failure_is_code_1_and_says_why(cli: Cli, driver: Driver) -> None:
    bad = driver.job_template("exit 3", name="bad", backoff_limit=0)
    instance = driver.instance([job(bad, "breaks")], name="bad")

    done = cli.run("run", "bad", "--watch")

    assert done.code == 1
    node = driver.read(instance)["nodes"][0]
    assert node["diagnosis"]["summary"] in done.out
    assert node["diagnosis"]["resolution"] in done.out
    assert f"secflow describe {instance}" in done.err
    assert cli.run("watch", "bad").code == 1
    assert cli.run("run", "bad", "--watch", "-o", "json").json["status"] == "failed"


def test_for_programs_the_result_is_json_and_progress_goes_elsewhere(cli: Cli, driver: Driver, chain: str) -> None:
    done = cli.run("run", "chain", "--watch", "-o", "json")

    assert done.json == driver.read(chain)
    assert "third" in done.err


def test_a_workflow_that_is_deleted_meanwhile_has_not_succeeded(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")], name="gone")

    with cli.start("run", "gone", "--watch") as running:
        assert running.stdout is not None
        while "running" not in running.stdout.readline():
            pass
        driver.remove(instance).ok()
        shown, said = running.communicate(timeout=60)

    # A deletion stops the run first, which may be seen before the workflow is gone.
    assert (running.returncode, "gone stopped" in shown, "was deleted meanwhile" in said) in (
        (1, True, False),
        (4, False, True),
    )


def test_a_stopped_run_is_code_1(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("sleep 300"), "work")], name="halted")

    with cli.start("run", "halted", "--watch") as running:
        assert running.stdout is not None
        while "running" not in running.stdout.readline():
            pass
        driver.act(instance, "stop").ok()
        shown, _ = running.communicate(timeout=60)

    assert running.returncode == 1
    assert "halted stopped" in shown


def test_the_list_can_be_watched(cli: Cli, driver: Driver) -> None:
    driver.instance([job(driver.job_template("true"), "work")], name="listed")

    with cli.terminal("ps", "--watch") as terminal:
        terminal.wait_for("listed")
        terminal.wait_for(UP)
        terminal.type("\x03")
        assert terminal.end() == 130
    with cli.start("ps", "--watch") as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("NAME")
        assert running.stdout.readline().startswith("listed")
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130


def test_a_workflow_without_a_run_cannot_be_watched(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("true"), "work")], name="draft")

    done = cli.run("watch", "draft")
    done.failed(3, "there is no run to follow: draft has not run yet", f"secflow start {instance} --watch")
    assert done.out == ""

    driver.run(instance)
    driver.act(instance, "uninitialize").ok()

    cli.run("watch", "draft").failed(3, "draft is a draft again", f"secflow start {instance} --watch")
