"""Who is next: small tables, and random runs against what a user is promised."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.domain.graph import Ancestry, Graph, build_graph
from workflows.domain.planner import Plan, plan
from workflows.domain.statuses import NodeStatus, RunStatus
from workflows.domain.transitions import NODE_MOVES, NodeEvent

WORDS = {"p": "pending", "r": "running", "s": "succeeded", "f": "failed", "x": "stopped"}
DIAMOND = build_graph("abcd", [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
ENDS = [NodeEvent.SUCCEED, NodeEvent.SUCCEED, NodeEvent.SUCCEED, NodeEvent.FAIL, NodeEvent.EXPIRE, NodeEvent.VANISH]


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("pppp", Plan(launch=("a",))),
        ("rppp", Plan()),
        ("sppp", Plan(launch=("b", "c"))),
        ("srpp", Plan(launch=("c",))),
        ("ssrp", Plan()),
        ("sssp", Plan(launch=("d",))),
        ("sssr", Plan()),
        ("ssss", Plan(verdict=RunStatus.SUCCEEDED)),
        ("fppp", Plan(unreached=("b", "c", "d"), verdict=RunStatus.FAILED)),
        ("sfrp", Plan()),
        ("sfpp", Plan(unreached=("c", "d"), verdict=RunStatus.FAILED)),
        ("sfsp", Plan(unreached=("d",), verdict=RunStatus.FAILED)),
        ("sffp", Plan(unreached=("d",), verdict=RunStatus.FAILED)),
        ("sssf", Plan(verdict=RunStatus.FAILED)),
        ("xxxx", Plan()),
        ("sxxp", Plan()),
    ],
)
def test_plan_of_a_diamond(letters: str, expected: Plan) -> None:
    statuses = {node: NodeStatus(WORDS[letter]) for node, letter in zip("abcd", letters, strict=True)}

    assert plan(DIAMOND, statuses) == expected


def test_independent_nodes_start_together() -> None:
    graph = build_graph("cab", [])

    assert plan(graph, dict.fromkeys("cab", NodeStatus.PENDING)) == Plan(launch=("a", "b", "c"))


def test_text_of_a_database_row_counts_as_a_status() -> None:
    statuses = {"a": "succeeded", "b": "pending", "c": "pending", "d": "pending"}

    assert plan(DIAMOND, statuses) == Plan(launch=("b", "c"))  # type: ignore[arg-type]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = draw(st.permutations([f"n{number}" for number in range(draw(st.integers(1, 9)))]))
    pairs = [(a, b) for position, a in enumerate(names) for b in names[position + 1 :]]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=16)) if pairs else []
    return build_graph(sorted(names), chosen)


def happen(statuses: dict[str, NodeStatus], node: str, event: NodeEvent) -> bool:
    """One guarded move, as the database makes it."""
    sources, target = NODE_MOVES[event]
    allowed = statuses[node] in sources
    if allowed:
        statuses[node] = target
    return allowed


@given(graph=graphs(), random=st.randoms(use_true_random=False), ends=st.lists(st.sampled_from(ENDS), min_size=9))
def test_random_run_keeps_its_promises(graph: Graph, random: Random, ends: list[NodeEvent]) -> None:
    statuses = dict.fromkeys(graph.parents, NodeStatus.PENDING)
    end_of = dict(zip(sorted(graph.parents), ends, strict=False))
    history: list[tuple[str, NodeEvent]] = []

    for _ in range(2 * len(statuses) + 1):
        step = plan(graph, statuses)
        assert plan(graph, dict(reversed(statuses.items()))) == step
        if step.verdict is not None:
            break
        for node in step.launch:
            assert all(statuses[parent] == NodeStatus.SUCCEEDED for parent in graph.parents[node])
            assert NodeStatus.FAILED not in statuses.values()
            assert happen(statuses, node, NodeEvent.LAUNCH)
            history.append((node, NodeEvent.LAUNCH))
        assert plan(graph, statuses).launch == ()  # what was just launched is not launched again
        running = sorted(node for node, status in statuses.items() if status == NodeStatus.RUNNING)
        assert running  # else the run would hang for ever
        for node in random.sample(running, random.randint(1, len(running))):
            assert happen(statuses, node, end_of[node])
            history.append((node, end_of[node]))
        for node, event in history:
            assert not happen(statuses, node, event)  # a message that comes twice changes nothing

    launched = {node for node, event in history if event == NodeEvent.LAUNCH}
    failed = {node for node in launched if end_of[node] != NodeEvent.SUCCEED}
    assert step.verdict == (RunStatus.FAILED if failed else RunStatus.SUCCEEDED)
    assert set(step.unreached) == statuses.keys() - launched
    ancestry = Ancestry(graph)
    assert not any(ancestry.is_before(bad, node) for bad in failed for node in launched)
    assert failed or launched == statuses.keys()


def test_long_chain_runs_to_its_end() -> None:
    nodes = [f"n{number:04}" for number in range(60)]
    graph = build_graph(nodes, pairwise(nodes))
    statuses = dict.fromkeys(nodes, NodeStatus.PENDING)
    order = []

    while plan(graph, statuses).verdict is None:
        (node,) = plan(graph, statuses).launch
        order.append(node)
        happen(statuses, node, NodeEvent.LAUNCH)
        happen(statuses, node, NodeEvent.SUCCEED)

    assert order == nodes
