"""How nodes of one request name each other (contract F.3)."""

from __future__ import annotations

from typing import Any

import pytest

from workflows.domain.drafts import Handles
from workflows.domain.errors import Invalid


def node(name: str, ref: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "ref": ref, **fields}


def fields_of(error: Invalid) -> list[str]:
    assert isinstance(error.details, dict)
    return [item["field"] for item in error.details["fields"]]


@pytest.mark.parametrize(
    ("nodes", "handles"),
    [
        ([], ()),
        ([node("a"), node("b")], ("a", "b")),
        ([node("a", "1"), node("b")], ("1", "b")),
        ([node("a"), node("a", "2")], ("nodes.0", "2")),
        ([node("x"), node("b", "x")], ("nodes.0", "x")),
        ([node("same"), node("same"), node("nodes.0")], ("nodes.0'", "nodes.1", "nodes.0")),
    ],
)
def test_every_node_has_a_handle_of_its_own(nodes: list[dict[str, Any]], handles: tuple[str, ...]) -> None:
    assert Handles(nodes).all == handles


@pytest.mark.parametrize(("text", "handle"), [("1", "1"), ("a", "1"), ("b", "b")])
def test_an_edge_names_a_node_by_ref_or_by_a_name_that_only_one_has(text: str, handle: str) -> None:
    handles = Handles([node("a", "1"), node("b"), node("c")])

    assert handles.resolved_edges([{"edge_id": "e", "source": text, "target": "c"}]) == [
        {"edge_id": "e", "source": handle, "target": "c"}
    ]


@pytest.mark.parametrize("text", ["twice", "nodes.0", "", "wf-node-a-00000000"])
def test_other_texts_mean_no_node(text: str) -> None:
    handles = Handles([node("twice"), node("twice"), node("c")])

    with pytest.raises(Invalid) as caught:
        handles.resolved_edges([{"edge_id": "e", "source": "c", "target": text}])

    assert fields_of(caught.value) == ["edges.0.target"]


def test_a_ref_wins_over_a_name() -> None:
    handles = Handles([node("x"), node("b", "x"), node("c")])

    assert handles.resolved_edges([{"edge_id": "e", "source": "x", "target": "c"}])[0]["source"] == "x"
    assert handles.all[1] == "x"


def test_sources_of_inputs_are_resolved_too() -> None:
    entry = {"name": "TARGET", "source_node_id": "first"}
    handles = Handles([node("first", "1"), node("second", input_env_vars=[entry])])

    resolved = handles.resolved_sources([node("first", "1"), node("second", input_env_vars=[entry])])

    assert resolved[1]["input_env_vars"] == [{"name": "TARGET", "source_node_id": "1"}]
    assert entry == {"name": "TARGET", "source_node_id": "first"}


def test_wrong_sources_are_named_by_their_place() -> None:
    nodes = [
        node("a", input_env_vars=[{"name": "X", "source_node_id": "a"}]),
        node("b", input_volume_mounts=[{"mount_path": "/x", "source_node_id": "zz"}]),
    ]

    with pytest.raises(Invalid) as caught:
        Handles(nodes).resolved_sources(nodes)

    assert fields_of(caught.value) == [
        "nodes.0.input_env_vars.0.source_node_id",
        "nodes.1.input_volume_mounts.0.source_node_id",
    ]
