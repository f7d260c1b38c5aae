"""Graphs of every shape run in the order of their edges, and as wide as they allow (contract E.6, F.1)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.driver import Json, app, job, nodes_by_name, statuses
from tests.e2e.project import Project, mount
from tests.stack import Stack, Witness, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

Edges = list[tuple[str, str]]

CHAIN: Edges = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")]
DIAMOND: Edges = [("top", "left"), ("top", "right"), ("left", "bottom"), ("right", "bottom")]
# Two paths of different length into one node, and an edge over both.
UNEVEN: Edges = [("a", "b"), ("b", "c"), ("c", "end"), ("a", "end"), ("x", "end")]
WIDTH = 6
BRANCHES = [f"branch{number}" for number in range(WIDTH)]
FAN: Edges = [("out", name) for name in BRANCHES] + [(name, "in") for name in BRANCHES]
LAYERS: Edges = [(a, b) for a in ("a1", "a2", "a3") for b in ("b1", "b2", "b3")]
LAYERS += [(b, c) for b in ("b1", "b2", "b3") for c in ("c1", "c2")]
APART: Edges = [("a", "b"), ("c", "d")]
SHAPES = {"chain": CHAIN, "diamond": DIAMOND, "uneven": UNEVEN, "fan": FAN, "layers": LAYERS, "apart": APART}


@pytest.fixture(scope="module")
def seen(stack: Stack, installation: str) -> Iterator[Witness]:
    with Witness(stack.kubeconfig, installation=installation) as watching:
        yield watching


@pytest.fixture(scope="module")
def runs(project: Project, seen: Witness) -> dict[str, str]:
    """Every shape, started at once."""
    plain = project.job_template("true", backoff_limit=0)
    # Each branch waits for all the others: only branches that run at the same time come to an end.
    claim = project.claim("meeting")
    meet = f'touch "/data/$(hostname)-$NAME"; until [ $(ls /data | wc -l) -ge {WIDTH} ]; do sleep 0.1; done'
    meeting = project.job_template(meet, backoff_limit=0, container={"volume_mounts": [mount(claim)]})

    def node(name: str) -> Json:
        if name in BRANCHES:
            return job(meeting, name, env_vars=[{"name": "NAME", "value": name}], timeout_seconds=60)
        return job(plain, name)

    made = {}
    for shape, edges in SHAPES.items():
        names = dict.fromkeys(name for edge in edges for name in edge)
        made[shape] = project.instance([node(name) for name in names], edges, name=shape)
    return project.launch(made)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_node_begins_before_all_that_it_waits_for_have_ended(
    project: Project, seen: Witness, runs: dict[str, str], shape: str
) -> None:
    ended = project.ended(runs[shape])

    assert (ended["status"], set(statuses(ended).values())) == ("succeeded", {"succeeded"})
    nodes = nodes_by_name(ended)
    for source, target in SHAPES[shape]:
        assert nodes[target]["started_at"] >= nodes[source]["finished_at"], (source, target)
    # The pods as the cluster shows them to somebody else: one for each node, in the order of the edges.
    ids = {node["id"]: name for name, node in nodes.items()}
    eventually(
        lambda: sum(pod in seen.succeeded for pod, node in dict(seen.node_of).items() if node in ids) == len(nodes),
        what="the end of every pod before the witness",
    )
    pods = {ids[node]: pod for pod, node in dict(seen.node_of).items() if node in ids}
    assert len(pods) == len(nodes)
    early = [edge for edge in SHAPES[shape] if seen.succeeded[pods[edge[0]]] > seen.added[pods[edge[1]]]]
    assert early == []
    assert [double for double in seen.doubles() if double[1] in ids] == []


def test_neighbours_are_told_in_both_directions(project: Project, runs: dict[str, str]) -> None:
    nodes = nodes_by_name(project.read(runs["diamond"]))

    def names(node: str, key: str) -> list[str]:
        return sorted(name for name, other in nodes.items() if other["id"] in nodes[node][key])

    assert [names(name, "depends_on") for name in ("top", "left", "bottom")] == [[], ["top"], ["left", "right"]]
    assert [names(name, "downstream_node_ids") for name in ("top", "left", "bottom")] == [
        ["left", "right"],
        ["bottom"],
        [],
    ]


def test_a_failed_branch_keeps_the_join_from_starting_and_no_other_branch_from_ending(project: Project) -> None:
    good, bad = project.job_template("true"), project.job_template("exit 1", backoff_limit=0)
    site = project.app_template()
    nodes = [
        job(good, "top"),
        job(bad, "bad"),
        job(good, "good"),
        app(site, "site"),
        job(good, "join"),
        job(good, "far"),
    ]
    edges = [("top", "bad"), ("top", "good"), ("top", "site"), ("bad", "join"), ("good", "join"), ("join", "far")]
    one = project.instance(nodes, edges)

    ended = project.run(one)

    assert ended["status"] == "failed"
    assert {name: status for name, status in statuses(ended).items() if name not in ("good", "site")} == {
        "top": "succeeded",
        "bad": "failed",
        "join": "pending",
        "far": "pending",
    }
    left = nodes_by_name(ended)
    # What ran beside came to its end. Where it had not begun when the other failed, it says so.
    for name in ("good", "site"):
        assert left[name]["status"] == "succeeded" or "not started" in (left[name]["message"] or ""), left[name]
    assert all("not started, because node bad failed" in left[name]["message"] for name in ("join", "far"))
