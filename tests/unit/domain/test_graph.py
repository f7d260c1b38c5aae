"""Building a graph, refusing what is none, and asking it. The oracle is the transitive closure by brute force."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.domain.errors import CycleFound, Invalid
from workflows.domain.graph import Ancestry, Graph, build_graph

LONG = 5000
Edges = list[tuple[str, str]]


@st.composite
def edge_sets(draw: st.DrawFn) -> tuple[list[str], Edges]:
    nodes = [f"n{number}" for number in range(draw(st.integers(1, 8)))]
    pairs = st.tuples(st.sampled_from(nodes), st.sampled_from(nodes)).filter(lambda pair: pair[0] != pair[1])
    return nodes, draw(st.lists(pairs, max_size=14)) if len(nodes) > 1 else []


def closure(nodes: list[str], edges: Edges) -> set[tuple[str, str]]:
    reached = set(edges)
    for middle in nodes:
        reached |= {(a, d) for a, b in reached for c, d in reached if b == middle == c}
    return reached


def chain(length: int) -> tuple[list[str], Edges]:
    nodes = [f"n{number}" for number in range(length)]
    return nodes, list(pairwise(nodes))


def test_graph_knows_direct_relations_without_duplicates() -> None:
    graph = build_graph("abcd", [("a", "b"), ("a", "b"), ("a", "c"), ("c", "b")])

    assert graph == Graph(
        parents={"a": frozenset(), "b": frozenset("ac"), "c": frozenset("a"), "d": frozenset()},
        children={"a": frozenset("bc"), "b": frozenset(), "c": frozenset("b"), "d": frozenset()},
    )


def test_empty_graph() -> None:
    assert build_graph([], []) == Graph(parents={}, children={})


@pytest.mark.parametrize(
    ("edges", "message", "node_id"),
    [
        ([("a", "z")], "an edge names z, which is not a node of this instance", "z"),
        ([("z", "a")], "an edge names z, which is not a node of this instance", "z"),
        ([("a", "b"), ("b", "b")], "an edge leads from b to itself", "b"),
    ],
)
def test_bad_edge_is_refused(edges: Edges, message: str, node_id: str) -> None:
    with pytest.raises(Invalid) as caught:
        build_graph("ab", edges)

    assert caught.value.message == message
    assert caught.value.details == {"node_id": node_id}


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ([("a", "b"), ("b", "a")], ["a", "b", "a"]),
        ([("a", "b"), ("b", "c"), ("c", "a")], ["a", "b", "c", "a"]),
        ([("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")], ["b", "c", "b"]),  # detached from the roots, with a tail
    ],
)
def test_cycle_is_refused_with_its_path(edges: Edges, cycle: list[str]) -> None:
    with pytest.raises(CycleFound) as caught:
        build_graph("abcd", edges)

    found = caught.value.details["cycle"]  # type: ignore[call-overload]
    assert found[0] == found[-1]
    assert sorted(found[1:]) == sorted(cycle[1:])
    assert set(pairwise(found)) <= set(edges)


@given(edge_sets())
def test_cycle_is_found_exactly_when_there_is_one(case: tuple[list[str], Edges]) -> None:
    nodes, edges = case
    reached = closure(nodes, edges)

    if any((node, node) in reached for node in nodes):
        with pytest.raises(CycleFound) as caught:
            build_graph(nodes, edges)
        path = caught.value.details["cycle"]  # type: ignore[call-overload]
        assert path[0] == path[-1]
        assert len(set(path)) == len(path) - 1 >= 2
        assert set(pairwise(path)) <= set(edges)
    else:
        ancestry = Ancestry(build_graph(nodes, edges))
        assert {(a, b) for a in nodes for b in nodes if ancestry.is_before(a, b)} == reached


def test_long_chain_needs_no_recursion() -> None:
    nodes, edges = chain(LONG)

    ancestry = Ancestry(build_graph(nodes, edges))

    assert ancestry.is_before("n0", f"n{LONG - 1}")
    assert not ancestry.is_before(f"n{LONG - 1}", "n0")


def test_long_cycle_is_told_whole() -> None:
    nodes, edges = chain(LONG)

    with pytest.raises(CycleFound) as caught:
        build_graph(nodes, [*edges, (nodes[-1], nodes[0])])

    assert len(caught.value.details["cycle"]) == LONG + 1  # type: ignore[call-overload]
