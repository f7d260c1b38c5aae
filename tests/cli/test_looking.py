"""ps, get, describe, open: what is shown, in which form, and how names are understood."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import yaml

from tests.cli.conftest import url
from tests.cli.front import front_of
from tests.cli.terminal import Cli
from tests.e2e.driver import PORTS, Driver, app, job
from tests.stack import ROOT, Stack

pytestmark = pytest.mark.e2e


@pytest.fixture
def failing(driver: Driver) -> str:
    """A workflow whose second node has failed."""
    good = driver.job_template("echo all is well", name="good")
    bad = driver.job_template("echo it breaks; exit 3", name="bad", backoff_limit=0)
    nodes = [job(good, "first"), job(bad, "second"), job(good, "third")]
    instance = driver.instance(nodes, [("first", "second"), ("second", "third")], name="breaks")
    assert driver.run(instance)["status"] == "failed"
    return instance


def test_ps_shows_status_progress_and_message(cli: Cli, driver: Driver, failing: str) -> None:
    driver.instance([job(driver.job_template("true"), "work")], name="draft")

    heading, draft, broken = cli.run("ps").ok().splitlines()

    assert heading.split() == ["NAME", "PROJECT", "STATUS", "NODES", "RUNS", "AGE", "MESSAGE"]
    assert draft.split()[:5] == ["draft", driver.project, "pending", "0/1", "0"]
    assert broken.split()[:5] == ["breaks", driver.project, "failed", "1/3", "1"]
    assert cli.run("ps", "--status", "failed", "-o", "name").ok() == f"{failing}\n"
    assert failing in cli.run("ps", "-o", "wide").ok()
    assert cli.run("ps", "--status", "failed", "--project", "nobody-has-it").ok() == ""
    cli.run("ps", "--status", "broken").failed(2, "'broken' is no status")


def test_ps_shows_the_newest_and_says_how_many_there_are(cli: Cli, driver: Driver) -> None:
    for number in range(23):
        driver.call("POST", "/workflow-instances", {"name": f"w{number}", "project_id": driver.project}).ok(201)

    some, every = cli.run("ps"), cli.run("ps", "--all", "-o", "json")
    names = cli.run("ps", "-o", "name")

    assert len(some.out.splitlines()) == 21
    assert some.out.splitlines()[1].startswith("w22 ")
    assert some.err == names.err == "20 of 23; --all shows every one.\n"
    assert len(names.out.splitlines()) == 20
    assert every.err == ""
    assert [item["name"] for item in every.json] == [f"w{number}" for number in reversed(range(23))]


def test_json_and_yaml_are_what_the_api_says(cli: Cli, driver: Driver, failing: str) -> None:
    instance = driver.read(failing)

    assert cli.run("get", "instance", "breaks", "-o", "json").json == instance
    assert yaml.safe_load(cli.run("get", "instance", failing, "-o", "yaml").ok()) == instance
    assert cli.run("get", "instances", "-o", "json").json == [instance]
    assert cli.run("get", "nodes", "breaks", "-o", "json").json == instance["nodes"]
    assert cli.run("get", "nodes", "breaks", "--node", "second", "-o", "json").json == instance["nodes"][1]
    templates = cli.run("get", "job-templates", "-o", "json").json
    assert {item["name"] for item in templates if item["project_id"] == driver.project} == {"good", "bad"}
    [record] = cli.run("get", "records", "breaks", "--node", "second", "-o", "json").json
    assert (record["status"], record["task_id"]) == ("failed", "run-1")
    assert cli.run("get", "template", "bad", "-o", "json").json["backoff_limit"] == 0


def test_kinds_and_things_that_do_not_exist(cli: Cli, failing: str) -> None:
    cli.run("get", "pods").failed(2, "no kind of thing", "app-templates")
    cli.run("get", "nodes").failed(2, "secflow get nodes NAME")
    cli.run("get", "records").failed(2, "secflow get records NAME")
    cli.run("get", "instance", "missing").failed(4, "no workflow 'missing'", "secflow ps --all")
    cli.run("get", "instance", "wf-inst-missing-00000000").failed(4)
    cli.run("get", "template", "missing").failed(4, "secflow get templates")
    cli.run("get", "nodes", "breaks", "--node", "fourth").failed(4, "first, second, third")


def test_a_name_of_several_lists_them(cli: Cli, driver: Driver) -> None:
    ids = [driver.instance([], name="twin") for _ in range(2)]

    said = cli.run("describe", "twin").failed(2, "2 workflows are called 'twin'", "Give one of these ids")

    assert all(one in said for one in ids)
    cli.run("describe", ids[0]).ok()


def test_a_name_counts_only_in_the_project(cli: Cli, driver: Driver, stack: Stack) -> None:
    other = Driver(stack, project=f"{driver.project}-b")
    theirs = other.instance([], name="twin")
    ours = driver.instance([], name="twin")

    assert cli.run("get", "instance", "twin", "-o", "name").ok() == f"{ours}\n"
    assert cli.run("get", "instance", "twin", "-p", other.project, "-o", "name").ok() == f"{theirs}\n"
    cli.run("get", "instance", "twin", "-p", "all").failed(2, ours, theirs)
    other.clear()


def test_describe_tells_why_and_what_to_do(cli: Cli, driver: Driver, failing: str) -> None:
    said = cli.run("describe", "breaks").ok()
    [second] = [node for node in driver.read(failing)["nodes"] if node["name"] == "second"]

    assert second["diagnosis"]["summary"] in said
    assert f"what to do         {second['diagnosis']['resolution']}" in said
    assert "node.failed" in said
    assert (
        f"kubectl -n secflow-{driver.project} get deployments,jobs,services,pods -l secflow.io/instance-id={failing}"
        in said
    )
    assert f"kubectl -n secflow-{driver.project} describe job/{second['k8s_resource_name']}" in said
    assert f"secflow trigger {failing} --watch" in said


def test_describe_names_the_limit_of_retries_and_the_last_lines(cli: Cli, driver: Driver, failing: str) -> None:
    records = f"/workflow-instances/{failing}/logs"
    driver.wait(
        failing, lambda _: any(one["metadata"].get("evidence") for one in driver.call("GET", records).ok()["items"])
    )
    [node] = [one for one in driver.read(failing)["nodes"] if one["status"] == "failed"]

    said = cli.run("describe", "breaks").ok()

    assert "no retry was allowed" in node["message"]
    limit, summary, _ = node["message"].partition(node["diagnosis"]["summary"])
    assert f"second failed: {limit}{summary}\n" in said
    assert "    last lines of main\n      it breaks\n" in said


def test_nodes_and_records_tell_the_same_time(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("sleep 1.4"), "work")], name="timed")
    driver.run(instance)

    node, record = (cli.run("get", kind, "timed").ok().splitlines()[1] for kind in ("nodes", "records"))

    # The fourth column of both.
    assert re.split(r" {2,}", node)[3] == re.split(r" {2,}", record)[3] != ""


def test_describe_shows_apps_and_their_services(cli: Cli, driver: Driver) -> None:
    template = driver.app_template(service_ports=PORTS)
    instance = driver.instance(
        [app(template, "site")], name="with app", run_mode="persistent", trigger_type="http", trigger_enabled=True
    )

    said = cli.run("describe", "with app").ok()

    assert f"HTTP trigger /api/workflow/trigger/{instance}" in said
    assert "none yet" in said


def test_open_prints_the_page_of_the_console(cli: Cli, failing: str, stack: Stack) -> None:
    assert cli.run("open", "breaks").ok() == f"{url(stack)}/admin/workflows/workflowinstance/{failing}/change/\n"
    assert cli.run("open").ok() == f"{url(stack)}/admin/\n"


def test_tables_fit_the_terminal_and_are_coloured_there_only(cli: Cli, failing: str) -> None:
    with cli.terminal("ps", columns=60) as coloured:
        assert coloured.end() == 0
    with cli.with_env(NO_COLOR="1").terminal("ps", columns=60) as plain:
        assert plain.end() == 0

    assert "\x1b[1;31mfailed\x1b[0m" in coloured.raw
    assert "\x1b" not in plain.raw
    assert max(map(len, coloured.text.splitlines())) <= 60
    assert "\x1b" not in cli.run("ps").out


def test_version_and_health(cli: Cli, stack: Stack) -> None:
    found = cli.run("version", "-o", "json").json

    assert (found["server"], found["health"]) == (url(stack), "ok")
    assert found["version"] in cli.run("--version").ok()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cli: Cli, shell: str) -> None:
    assert "_SECFLOW_COMPLETE" in cli.run("completion", shell).ok()


def test_names_of_workflows_are_completed_and_nothing_that_a_shell_would_run(cli: Cli, driver: Driver) -> None:
    plain = driver.instance([], name="nightly")
    evil = driver.instance([], name='$(touch /tmp/x) "`id`" \\$(id)')
    words = {"_SECFLOW_COMPLETE": "complete_bash", "COMP_CWORD": "2"}

    every = cli.with_env(**words, COMP_WORDS="secflow describe ").run().out.splitlines()
    some = cli.with_env(**words, COMP_WORDS="secflow describe nig").run().out.splitlines()
    zsh = cli.with_env(_SECFLOW_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="secflow describe ").run().out

    assert sorted(every) == sorted(["nightly", evil])
    assert some == ["nightly"]
    assert plain not in every
    assert not set("$`\\") & set(zsh)
    unreachable = cli.with_env(**words, COMP_WORDS="secflow describe ", SECFLOW_URL="http://127.0.0.1:9").run()
    assert (unreachable.out.strip(), unreachable.err) == ("", "")


@pytest.mark.parametrize(
    "words",
    [
        {"_SECFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "secflow describe ", "SECFLOW_URL": "http://["},
        {"_SECFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "secflow describe ", "SECFLOW_TOKEN": "é"},
        {"_SECFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "secflow describe ", "SECFLOW_URL": "http://a b"},
        {"_SECFLOW_COMPLETE": "complete_bash"},
        {"_SECFLOW_COMPLETE": "complete_other"},
    ],
)
def test_completion_prints_nothing_whatever_goes_wrong(cli: Cli, words: dict[str, str]) -> None:
    done = cli.with_env(COMP_CWORD="2", **words).run()

    assert (done.out.strip(), done.err) == ("", "")


def test_completion_asks_once(cli: Cli, stack: Stack) -> None:
    words = {"_SECFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "secflow describe ", "COMP_CWORD": "2"}
    login = json.loads((cli.home / "secflow" / "config.json").read_text())["contexts"].values()
    with front_of(stack.port) as front:
        front.be_busy(lambda call: True, times=5)

        done = cli.with_env(**words, SECFLOW_URL=front.url, SECFLOW_TOKEN=next(iter(login))["access"]).run()

        assert (done.out.strip(), done.err, len(front.calls)) == ("", "", 1)


def test_an_address_that_cannot_be_one_is_refused(cli: Cli) -> None:
    for address in ("http://[", "http://a b", "http://[::1"):
        cli.run("ps", "--url", address).failed(2, "is no address of a server")


def test_a_fault_of_the_command_is_a_line_and_a_code_of_its_own(cli: Cli) -> None:
    script = (
        "import sys; from secflow.cli import main, options;"
        " options.command(main.app, 'break')(lambda session: 1 / 0); sys.exit(main.run(['break']))"
    )
    said = {
        traceback: subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT,
            env={**cli.environ(), "SECFLOW_TRACEBACK": traceback},
        )
        for traceback in ("", "1")
    }  # fmt: skip

    assert {done.returncode for done in said.values()} == {70}
    assert said[""].stderr.splitlines()[0] == "Error: this command has a fault (ZeroDivisionError: division by zero)"
    assert "SECFLOW_TRACEBACK=1" in said[""].stderr
    assert "Traceback" not in said[""].stderr
    assert "Traceback" in said["1"].stderr


def test_records_that_are_not_shown_are_counted(cli: Cli, driver: Driver) -> None:
    template = driver.job_template("true")
    names = [f"n{number}" for number in range(101)]
    instance = driver.instance([job(template, name) for name in names], name="many")
    driver.run(instance)

    done = cli.run("get", "records", "many", "-o", "name")

    assert len(done.ok().splitlines()) == 100
    assert done.err == "The newest 100 of 101; --node shows those of one node.\n"
    assert cli.run("get", "records", "many", "--node", "n7").err == ""


def test_every_command_explains_itself_with_examples(cli: Cli) -> None:
    listed = cli.run("--help").ok()
    script = "import sys; from secflow.cli.main import run; [run([name, '--help']) for name in sys.argv[1:]]"
    commands = "run apply lint export ps get describe open logs events watch start stop trigger init uninit activate deactivate"
    commands += " sync delete login logout whoami completion version"

    pages = subprocess.run(
        [sys.executable, "-c", script, *commands.split()],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=cli.environ(),
        check=True,
    ).stdout.split("Usage: secflow ")[1:]

    assert [page.split()[0] for page in pages] == commands.split()
    for command, page in zip(commands.split(), pages, strict=True):
        assert f" {command} " in listed
        assert "Example" in page


def test_json_of_errors_is_not_mixed_into_the_result(cli: Cli) -> None:
    done = cli.run("get", "instance", "missing", "-o", "json")

    assert done.out == ""
    done.failed(4)
    assert json.loads(cli.run("ps", "-o", "json").out) == []
