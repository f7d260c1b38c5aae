"""apply, lint, run -f, export: workflows as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.terminal import Cli
from tests.e2e.driver import Driver

pytestmark = pytest.mark.e2e


def workflow(project: str | None, name: str = "two steps", *, script: str = "echo $WHO") -> dict[str, Any]:
    container = {"name": "main", "image": "busybox:latest", "command": ["sh", "-c", script]}
    return {
        "apiVersion": "secflow.io/v1",
        "kind": "Workflow",
        "metadata": {"name": name} | ({"project": project} if project else {}),
        "spec": {
            "templates": {"say": {"kind": "job", "name": "say", "backoff_limit": 0, "containers": [container]}},
            "nodes": [
                {"name": one, "template": "say", "env_vars": [{"name": "WHO", "value": one}]}
                for one in ("first", "second")
            ],
            "edges": [{"from": "first", "to": "second"}],
        },
    }


def written(folder: Path, *documents: dict[str, Any]) -> str:
    path = folder / "workflow.yaml"
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return str(path)


def actions(answers: Any) -> list[tuple[str, list[str]]]:
    return [(one["instance"]["action"], [item["action"] for item in one["templates"]]) for one in answers]


def test_a_file_is_applied_once_and_then_nothing_changes(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    file = written(tmp_path, workflow(driver.project))

    tried = cli.run("apply", "-f", file, "--dry-run")
    first = cli.run("apply", "-f", file)
    second = cli.run("apply", "-f", file, "-o", "json").json

    assert "created" in tried.ok()
    assert "Nothing was changed: this was a dry run." in tried.err
    assert [line.split()[0] for line in first.ok().splitlines()][:3] == ["WHAT", "template", "workflow"]
    assert actions(second) == [("unchanged", ["unchanged"])]
    [instance] = driver.call("GET", f"/workflow-instances?project_id={driver.project}").ok()["items"]
    assert [node["name"] for node in instance["nodes"]] == ["first", "second"]


def test_several_workflows_in_one_stream(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    stream = yaml.safe_dump_all([workflow(driver.project, "one"), workflow(driver.project, "two")])

    made = cli.run("apply", "-f", "-", "-o", "json", stdin=stream).json

    assert [one["instance"]["name"] for one in made] == ["one", "two"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(workflow(driver.project, "one")))
    (tmp_path / "b.json").write_text('{"apiVersion": "secflow.io/v1", "kind": "Workflow"}')
    done = cli.run("apply", "-f", str(tmp_path))
    done.failed(3, "b.json")
    assert "unchanged" in done.out


def test_a_file_without_a_project_takes_the_one_of_the_call(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    file = written(tmp_path, workflow(None))

    cli.run("apply", "-f", file).ok()

    assert cli.run("ps", "-o", "json").json[0]["project_id"] == driver.project
    named = written(tmp_path, workflow(driver.project))
    cli.run("apply", "-f", named, "--project", "other").failed(2, "not 'other'")


def test_values_mean_the_same_with_and_without_a_project_in_the_file(cli: Cli, driver: Driver) -> None:
    """Words that older readers of YAML take for flags, numbers and dates are texts, wherever the file is read."""
    values = {"SWITCH": "on", "MODE": "0644", "CLOCK": "12:30", "DAY": "2024-01-02", "ODD": "2024-13-45"}
    variables = ", ".join(f"{{name: {name}, value: {value}}}" for name, value in values.items())
    text = (
        "apiVersion: secflow.io/v1\nkind: Workflow\nmetadata: {name: words}\nspec:\n  templates:\n    t: {kind: job,"
        " containers: [{name: main, image: busybox}]}\n  nodes:\n"
        f"    - {{name: one, template: t, env_vars: [{variables}]}}\n"
    )

    cli.run("apply", "-f", "-", stdin=text).ok()
    named = text.replace("{name: words}", f"{{name: words, project: {driver.project}}}")
    again = cli.run("apply", "-f", "-", "-o", "json", stdin=named).json

    assert actions(again) == [("unchanged", ["unchanged"])]
    [node] = cli.run("get", "nodes", "words", "-o", "json").json
    assert {one["name"]: one["value"] for one in node["env_vars"]} == values
    assert "in order" in cli.run("lint", "-f", "-", "--offline", stdin=text).err


def test_export_gives_back_what_was_applied(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    cli.run("apply", "-f", written(tmp_path, workflow(driver.project))).ok()

    text = cli.run("export", "two steps").ok()

    assert yaml.safe_load(text)["metadata"]["name"] == "two steps"
    assert cli.run("export", "two steps", "-o", "json").json == yaml.safe_load(text)
    assert actions(cli.run("apply", "-f", "-", "-o", "json", stdin=text).json) == [("unchanged", ["unchanged"])]


def test_lint_names_every_slip_with_its_line_and_changes_nothing(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    broken = workflow(driver.project)
    broken["spec"]["edges"].append({"from": "second", "to": "third"})
    file = written(tmp_path, workflow(driver.project, "good"), broken)

    done = cli.run("lint", "-f", file)
    offline = Cli(tmp_path).run("lint", "-f", file, "--offline")

    done.failed(3, "1 error")
    offline.failed(3, "1 error")
    assert "third" in done.out
    assert "third" in offline.out
    assert driver.call("GET", f"/workflow-instances?project_id={driver.project}").ok()["items"] == []
    refused = cli.run("apply", "-f", file)
    refused.failed(3, "third")
    assert "good" in refused.out


def test_lint_shows_what_the_cluster_would_be_given(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    said = cli.run("lint", "-f", written(tmp_path, workflow(driver.project)), "--manifests").ok()

    assert "--- # node first: Job" in said
    assert "image: busybox:latest" in said


def test_bad_yaml_is_code_2_with_its_place(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: Workflow\nmetadata: {name: a\n")

    cli.run("apply", "-f", str(tmp_path / "bad.yaml")).failed(2, "bad.yaml is not YAML: line 3")
    cli.run("apply", "-f", str(tmp_path / "missing.yaml")).failed(2, "cannot be read")
    cli.run("apply", "-f", "-", stdin="").failed(2, "no workflow in -")


def test_run_applies_and_follows(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    file = written(tmp_path, workflow(driver.project))

    first = cli.run("run", "-f", file, "--watch")
    again = cli.run("run", "-f", file, "--watch", "-o", "json")

    assert "two steps succeeded after" in first.ok()
    assert (again.json["status"], again.json["run_count"]) == ("succeeded", 2)
    assert cli.run("logs", "two steps", "--node", "second").ok() == "second\n"
    cli.run("run").failed(2, "NAME or a file")
    cli.run("run", "two steps", "-f", file).failed(2)


def test_a_changed_file_of_a_workflow_that_has_run_says_how_to_go_on(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    cli.run("run", "-f", written(tmp_path, workflow(driver.project, script="exit 3")), "--watch")
    changed = workflow(driver.project)
    changed["spec"]["nodes"].append({"name": "third", "template": "say"})
    file = written(tmp_path, changed)

    for command in (("run", "--watch"), ("apply",), ("apply", "--dry-run"), ("lint",)):
        cli.run(*command, "-f", file).failed(3, "Hint: `secflow uninit wf-inst-")
    mistaken = changed | {"spec": changed["spec"] | {"edges": [{"from": "first", "to": "nobody"}]}}
    cli.run("lint", "-f", written(tmp_path, mistaken)).failed(3, "Hint: Change what is named above, and lint again.")
    written(tmp_path, changed)
    cli.run("uninit", "two steps", "--yes").ok()

    assert "two steps succeeded" in cli.run("run", "-f", file, "--watch").ok()


FAULTY = """\
apiVersion: secflow.io/v1
kind: Workflow
metadata: {name: good%s}
spec:
  nodes: []
---
# The second one.
apiVersion: secflow.io/v1
kind: Workflow
metadata: {name: bad%s}
spec:
  templates:
    say: {kind: job, containers: [{name: main, image: busybox}]}
  nodes:
    - {name: first, template: say}
  edges:
    - {from: first, to: third}
    - {from: fourth, to: first}
  colour: red
"""


@pytest.mark.parametrize("is_named", [True, False])
def test_what_is_refused_is_said_once_and_as_lint_says_it(
    cli: Cli, driver: Driver, tmp_path: Path, is_named: bool
) -> None:
    """With lines, whether the file names the project or the call does, and whichever document of the file it is."""
    path = tmp_path / "two.yaml"
    words = f", project: {driver.project}" if is_named else ""
    path.write_text(FAULTY % (words, words))

    linted = cli.run("lint", "-f", str(path))
    applied = cli.run("apply", "-f", str(path))

    linted.failed(3, "2 errors")
    found = [line for line in linted.out.splitlines() if f"{path}:" in line]
    for line, place in ((17, "spec.edges[0].to"), (18, "spec.edges[1].from")):
        assert any(one.startswith(f"error: {path}:{line}: {place}: ") for one in found), found
    assert any(one.startswith(f"warning: {path}:19: spec.colour: ") for one in found), found
    applied.failed(3, f"Error: {path}:6: 2 errors\n")
    assert [line.removeprefix("  - ") for line in applied.err.splitlines() if line.startswith("  - ")] == found


def test_the_only_error_is_the_message_and_warnings_are_called_so(cli: Cli, driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text((FAULTY % ("", "")).partition("---\n")[2].replace("    - {from: fourth, to: first}\n", ""))

    said = cli.run("run", "-f", str(path)).failed(3, f"Error: {path}:11: spec.edges[0].to: ")

    assert said.count("third") == 1
    assert f"  - warning: {path}:12: spec.colour: " in said


def test_a_key_given_twice_is_refused_with_and_without_a_project(cli: Cli, driver: Driver) -> None:
    """Of two values under one key, whoever reads the file must not choose in silence."""
    text = json.dumps(workflow(None)).replace('"name": "first"', '"name": "n", "name": "first"', 1)

    for arguments in (("--project", driver.project), ("--project", "all"), ("--offline",)):
        cli.run("lint", "-f", "-", *arguments, stdin=text).failed(2, "the key 'name' is given twice")
    cli.run("apply", "-f", "-", stdin=text).failed(2, "the key 'name' is given twice")


def test_what_is_too_large_says_what_helps(cli: Cli, driver: Driver) -> None:
    large = workflow(driver.project)
    large["spec"]["description"] = "x" * (3 * 1024 * 1024)

    cli.run("apply", "-f", "-", stdin=json.dumps(large)).failed(3, "Hint: Send less")
