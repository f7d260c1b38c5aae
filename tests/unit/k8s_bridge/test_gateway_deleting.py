"""The gateway removes what is not wanted, and nothing of others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from k8s_bridge import errors
from k8s_bridge.gateway import Gateway
from k8s_bridge.results import Remaining
from k8s_bridge.specs import Owner
from tests.unit.k8s_bridge.scripts import (
    DEPLOYMENTS,
    JOBS,
    OURS,
    PODS,
    SERVICES,
    deleted,
    gone,
    listing,
    owned,
    sent,
)

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import ScriptedCluster


def test_deleting_asks_for_the_uid(cluster: ScriptedCluster, gateway: Gateway) -> None:
    cluster.script(f"DELETE {JOBS}/j", deleted, gone, lambda call: call.refuse(409, "Conflict", "uid"))

    answers = [gateway.delete_workload("secflow-p1", "Job", "j", "u1") for _ in range(3)]

    assert answers == [True, False, False]
    assert [call.body["preconditions"] for call in cluster.seen("DELETE") if call.body] == [{"uid": "u1"}] * 3


def test_nothing_to_delete_costs_four_lists(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    for path in (JOBS, DEPLOYMENTS, SERVICES, PODS):
        cluster.script(f"GET {path}", listing())

    remaining = gateway.delete_objects("secflow-p1", owner.instance_id)

    assert remaining == Remaining(0)
    assert sorted(sent(cluster)) == sorted(f"GET {path}" for path in (JOBS, DEPLOYMENTS, SERVICES, PODS))
    assert {call.query["labelSelector"] for call in cluster.calls} == {
        f"{OURS},secflow.io/instance-id={owner.instance_id}"
    }


def test_everything_but_the_kept_attempts_is_deleted(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    kept = replace(owner, attempt=8)
    foreign = owned("foreign", "f", owner)
    del foreign["metadata"]["labels"]["secflow.io/attempt"]
    cluster.script(
        f"GET {JOBS}",
        listing(owned("j7", "j7", owner), owned("j8", "j8", kept), foreign),
        listing(owned("j8", "j8", kept)),
    )
    cluster.script(f"GET {DEPLOYMENTS}", listing(owned("d7", "d7", owner)), listing())
    cluster.script(f"GET {SERVICES}", listing(owned("s7", "s7", owner), owned("s8", "s8", kept)), listing())
    going = owned("j7.b", "p2", owner, references=("j7",), deletionTimestamp="2026-03-01T09:00:00Z")
    cluster.script(
        f"GET {PODS}",
        listing(
            owned("j7.a", "p1", owner, references=("j7",)),
            going,
            owned("d7.a", "p3", owner, references=("replica-set",)),
            owned("orphan.a", "p4", owner),
            owned("j8.a", "p5", kept, references=("j8",)),
        ),
        listing(going, owned("j8.a", "p5", kept)),
    )
    cluster.script(f"DELETE {JOBS}/j7", deleted)
    cluster.script(f"DELETE {DEPLOYMENTS}/d7", deleted)
    cluster.script(f"DELETE {SERVICES}/s7", gone)
    cluster.script(f"DELETE {PODS}/orphan.a", deleted)

    remaining = gateway.delete_objects("secflow-p1", owner.instance_id, keep=frozenset({8}))

    assert remaining == Remaining(1, ("Pod/j7.b",), going=1)
    assert [call.path for call in cluster.seen("DELETE")] == [
        f"{DEPLOYMENTS}/d7",
        f"{JOBS}/j7",
        f"{SERVICES}/s7",
        f"{PODS}/orphan.a",
    ]


def test_what_was_made_since_the_decision_stays(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    later = replace(owner, attempt=8)
    for path in (DEPLOYMENTS, SERVICES, PODS):
        cluster.script(f"GET {path}", listing())
    cluster.script(
        f"GET {JOBS}", listing(owned("j7", "j7", owner), owned("j8", "j8", later)), listing(owned("j8", "j8", later))
    )
    cluster.script(f"DELETE {JOBS}/j7", deleted)

    remaining = gateway.delete_objects("secflow-p1", owner.instance_id, newest=7)

    assert remaining == Remaining(0)
    assert [call.path for call in cluster.seen("DELETE")] == [f"{JOBS}/j7"]


def test_an_error_while_deleting_is_not_swallowed(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    for path in (DEPLOYMENTS, SERVICES, PODS):
        cluster.script(f"GET {path}", listing())
    cluster.script(f"GET {JOBS}", listing(owned("j7", "j7", owner)))
    cluster.script(f"DELETE {JOBS}/j7", lambda call: call.refuse(500, "InternalError"))

    with pytest.raises(errors.ServerTrouble):
        gateway.delete_objects("secflow-p1", owner.instance_id)
