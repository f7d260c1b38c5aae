from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8s_bridge import errors, names
from k8s_bridge.client import ClusterClient
from k8s_bridge.gateway import Gateway
from k8s_bridge.manifests import deployment_manifest, job_manifest, service_manifest
from k8s_bridge.results import Ensured, NameHolder, Remaining, WarningEvent
from k8s_bridge.specs import Owner, Service, ServicePort, WorkloadSpec

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call, ScriptedCluster

Json = dict[str, Any]
JOBS = "/apis/batch/v1/namespaces/secflow-p1/jobs"
JOB = f"{JOBS}/wf-x81m44zt-7h2k9q0d"
DEPLOYMENTS = "/apis/apps/v1/namespaces/secflow-p1/deployments"
SERVICES = "/api/v1/namespaces/secflow-p1/services"
PODS = "/api/v1/namespaces/secflow-p1/pods"
OURS = "managed-by=secflow-workflow,secflow.io/installation=inst-a"


@pytest.fixture
def gateway(cluster: ScriptedCluster) -> Iterator[Gateway]:
    made = Gateway(ClusterClient(cluster.kubeconfig, read_timeout=0.5), installation="inst-a", replace_timeout=0.4)
    yield made
    made.close()


def stored(manifest: Json, uid: str, **metadata: Any) -> Json:
    return {**manifest, "metadata": {**manifest["metadata"], "uid": uid, **metadata}}


def created(uid: str) -> Any:
    return lambda call: call.answer(201, stored(call.body or {}, uid))


def taken(call: Call) -> None:
    call.refuse(409, "AlreadyExists", "already exists")


def gone(call: Call) -> None:
    call.refuse(404, "NotFound", "not found")


def deleted(call: Call) -> None:
    call.answer(200, {"kind": "Status", "status": "Success"})


def shows(obj: Json) -> Any:
    return lambda call: call.answer(200, obj)


def listing(*items: Json, token: str = "", version: str = "9") -> Any:
    return lambda call: call.answer(
        200, {"metadata": {"resourceVersion": version, "continue": token}, "items": list(items)}
    )


def sent(cluster: ScriptedCluster) -> list[str]:
    return [f"{call.method} {call.path}" for call in cluster.calls]


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
        listing(stored(service_manifest(app, owner), "u1"), {"metadata": {"name": "unasked"}}, token="more"),
        listing(other, {"metadata": {"name": "theirs"}}),
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
    cluster: ScriptedCluster, gateway: Gateway, job: WorkloadSpec, owner: Owner
) -> None:
    app = replace(job, kind="Deployment", service=Service("front", ports=(ServicePort("http", 80, 8080),)))
    went_at = time.monotonic() + 0.25  # of the 0.4 s that the gateway has
    old = stored(service_manifest(app, owner), "u0", deletionTimestamp="2026-01-01T00:00:00Z")
    stuck = stored(deployment_manifest(app, owner), "u3", deletionTimestamp="2026-01-01T00:00:00Z")
    cluster.script(f"POST {SERVICES}", lambda call: taken(call) if time.monotonic() < went_at else created("u1")(call))
    cluster.script(f"GET {SERVICES}/front", lambda call: shows(old)(call) if time.monotonic() < went_at else gone(call))
    cluster.script(f"POST {DEPLOYMENTS}", taken)
    cluster.script(f"GET {DEPLOYMENTS}/{app.name}", shows(stuck))
    began = time.monotonic()

    with pytest.raises(errors.ServerTrouble, match=f"Deployment {app.name} in secflow-p1 is still being deleted"):
        gateway.ensure_workload(app, owner)

    assert time.monotonic() - began < 0.5


def test_deleting_asks_for_the_uid(cluster: ScriptedCluster, gateway: Gateway) -> None:
    cluster.script(f"DELETE {JOBS}/j", deleted, gone, lambda call: call.refuse(409, "Conflict", "uid"))

    answers = [gateway.delete_workload("secflow-p1", "Job", "j", "u1") for _ in range(3)]

    assert answers == [True, False, False]
    assert [call.body["preconditions"] for call in cluster.seen("DELETE") if call.body] == [{"uid": "u1"}] * 3


def owned(name: str, uid: str, owner: Owner, *, references: tuple[str, ...] = (), **metadata: Any) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "secflow-p1",
            "uid": uid,
            "labels": {"app": name.split(".")[0], **names.labels(owner)},
            "ownerReferences": [{"uid": reference} for reference in references],
            **metadata,
        }
    }


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


def test_a_long_listing_is_read_page_by_page(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    cluster.script(
        "GET /apis/batch/v1/jobs", listing(owned("a", "a", owner), token="t1"), listing(owned("b", "b", owner))
    )

    found = [item["metadata"]["name"] for item in gateway.list_owned("Job")]

    assert found == ["a", "b"]
    assert [call.query.get("continue") for call in cluster.calls] == [None, "t1"]
    assert {(call.query["limit"], call.query["labelSelector"]) for call in cluster.calls} == {("500", OURS)}


def test_a_listing_starts_over_when_its_token_expired(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    cluster.script(
        "GET /apis/batch/v1/jobs",
        listing(owned("a", "a", owner), token="t1", version="5"),
        lambda call: call.refuse(410, "Expired"),
        listing(owned("a", "a", owner), owned("b", "b", owner), version="7"),
    )

    items, version = gateway.list_for_watch("Job")

    assert [item["metadata"]["name"] for item in items] == ["a", "b"]
    assert version == "7"


def test_a_listing_that_always_expires_ends_in_an_error(
    cluster: ScriptedCluster, gateway: Gateway, owner: Owner
) -> None:
    def step(call: Call) -> None:
        if "continue" in call.query:
            call.refuse(410, "Expired")
        else:
            call.answer(200, {"metadata": {"continue": "t"}, "items": []})

    cluster.script("GET /apis/batch/v1/jobs", step)

    with pytest.raises(errors.Expired):
        list(gateway.list_owned("Job"))


def test_a_watch_asks_for_bookmarks_from_a_version(cluster: ScriptedCluster, gateway: Gateway) -> None:
    def events(call: Call) -> None:
        call.start_stream()
        call.event("ADDED", {"metadata": {"name": "a"}})
        call.event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})

    cluster.script("GET /apis/batch/v1/jobs?watch", events)

    with gateway.watch("Job", "42", 240) as watch:
        first = next(watch)
        with pytest.raises(errors.Expired, match="too old"):
            next(watch)

    assert first == ("ADDED", {"metadata": {"name": "a"}})
    assert cluster.calls[0].query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "labelSelector": OURS,
        "resourceVersion": "42",
        "timeoutSeconds": "240",
    }


@pytest.mark.parametrize("line", [b"nonsense\n", b"{}\n", b'{"type": "ADDED"}\n', b"[]\n"])
def test_a_watch_that_sends_nonsense_is_in_trouble(cluster: ScriptedCluster, gateway: Gateway, line: bytes) -> None:
    def events(call: Call) -> None:
        call.start_stream()
        call.chunk(line)
        call.end_stream()

    cluster.script("GET /api/v1/pods?watch", events)

    with gateway.watch("Pod", "1", 5) as watch, pytest.raises(errors.ServerTrouble, match="what is no event"):
        next(watch)


def test_logs_are_asked_for_as_the_caller_wants(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    pod = owned("a.1", "p1", owner, creationTimestamp="2026-03-01T09:00:00Z")
    pod |= {"spec": {"containers": [{"name": "main-app"}]}, "status": {"phase": "Running"}}
    cluster.script(f"GET {PODS}", listing(pod))
    cluster.script(f"GET {PODS}/a.1/log", lambda call: call.answer(200, "é\n".encode() + b"\xff"))

    plain = gateway.pod_logs("secflow-p1", "a")
    full = gateway.pod_logs(
        "secflow-p1", "a", container="Main App", tail_lines=5, previous=True, timestamps=True, limit_bytes=9
    )

    assert (plain.pod_name, plain.container, plain.text) == ("a.1", "main-app", "é\n\ufffd")
    assert full == plain
    assert cluster.calls[0].query["labelSelector"] == f"app=a,{OURS}"
    assert [call.query for call in cluster.calls if call.path.endswith("/log")] == [
        {"container": "main-app"},
        {
            "container": "main-app",
            "tailLines": "5",
            "previous": "true",
            "timestamps": "true",
            "limitBytes": "9",
        },
    ]


def test_no_pod_means_no_logs(cluster: ScriptedCluster, gateway: Gateway) -> None:
    cluster.script(f"GET {PODS}", listing())

    with pytest.raises(errors.NotFound, match="There is no pod of a in secflow-p1"):
        gateway.pod_logs("secflow-p1", "a")


def test_a_log_that_the_node_lost_is_not_taken_for_text(
    cluster: ScriptedCluster, gateway: Gateway, owner: Owner
) -> None:
    pod = owned("a.1", "p1", owner) | {"spec": {"containers": [{"name": "main"}]}, "status": {"phase": "Failed"}}
    cluster.script(f"GET {PODS}", listing(pod))
    said = b"unable to retrieve container logs for containerd://465492"
    cluster.script(f"GET {PODS}/a.1/log", lambda call: call.answer(200, said))

    with pytest.raises(errors.NotFound, match="is gone"):
        gateway.pod_logs("secflow-p1", "a")


def test_warnings_come_oldest_first(cluster: ScriptedCluster, gateway: Gateway) -> None:
    def event(at: str | None, reason: str, **more: Any) -> Json:
        return {
            "metadata": {"creationTimestamp": "2026-03-01T08:00:00Z"},
            "involvedObject": {"kind": "Pod", "name": "p"},
            "reason": reason,
            "message": "m",
            "lastTimestamp": at,
            **more,
        }

    cluster.script(
        "GET /api/v1/namespaces/n/events", listing(event("2026-03-01T09:00:00Z", "B", count=3), event(None, "A"))
    )

    found = gateway.warning_events("n", "p")

    assert found == (
        WarningEvent("Pod", "p", "A", "m", 1, "2026-03-01T08:00:00Z"),
        WarningEvent("Pod", "p", "B", "m", 3, "2026-03-01T09:00:00Z"),
    )
    assert cluster.calls[0].query["fieldSelector"] == "involvedObject.name=p,type=Warning"


def test_check_names_version_and_server(cluster: ScriptedCluster, gateway: Gateway) -> None:
    cluster.script("GET /version", shows({"gitVersion": "v1.34.4"}))

    version = gateway.check()

    assert (version.version, version.server) == ("v1.34.4", cluster.url)
