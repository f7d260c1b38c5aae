"""Graphs of runs, kept in memory: a run's graph is frozen, and reading it for every observation would dominate large runs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from workflows.domain.graph import Graph, build_graph
from workflows.models import NodeRun, Run

MOST_NODES = 50_000  # of all kept graphs together, about a kilobyte each: ten thousand runs of five nodes


class GraphCache:
    """The graphs that were used last, as many as have room together. Safe for many threads."""

    def __init__(self, read: Callable[[int], Graph], *, most_nodes: int) -> None:
        self._read = read
        self._most = most_nodes
        self._kept: OrderedDict[int, Graph] = OrderedDict()
        self._lock = threading.Lock()
        self.nodes = 0  # of all that are kept

    def get(self, run_id: int) -> Graph:
        """The graph of the run, read when it is not kept. The newest is kept however large it is."""
        with self._lock:
            if run_id in self._kept:
                self._kept.move_to_end(run_id)
                return self._kept[run_id]
        graph = self._read(run_id)
        with self._lock:
            if run_id not in self._kept:
                self._kept[run_id] = graph
                self.nodes += len(graph.parents)
            while self.nodes > self._most and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self.nodes -= len(dropped.parents)
        return graph


def _read(run_id: int) -> Graph:
    edges = Run.objects.values_list("edges", flat=True).get(pk=run_id)
    nodes = NodeRun.objects.filter(run_id=run_id).values_list("node_id", flat=True)
    return build_graph(nodes, ((source, target) for source, target in edges))


_cache = GraphCache(_read, most_nodes=MOST_NODES)


def graph_of(run: Run) -> Graph:
    """The frozen graph of the run; two queries the first time, none as long as it is kept."""
    return _cache.get(run.pk)
