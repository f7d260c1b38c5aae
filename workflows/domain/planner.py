"""Who is next. Pure: a graph and the statuses of its nodes in, a plan out (contract E.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workflows.domain.graph import Graph
from workflows.domain.statuses import NodeStatus, RunStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run needs now. `launch` is sorted; with a failed verdict, `unreached` are the nodes that never start."""

    launch: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    verdict: RunStatus | None = None


def plan(graph: Graph, statuses: Mapping[str, NodeStatus]) -> Plan:
    """The next step of a run.

    Promises: a node is launched only when every parent is `succeeded`; nothing is launched once a node `failed`; as
    long as there is no verdict, something runs or is launched, but for a stopped run, which has nothing left to plan.
    Equal input gives an equal plan, so planning twice is harmless.
    """
    present = set(statuses.values())
    if present <= {NodeStatus.SUCCEEDED}:
        return Plan(verdict=RunStatus.SUCCEEDED)
    if NodeStatus.FAILED in present:
        if NodeStatus.RUNNING in present:
            return Plan()
        unreached = sorted(node for node, status in statuses.items() if status == NodeStatus.PENDING)
        return Plan(unreached=tuple(unreached), verdict=RunStatus.FAILED)
    if NodeStatus.STOPPED in present:
        return Plan()
    launch = sorted(
        node
        for node, status in statuses.items()
        if status == NodeStatus.PENDING
        and all(statuses[parent] == NodeStatus.SUCCEEDED for parent in graph.parents[node])
    )
    return Plan(launch=tuple(launch))
