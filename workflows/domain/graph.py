"""The directed acyclic graph of one instance: built once, checked while it is built, then only asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workflows.domain.errors import CycleFound, Invalid


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes with their direct parents and children. It is acyclic; every end of every edge is a node.

    `parents` and `children` have a key for each node; their values hold no id twice.
    """

    parents: Mapping[str, frozenset[str]]
    children: Mapping[str, frozenset[str]]


class Ancestry:
    """Which nodes come before which others. One pass over the graph, then any number of answers at no cost."""

    def __init__(self, graph: Graph) -> None:
        self._bit: dict[str, int] = {}
        self._before: dict[str, int] = {}  # the bits of all that come before a node
        open_parents = {node: len(ids) for node, ids in graph.parents.items()}
        free = [node for node, count in open_parents.items() if not count]
        while free:
            node = free.pop()
            self._bit[node] = 1 << len(self._bit)
            bits = 0
            for parent in graph.parents[node]:
                bits |= self._before[parent] | self._bit[parent]
            self._before[node] = bits
            for child in graph.children[node]:
                open_parents[child] -= 1
                if not open_parents[child]:
                    free.append(child)

    def is_before(self, source: str, target: str) -> bool:
        """Whether a path of one or more edges leads from source to target. Both are nodes of the graph."""
        return bool(self._before[target] & self._bit[source])


def build_graph(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> Graph:
    """A checked graph (contract F.2). Raises Invalid for an unknown end or a self loop, CycleFound with the path."""
    parents: dict[str, set[str]] = {node: set() for node in nodes}
    children: dict[str, set[str]] = {node: set() for node in parents}
    for source, target in edges:
        for end in (source, target):
            if end not in parents:
                raise Invalid(f"an edge names {end}, which is not a node of this instance", {"node_id": end})
        if source == target:
            raise Invalid(f"an edge leads from {source} to itself", {"node_id": source})
        parents[target].add(source)
        children[source].add(target)
    cycle = find_cycle(parents, children)
    if cycle:
        raise CycleFound(cycle)
    return Graph(
        parents={node: frozenset(ids) for node, ids in parents.items()},
        children={node: frozenset(ids) for node, ids in children.items()},
    )


def find_cycle(parents: Mapping[str, set[str]], children: Mapping[str, set[str]]) -> list[str]:
    """A cycle as a path whose first and last id are the same, or an empty list.

    Kahn's order first: what it cannot remove has a parent that it cannot remove either, so walking from parent to
    parent must come round.
    """
    open_parents = {node: len(ids) for node, ids in parents.items()}
    free = [node for node, count in open_parents.items() if not count]
    while free:
        for child in children[free.pop()]:
            open_parents[child] -= 1
            if not open_parents[child]:
                free.append(child)
    left = {node for node, count in open_parents.items() if count}
    if not left:
        return []
    path: list[str] = []
    place: dict[str, int] = {}
    node = min(left)
    while node not in place:
        place[node] = len(path)
        path.append(node)
        node = min(parents[node] & left)
    cycle = [*path[place[node] :], node]
    return cycle[::-1]
