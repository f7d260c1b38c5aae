"""Workflow files are split as they are written, and their form is judged without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from secflow.cli.documents import Document, read_documents, split
from secflow.cli.errors import UsageProblem
from secflow.cli.findings import path_of, place
from secflow.cli.linting import check_offline
from secflow.yaml_text import read_yaml

TEMPLATES = {"t": {"kind": "job", "containers": [{"name": "main", "image": "busybox"}]}}


def workflow(**spec: Any) -> dict[str, Any]:
    made = {
        "templates": TEMPLATES,
        "nodes": [{"name": "a", "template": "t"}, {"name": "b", "template": "t"}],
        "edges": [],
    }
    return {
        "apiVersion": "secflow.io/v1",
        "kind": "Workflow",
        "metadata": {"name": "w", "project": "p1"},
        "spec": made | spec,
    }


def findings(content: Any) -> list[tuple[str, str]]:
    return [(item["severity"], item["path"]) for item in check_offline(Document("f", 1, "", content))]


def test_every_document_of_a_stream_keeps_its_text_and_its_line() -> None:
    text = '# one\nmetadata: {name: a}\n---\n# two\nmetadata:\n  name: b\n...\n---\n---\n{"metadata": {"name": "c"}}\n'

    found = split("f.yaml", text)

    assert [(one.name, one.place) for one in found] == [("a", "f.yaml:2"), ("b", "f.yaml:3"), ("c", "f.yaml:9")]
    for one in found:
        assert read_yaml(one.body(None)[0]).value == one.content
        assert one.body(None)[1] == "application/yaml"
    # An error that the server finds in the second is on the line where the file has it.
    assert found[1].body(None)[0].decode().split("\n")[4] == "metadata:"


def test_findings_get_the_lines_of_the_file() -> None:
    [_, document] = split("f.yaml", "a: 1\n---\nspec:\n  templates:\n    a b: {kind: job}\n  nodes:\n    - {name: n}\n")
    paths = ['spec.templates["a b"].kind', "spec.nodes[0].name", "spec.nodes[0].missing", "spec", ""]
    found: list[dict[str, Any]] = [{"path": path, "line": 1, "column": 9} for path in paths]

    place(found, document)

    assert [(item["line"], "column" in item) for item in found] == [(line, False) for line in (5, 7, 7, 3, 3)]
    assert path_of('x["a \\" .b"][12].c-d') == ("x", 'a " .b', 12, "c-d")


@pytest.mark.parametrize("text", ['{"a": {"b": 1, "b": 2}}', '{"a": 1,\t"a": 2}', "a: {b: 1, b: 2}"])
def test_a_key_given_twice_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="is given twice in one object"):
        split("f", text)


def test_a_project_is_filled_in_and_never_replaced() -> None:
    [own] = split("f", "metadata: {name: a, project: p1}")
    [without] = split("f", "metadata: {name: a}")

    assert own.body("p1")[0] == b"metadata: {name: a, project: p1}"
    assert yaml.safe_load(without.body("p2")[0])["metadata"] == {"name": "a", "project": "p2"}
    with pytest.raises(UsageProblem, match="of project 'p1', not 'p2'"):
        own.body("p2")


# Words that older readers of YAML take for a date, a number or a flag.
OLD_WORDS = (
    "day: 2024-01-02\nbad: 2024-13-45\nmode: 0644\nswitch: on\nclock: 12:30\nbig: 1_000\nfloat: 1e3\noctal: 0o17\n"
)


def test_values_are_those_that_the_server_reads_also_when_a_project_is_filled_in() -> None:
    [found] = split("f", f"metadata: {{name: a, on: yes}}\n{OLD_WORDS}")

    filled = json.loads(found.body("p")[0])

    wanted = read_yaml(found.text).value
    assert wanted["bad"] == "2024-13-45"
    assert filled == found.content | {"metadata": {"name": "a", "on": "yes", "project": "p"}}
    assert found.content == wanted


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("  a: 1\n  b: 2\n---\n  c: 3\n", [{"a": 1, "b": 2}, {"c": 3}]),
        ("\ufeff# of an editor\na: 1\n", [{"a": 1}]),
        ('{\t"a": "\\/b"}', [{"a": "/b"}]),
        ("--- {a: 1}\n--- {b: on}\n", [{"a": 1}, {"b": "on"}]),
    ],
)
def test_every_way_of_writing_documents_is_read(tmp_path: Path, text: str, values: list[Any]) -> None:
    (tmp_path / "f.yaml").write_text(text, encoding="utf-8")

    found = read_documents([str(tmp_path / "f.yaml")])

    assert [one.content for one in found] == values


def test_folders_are_read_in_order_and_other_files_left_alone(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "notes.txt"):
        (tmp_path / name).write_text(f'{{"metadata": {{"name": "{name}"}}}}')

    assert [one.name for one in read_documents([str(tmp_path)])] == ["a.yaml", "b.yml", "c.json"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "line 1, column"),
        ("a: b: c", "line 1, column 5"),
        ("a: &x 1\nb: *y", "line 2, column 4: the alias *y has no anchor"),
        ("a: !!python/object:os.system {}", "line 1, column 4: the tag"),
        ("---\nb: 1\n---\na: 1\na: 2", "line 5, column 1: the key 'a' is given twice"),
        ("\x07", "is not YAML"),
    ],
)
def test_bad_yaml_is_a_sentence_with_its_place(text: str, words: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        split("f.yaml", text)

    assert caught.value.message.startswith("f.yaml is not YAML: ")
    assert words in caught.value.message


@pytest.mark.parametrize("paths", [["missing.yaml"], ["empty.yaml"], ["latin.yaml"], ["x" * 300]])
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, paths: list[str]) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")

    with pytest.raises(UsageProblem):
        read_documents([str(tmp_path / path) for path in paths])


def test_a_good_form_has_no_findings() -> None:
    assert findings(workflow(edges=[{"from": "a", "to": "b", "shared_pvc": "data"}])) == []
    by_ref = [
        {"name": "x", "ref": "one", "template": "t"},
        {"name": "x", "ref": "two", "template_id": "wf-tmpl-x-00000000"},
    ]
    assert findings(workflow(nodes=by_ref, edges=[{"from": "one", "to": "two"}])) == []
    assert findings(workflow(templates={"t": {"kind": "job", "name": "there already"}})) == []


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ([], ("error", "")),
        ({}, ("error", "apiVersion")),
        ({**workflow(), "kind": "Flow"}, ("error", "kind")),
        ({**workflow(), "metadata": None}, ("error", "metadata")),
        ({**workflow(), "metadata": {"name": " "}}, ("error", "metadata.name")),
        ({**workflow(), "metadata": {"name": "w" * 129}}, ("error", "metadata.name")),
        ({**workflow(), "specs": 1}, ("warning", "specs")),
        ({**workflow(), "spec": []}, ("error", "spec")),
        (workflow(node=[]), ("warning", "spec.node")),
        (workflow(templates=[1]), ("error", "spec.templates")),
        (
            workflow(templates={**TEMPLATES, "u": {"kind": "cron", "containers": []}}),
            ("error", "spec.templates.u.kind"),
        ),
        (
            workflow(templates={**TEMPLATES, "u": {"kind": "app", "containers": [{}]}}),
            ("error", "spec.templates.u.containers[0].name"),
        ),
        (workflow(nodes="a"), ("error", "spec.nodes")),
        (workflow(nodes=[1]), ("error", "spec.nodes[0]")),
        (workflow(nodes=[{"name": "a"}]), ("error", "spec.nodes[0]")),
        (workflow(nodes=[{"name": "a", "template": "t", "template_id": "x"}]), ("error", "spec.nodes[0]")),
        (workflow(nodes=[{"name": "a", "template": "u"}]), ("error", "spec.nodes[0].template")),
        (workflow(nodes=[{"name": "a", "template": ["t"]}]), ("error", "spec.nodes[0].template")),
        (
            workflow(nodes=[{"name": "a", "template": "t", "input_env_vars": [{"name": "X", "source_node": "z"}]}]),
            ("error", "spec.nodes[0].input_env_vars[0].source_node"),
        ),
        (workflow(edges={}), None),
        (workflow(edges=[1]), ("error", "spec.edges[0]")),
        (workflow(edges=[{"from": "a", "to": "z"}]), ("error", "spec.edges[0].to")),
        (workflow(edges=[{"from": "a", "to": "a"}]), ("error", "spec.edges[0]")),
        (workflow(edges=[{"from": "a", "to": "b"}, {"from": "a", "to": "b"}]), ("error", "spec.edges[1]")),
        (workflow(edges=[{"from": "a", "to": "b"}, {"from": "b", "to": "a"}]), ("error", "spec.edges")),
    ],
)
def test_each_slip_is_found_where_it_is(content: Any, wanted: tuple[str, str] | None) -> None:
    assert (wanted in findings(content)) if wanted else findings(content) == []


def test_a_name_of_several_nodes_means_none_of_them() -> None:
    twins = [{"name": "x", "template": "t"}, {"name": "x", "template": "t"}, {"name": "y", "template": "t"}]

    assert findings(workflow(nodes=twins, edges=[{"from": "x", "to": "y"}])) == [("error", "spec.edges[0].from")]
