"""Random nodes against a second, slower reading of the tables: each row is asked from the last to the first."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workflows.domain.graph import build_graph
from workflows.domain.inputs import NodeView, TemplateView, unmet_inputs
from workflows.domain.resolution import Resolution, resolve

NAMES = ["X", "Y"]
TEXT = st.sampled_from([None, "", "p", "q"])
Row = dict[str, Any]


def rows(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    keys = st.lists(st.sampled_from(NAMES), unique=True, max_size=2)
    return keys.flatmap(
        lambda names: st.tuples(*(st.fixed_dictionaries({"name": st.just(n), **fields}) for n in names))
    )


CONTAINER = st.fixed_dictionaries(
    {"env_vars": rows(value=st.sampled_from(["", "c"])), "input_env_vars": rows(default_value=TEXT)}
)
SOURCES = rows(source_node_id=st.sampled_from(["a", "b", "far"]), default_value=TEXT)
CASES = st.tuples(st.lists(CONTAINER, min_size=1, max_size=3), SOURCES, rows(value=st.sampled_from(["", "n"])))
Case = tuple[list[Row], list[Row], list[Row]]


def node_of(case: Case) -> NodeView:
    containers = [{"name": f"c{number}", **container} for number, container in enumerate(case[0])]
    template = TemplateView(id="t", kind="job", containers=containers)
    return NodeView("n", "node", "job", template, list(case[2]), [], list(case[1]), [])


def resolved(node: NodeView) -> Resolution:
    views = {id: node_of(([], [], [])) for id in ("a", "b", "far")} | {"n": node}
    edges = [{"source": source, "target": "n"} for source in ("a", "b")]
    graph = build_graph(views, [("a", "n"), ("b", "n")])
    return resolve(
        node, nodes=views, graph=graph, edges=edges, service_names={"a": "svc-a", "b": None, "far": "svc-far"}
    )


def find(items: list[Row], name: str) -> Row | None:
    return next((item for item in items if item["name"] == name), None)


def expected(case: Case, container: Row, name: str) -> str | None:
    containers, sources, fixed = case
    last = find(fixed, name)
    if last:
        return str(last["value"])
    declared = find(container["input_env_vars"], name)
    default = (declared or {}).get("default_value") or None
    source = find(sources, name)
    someone_declares = any(find(other["input_env_vars"], name) for other in containers)
    if source and source["source_node_id"] != "far" and (declared or not someone_declares):
        host = "svc-a" if source["source_node_id"] == "a" else None
        value = host or source["default_value"] or default
        if value:
            return str(value)
    own = find(container["env_vars"], name)
    return own["value"] if own else default


@given(CASES)
def test_environment_is_what_the_table_says(case: Case) -> None:
    found = resolved(node_of(case))

    for number, container in enumerate(case[0]):
        env = found.env[f"c{number}"]
        assert len(dict(env)) == len(env)
        assert dict(env) == {name: value for name in NAMES if (value := expected(case, container, name)) is not None}


@given(CASES)
def test_unmet_is_what_is_wanted_and_has_no_value(case: Case) -> None:
    containers, sources, _ = case
    found = resolved(node_of(case))

    missing = {(item["container"], item["name"]) for item in found.unmet}

    assert len(missing) == len(found.unmet)
    for number, container in enumerate(containers):
        for name in NAMES:
            undeclared = not any(find(other["input_env_vars"], name) for other in containers)
            wanted = find(container["input_env_vars"], name) or (undeclared and find(sources, name))
            is_missing = bool(wanted) and expected(case, container, name) is None
            assert ((f"c{number}", name) in missing) == is_missing


@given(CASES)
def test_what_the_write_check_refuses_preflight_refuses_too(case: Case) -> None:
    node = node_of(case)

    on_write = {(item["container"], item["name"]) for item in unmet_inputs(node)}

    assert on_write <= {(item["container"], item["name"]) for item in resolved(node).unmet}
