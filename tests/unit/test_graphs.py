"""Graphs of runs in memory: those used last, and no more than have room."""

from __future__ import annotations

from workflows.domain.graph import Graph, build_graph
from workflows.services.graphs import GraphCache


class Reads:
    """Graphs of as many nodes as the number of their run; counts how often each was read."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, run_id: int) -> Graph:
        self.runs.append(run_id)
        return build_graph([f"n{number}" for number in range(run_id)], [])


def test_a_graph_is_read_once_while_there_is_room() -> None:
    reads = Reads()
    cache = GraphCache(reads, most_nodes=10)

    found = [cache.get(run_id) for run_id in (3, 4, 3, 4)]

    assert reads.runs == [3, 4]
    assert [len(graph.parents) for graph in found] == [3, 4, 3, 4]
    assert cache.nodes == 7


def test_the_one_that_was_not_used_for_longest_makes_room() -> None:
    reads = Reads()
    cache = GraphCache(reads, most_nodes=10)
    for run_id in (3, 4, 3, 5):
        cache.get(run_id)

    cache.get(3)
    assert reads.runs == [3, 4, 5]
    cache.get(4)

    assert reads.runs == [3, 4, 5, 4]
    assert cache.nodes <= 10


def test_one_that_is_larger_than_the_room_is_kept_alone() -> None:
    reads = Reads()
    cache = GraphCache(reads, most_nodes=10)
    cache.get(3)

    cache.get(50)
    cache.get(50)

    assert reads.runs == [3, 50]
    assert cache.nodes == 50
