"""The gateway makes what is wanted, and nothing of others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from k8s_bridge import errors
from k8s_bridge.gateway import Gateway
from k8s_bridge.manifests import deployment_manifest, job_manifest, service_manifest
from k8s_bridge.results import Ensured, NameHolder
from k8s_bridge.specs import Owner, Service, ServicePort, WorkloadSpec
from tests.unit.k8s_bridge.scripts import (
    DEPLOYMENTS,
    JOB,
    JOBS,
    SERVICES,
    Json,
    created,
    deleted,
    gone,
    listing,
    sent,
    shows,
    stored,
    taken,
)

if TYPE_CHECKING:
    from tests.clock import Clock
    from tests.unit.k8s_bridge.conftest import ScriptedCluster


def test_a_job_costs_one_request(cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner) -> None:
    cluster.script(f"POST {JOBS}", created("u1"))

    ensured = gateway.ensure_workload(job, owner)

    assert ensured == Ensured(uid="u1", created=True)
    assert sent(cluster) == [f"POST {JOBS}"]
    assert cluster.calls[0].body == job_manifest(job, owner)


def test_the_service_comes_first(cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner) -> None:
    app = replace(job, kind="Deployment", service=Service("front", ports=(ServicePort("http", 80, 8080),)))
    cluster.script(f"POST {SERVICES}", created("u1"))
    cluster.script(f"POST {DEPLOYMENTS}", created("u2"))

    ensured = gateway.ensure_workload(app, owner)

    assert ensured == Ensured(uid="u2", created=True, service_name="front")
    assert sent(cluster) == [f"POST {SERVICES}", f"POST {DEPLOYMENTS}"]


def test_a_missing_namespace_is_made_once(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    cluster.script(f"POST {JOBS}", gone, created("u1"))
    cluster.script("POST /api/v1/namespaces", created("n1"))

    ensured = gateway.ensure_workload(job, owner)

    assert ensured.uid == "u1"
    assert sent(cluster) == [
        f"POST {JOBS}",
        "GET /api/v1/namespaces/secflow-p1",
        "POST /api/v1/namespaces",
        f"POST {JOBS}",
    ]


def test_a_create_that_stays_unfindable_is_not_tried_for_ever(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    cluster.script(f"POST {JOBS}", gone)
    cluster.script("POST /api/v1/namespaces", created("n1"))

    with pytest.raises(errors.NotFound):
        gateway.ensure_workload(job, owner)

    assert len(cluster.seen("POST")) == 3


def test_a_terminating_namespace_takes_nothing(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    message = "forbidden: unable to create new content in namespace secflow-p1 because it is being terminated"
    cluster.script(f"POST {JOBS}", lambda call: call.refuse(403, "Forbidden", message))

    with pytest.raises(errors.NamespaceTerminating):
        gateway.ensure_workload(job, owner)

    assert len(cluster.calls) == 1


def test_a_namespace_that_goes_is_not_usable(cluster: ScriptedCluster, gateway: Gateway) -> None:
    cluster.script(
        "GET /api/v1/namespaces/n", shows({"metadata": {"name": "n", "deletionTimestamp": "2026-03-01T09:00:00Z"}})
    )

    with pytest.raises(errors.NamespaceTerminating, match="wait until it is gone"):
        gateway.ensure_namespace("n")


def test_a_namespace_that_another_process_made_is_fine(cluster: ScriptedCluster, gateway: Gateway) -> None:
    cluster.script("POST /api/v1/namespaces", taken)

    gateway.ensure_namespace("n")

    assert sent(cluster) == ["GET /api/v1/namespaces/n", "POST /api/v1/namespaces"]


def test_a_create_whose_answer_was_lost_is_adopted(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    cluster.script(f"POST {JOBS}", lambda call: call.cut(), taken)
    cluster.script(f"GET {JOB}", shows(stored(job_manifest(job, owner), "u1")))

    with pytest.raises(errors.Unreachable) as caught:
        gateway.ensure_workload(job, owner)
    ensured = gateway.ensure_workload(job, owner)

    assert caught.value.retryable
    assert ensured == Ensured(uid="u1", created=False)


def test_an_older_attempt_is_replaced(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    cluster.script(f"POST {JOBS}", taken, created("u2"))
    cluster.script(f"GET {JOB}", shows(stored(job_manifest(job, replace(owner, attempt=6)), "u1")), gone)
    cluster.script(f"DELETE {JOB}", deleted)

    ensured = gateway.ensure_workload(job, owner)

    assert ensured == Ensured(uid="u2", created=True)
    assert cluster.seen("DELETE")[0].body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u1"},
    }


def test_the_wait_for_an_old_object_is_bounded(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    old = stored(job_manifest(job, replace(owner, attempt=6)), "u1", deletionTimestamp="2026-03-01T09:00:00Z")
    cluster.script(f"POST {JOBS}", taken)
    cluster.script(f"GET {JOB}", shows(old))

    with pytest.raises(errors.ServerTrouble, match="still being deleted") as caught:
        gateway.ensure_workload(job, owner)

    assert caught.value.retryable
    assert cluster.seen("DELETE") == []
    assert len(cluster.calls) < 12


def test_an_object_that_goes_is_waited_for(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    going = shows(stored(job_manifest(job, owner), "u1", deletionTimestamp="2026-03-01T09:00:00Z"))
    cluster.script(f"POST {JOBS}", taken, created("u2"))
    cluster.script(f"GET {JOB}", going, going, gone)

    ensured = gateway.ensure_workload(job, owner)

    assert ensured == Ensured(uid="u2", created=True)
    assert len(cluster.seen("POST")) == 2


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        ({"node_id": "wf-node-other-7h2k9q0z"}, errors.NameConflict),
        ({"installation": "inst-b"}, errors.NameConflict),
        ({"attempt": 8}, errors.Superseded),
    ],
)
def test_what_is_not_the_callers_is_left_alone(
    cluster: ScriptedCluster,
    gateway: Gateway,
    job: WorkloadSpec,
    owner: Owner,
    holder: Json,
    expected: type[errors.ClusterError],
) -> None:
    cluster.script(f"POST {JOBS}", taken)
    cluster.script(f"GET {JOB}", shows(stored(job_manifest(job, replace(owner, **holder)), "u1")))

    with pytest.raises(errors.ClusterError) as caught:
        gateway.ensure_workload(job, owner)

    assert type(caught.value) is expected
    assert not caught.value.retryable
    assert sent(cluster) == [f"POST {JOBS}", f"GET {JOB}"]


def test_a_foreign_service_stops_the_launch(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    app = replace(job, kind="Deployment", service=Service("front", ports=(ServicePort("http", 80, 8080),)))
    cluster.script(f"POST {SERVICES}", taken)
    cluster.script(f"GET {SERVICES}/front", shows({"metadata": {"name": "front", "uid": "u1"}}))

    with pytest.raises(errors.NameConflict, match="Service front in secflow-p1 belongs to somebody else"):
        gateway.ensure_workload(app, owner)

    assert sent(cluster) == [f"POST {SERVICES}", f"GET {SERVICES}/front"]


def test_the_holder_of_a_service_name_is_told(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    app = replace(job, service=Service("front", ports=(ServicePort("http", 80, 8080),)))
    path = f"GET {SERVICES}/front"
    cluster.script(
        path,
        gone,
        shows(service_manifest(app, owner)),
        shows(service_manifest(app, replace(owner, installation="inst-b"))),
        shows({"metadata": {"name": "front"}}),
    )

    holders = [gateway.service_owner("secflow-p1", "front") for _ in range(4)]

    assert holders == [NameHolder(True), NameHolder(False, owner), NameHolder(False), NameHolder(False)]
    assert [holder.is_foreign for holder in holders] == [False, False, True, True]


def test_the_holders_of_many_service_names_cost_one_list(
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    app = replace(job, service=Service("front", ports=(ServicePort("http", 80, 8080),)))
    other = stored(service_manifest(app, replace(owner, installation="inst-b")), "u2", name="other")
    cluster.script(
        f"GET {SERVICES}",
        listing(
            stored(service_manifest(app, owner), "u1"), {"metadata": {"name": "unasked", "uid": "u3"}}, token="more"
        ),
        listing(other, {"metadata": {"name": "theirs", "uid": "u4"}}),
    )

    holders = gateway.service_owners("secflow-p1", ["front", "other", "theirs", "nobodys"])

    assert holders == {
        "front": NameHolder(False, owner),
        "other": NameHolder(False),
        "theirs": NameHolder(False),
        "nobodys": NameHolder(True),
    }
    assert sent(cluster) == [f"GET {SERVICES}"] * 2
    # Somebody else's Services carry none of our labels.
    assert all("labelSelector" not in call.query for call in cluster.calls)


@pytest.mark.parametrize(("wanted", "requests"), [([], []), (["front"], [f"GET {SERVICES}/front"])])
def test_few_service_names_are_not_listed(
    cluster: ScriptedCluster, gateway: Gateway, wanted: list[str], requests: list[str]
) -> None:
    cluster.script(f"GET {SERVICES}/front", gone)

    assert gateway.service_owners("secflow-p1", wanted) == {name: NameHolder(True) for name in wanted}

    assert sent(cluster) == requests


def test_the_wait_for_a_service_and_for_its_workload_share_one_patience(
    cluster: ScriptedCluster, gateway: Gateway, patience_clock: Clock, job: WorkloadSpec, owner: Owner
) -> None:
    app = replace(job, kind="Deployment", service=Service("front", ports=(ServicePort("http", 80, 8080),)))
    began = patience_clock.now
    went_at = began + 0.25  # of the 0.4 s that the gateway has
    old = stored(service_manifest(app, owner), "u0", deletionTimestamp="2026-01-01T00:00:00Z")
    stuck = stored(deployment_manifest(app, owner), "u3", deletionTimestamp="2026-01-01T00:00:00Z")
    cluster.script(
        f"POST {SERVICES}", lambda call: taken(call) if patience_clock.now < went_at else created("u1")(call)
    )
    cluster.script(
        f"GET {SERVICES}/front", lambda call: shows(old)(call) if patience_clock.now < went_at else gone(call)
    )
    cluster.script(f"POST {DEPLOYMENTS}", taken)
    cluster.script(f"GET {DEPLOYMENTS}/{app.name}", shows(stuck))

    with pytest.raises(errors.ServerTrouble, match=f"Deployment {app.name} in secflow-p1 is still being deleted"):
        gateway.ensure_workload(app, owner)

    assert went_at <= patience_clock.now <= began + 0.4
