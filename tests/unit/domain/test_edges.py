"""The edge list of an instance and its changes (contract F)."""

from __future__ import annotations

from typing import Any

import pytest

from workflows.domain.edges import (
    check_meaning,
    check_unique,
    edges_changed,
    edges_off,
    edges_with,
    edges_without,
    relations,
)
from workflows.domain.errors import Conflict, CycleFound, Invalid, NotFound

NODES = ("a", "b", "c", "d")


def edge(edge_id: str, source: str, target: str, shared_pvc: str | None = None) -> dict[str, Any]:
    return {"edge_id": edge_id, "source": source, "target": target, "shared_pvc": shared_pvc}


AB, BC = edge("ab", "a", "b"), edge("bc", "b", "c")


def fields_of(error: Invalid) -> list[str]:
    assert isinstance(error.details, dict)
    return [item["field"] for item in error.details["fields"]]


def test_an_added_edge_comes_last_and_the_old_list_is_untouched() -> None:
    old = [AB]

    new = edges_with(NODES, old, BC)

    assert new == [AB, BC]
    assert old == [AB]


@pytest.mark.parametrize(
    ("added", "field"),
    [
        (edge("x", "nowhere", "a"), "source"),
        (edge("x", "a", "nowhere"), "target"),
        (edge("x", "a", "a"), "target"),
    ],
)
def test_an_edge_needs_two_different_nodes_of_the_instance(added: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        edges_with(NODES, [AB], added)

    assert fields_of(caught.value) == [field]


def test_a_cycle_is_named_with_its_path() -> None:
    with pytest.raises(CycleFound) as caught:
        edges_with(NODES, [AB, BC], edge("ca", "c", "a"))

    assert caught.value.details == {"cycle": ["a", "b", "c", "a"]}


@pytest.mark.parametrize(
    ("added", "details"),
    [
        (edge("ab", "a", "c"), {"edge_id": "ab"}),
        (edge("other", "a", "b"), {"edge_id": "other", "source": "a", "target": "b"}),
    ],
)
def test_ids_and_pairs_are_unique(added: dict[str, Any], details: dict[str, Any]) -> None:
    with pytest.raises(Conflict) as caught:
        edges_with(NODES, [AB], added)

    assert caught.value.details == details


def test_meaning_is_checked_before_uniqueness() -> None:
    with pytest.raises(Invalid):
        edges_with(NODES, [AB], edge("ab", "a", "nowhere"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"target": "d"}, edge("ab", "a", "d")),
        ({"source": "d"}, edge("ab", "d", "b")),
        ({"shared_pvc": "data"}, edge("ab", "a", "b", "data")),
        ({}, AB),
        ({"edge_id": "other", "colour": "red"}, AB),
    ],
)
def test_an_update_changes_what_is_given(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert edges_changed(NODES, [AB, BC], "ab", changes) == [expected, BC]


def test_an_explicit_null_clears_the_claim() -> None:
    assert edges_changed(NODES, [edge("ab", "a", "b", "data")], "ab", {"shared_pvc": None}) == [AB]


def test_an_update_of_an_unknown_edge_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        edges_changed(NODES, [AB], "zz", {"target": "c"})

    assert caught.value.details == {"resource": "edge", "id": "zz"}


def test_an_update_may_not_close_a_cycle_or_repeat_a_pair() -> None:
    with pytest.raises(CycleFound):
        edges_changed(NODES, [AB, BC], "bc", {"target": "a"})
    with pytest.raises(Conflict):
        edges_changed(NODES, [AB, edge("ac", "a", "c")], "ac", {"target": "b"})


def test_a_deletion_removes_one_and_an_unknown_one_nothing() -> None:
    assert edges_without([AB, BC], "ab") == [BC]
    assert edges_without([AB, BC], "zz") == [AB, BC]


def test_a_node_takes_its_edges_with_it() -> None:
    assert edges_off([AB, BC, edge("ac", "a", "c")], "b") == [edge("ac", "a", "c")]


def test_every_wrong_end_of_a_list_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        check_meaning(NODES, [AB, edge("x", "?", "!"), edge("y", "c", "c")])

    assert fields_of(caught.value) == ["edges.1.source", "edges.1.target", "edges.2.target"]


def test_a_list_may_not_hold_a_cycle_or_a_double() -> None:
    with pytest.raises(CycleFound):
        check_meaning(NODES, [AB, edge("ba", "b", "a")])
    with pytest.raises(Conflict):
        check_unique([AB, edge("ab", "a", "c")])
    with pytest.raises(Conflict):
        check_unique([AB, edge("xx", "a", "b")])
    check_meaning(NODES, [AB, BC])
    check_unique([AB, BC])


def test_relations_are_direct_neighbours() -> None:
    assert relations([AB, BC, edge("ac", "a", "c")]) == (
        {"b": ["a"], "c": ["b", "a"]},
        {"a": ["b", "c"], "b": ["c"]},
    )
    assert relations([]) == ({}, {})
