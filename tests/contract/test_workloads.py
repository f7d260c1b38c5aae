"""What SecFlow needs of any cluster: workloads are made, followed, replaced and removed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from k8s_bridge.diagnosis import Category
from k8s_bridge.errors import NameConflict, NotFound, Rejected, Superseded
from k8s_bridge.gateway import Gateway
from k8s_bridge.observations import Phase
from k8s_bridge.results import NameHolder
from k8s_bridge.specs import Container, Mount, Probe, Service, ServicePort, WorkloadSpec

if TYPE_CHECKING:
    from tests.contract.conftest import Stage

pytestmark = [pytest.mark.cluster]

BUSYBOX = "busybox:latest"
PYTHON = "python:3.11-slim"
STAY = "trap 'exit 0' TERM; sleep 3600 & wait"  # ends at once when it is told to


def test_a_namespace_is_ensured_any_number_of_times(stage: Stage) -> None:
    stage.gateway.ensure_namespace(stage.namespace)
    stage.gateway.ensure_namespace(stage.namespace)

    found = stage.gateway.client.request("GET", f"/api/v1/namespaces/{stage.namespace}")

    assert found["metadata"]["labels"]["managed-by"] == "secflow-workflow"
    assert found["status"]["phase"] == "Active"


def test_a_workload_brings_its_namespace_along(stage: Stage) -> None:
    elsewhere = replace(stage.job("true"), namespace=f"{stage.namespace}-x")

    ensured = stage.gateway.ensure_workload(elsewhere, stage.owner())

    assert ensured.created
    stage.gateway.client.request("DELETE", f"/api/v1/namespaces/{elsewhere.namespace}")


def test_success_is_seen_on_the_pod_and_on_the_job(stage: Stage) -> None:
    spec = stage.job("echo done")

    end = stage.run(spec)
    pod = stage.phase("Pod", spec.name, "succeeded")

    assert (end.phase, end.attempt, end.node_id) == (Phase.SUCCEEDED, 1, stage.owner().node_id)
    assert pod is not None
    assert pod.finished_at is not None
    assert end.finished_at is not None
    assert pod.finished_at <= end.finished_at


def test_a_job_fails_when_its_retries_are_used_up(stage: Stage) -> None:
    spec = stage.job("echo trying", "exit 3", backoff_limit=1)

    end = stage.run(spec)
    pods = [seen for seen in stage.look("Pod") if seen.diagnosis]

    assert end.phase == Phase.FAILED
    assert end.finished_at is not None
    assert end.diagnosis is not None
    assert end.diagnosis.category == Category.BACKOFF_LIMIT
    assert len(pods) == 2
    assert {(pod.phase, pod.diagnosis.summary) for pod in pods if pod.diagnosis} == {
        (Phase.WAITING, "Container main ended with exit code 3.")
    }


def test_an_app_gets_ready_and_is_reached_by_its_service_name(stage: Stage) -> None:
    script = "import http.server; http.server.test(http.server.SimpleHTTPRequestHandler, port=8080)"
    port = ServicePort("http", 8081, 8080)
    app = WorkloadSpec(
        "Deployment",
        stage.namespace,
        "wf-app",
        (
            Container(
                "web",
                PYTHON,
                command=("python", "-c", script),
                env=(("GREETING", "hé"),),
                readiness_probe=Probe("http", port=8080, path="/", initial_delay_seconds=0, period_seconds=1),
            ),
        ),
        service=Service("front", ports=(port,)),
        service_ports=(port,),
    )
    read = "import urllib.request; print(urllib.request.urlopen('http://front:8081/', timeout=20).status)"
    call = WorkloadSpec(
        "Job",
        stage.namespace,
        "wf-call",
        (Container("main", PYTHON, command=("python", "-c", read)),),
        backoff_limit=2,
    )

    ensured = stage.gateway.ensure_workload(app, stage.owner())
    stage.wait_for(lambda: stage.phase("Deployment", app.name, "ready"), "readiness")
    pod = stage.phase("Pod", app.name, "running")
    end = stage.run(call, stage.owner(node="b", attempt=2))

    assert ensured.service_name == "front"
    assert pod is not None
    assert pod.started_at is not None
    assert pod.diagnosis is None
    assert end.phase == Phase.SUCCEEDED
    assert stage.gateway.pod_logs(stage.namespace, call.name).text == "200\n"
    assert stage.gateway.service_owner(stage.namespace, "front") == NameHolder(False, stage.owner())


def test_a_probe_that_never_passes_keeps_an_app_from_being_ready(stage: Stage) -> None:
    probe = Probe("tcp", port=9, initial_delay_seconds=0, period_seconds=1)
    app = WorkloadSpec(
        "Deployment",
        stage.namespace,
        "wf-app",
        (Container("web", BUSYBOX, command=("sh", "-c", STAY), readiness_probe=probe),),
    )
    stage.gateway.ensure_workload(app, stage.owner())

    pod = stage.wait_for(lambda: stage.phase("Pod", app.name, "running"), "the pod")
    seen = stage.phase("Deployment", app.name, "waiting")

    assert pod.diagnosis is not None
    assert pod.diagnosis.category == Category.NOT_READY
    assert seen is not None


def test_the_same_launch_twice_is_one_job(stage: Stage) -> None:
    spec = stage.job("sleep 1")

    first = stage.gateway.ensure_workload(spec, stage.owner())
    second = stage.gateway.ensure_workload(spec, stage.owner())

    assert first.created
    assert not second.created
    assert first.uid == second.uid
    assert len(stage.look("Job")) == 1


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_a_later_attempt_replaces_an_earlier_one(stage: Stage, kind: str) -> None:
    port = ServicePort("http", 80, 8080)
    service = Service("front", ports=(port,)) if kind == "Deployment" else None
    spec = replace(stage.job(STAY), kind=kind, service=service)
    first = stage.gateway.ensure_workload(spec, stage.owner())
    stage.wait_for(lambda: stage.phase("Pod", spec.name, "running"), "the first pod")

    second = stage.gateway.ensure_workload(spec, stage.owner(attempt=2))

    assert second.created
    assert first.uid != second.uid
    assert [seen.attempt for seen in stage.look(kind)] == [2]
    if kind == "Deployment":
        assert stage.gateway.service_owner(stage.namespace, "front") == NameHolder(False, stage.owner(attempt=2))
    stage.wait_for(lambda: {seen.attempt for seen in stage.look("Pod")} == {2}, "the end of the first pod")


def test_another_spec_replaces_the_job(stage: Stage) -> None:
    first = stage.gateway.ensure_workload(stage.job("sleep 1"), stage.owner())

    second = stage.gateway.ensure_workload(stage.job("sleep 2"), stage.owner())

    assert second.created
    assert first.uid != second.uid


def test_an_earlier_attempt_does_not_touch_a_later_one(stage: Stage) -> None:
    spec = stage.job("sleep 1")
    later = stage.gateway.ensure_workload(spec, stage.owner(attempt=2))

    with pytest.raises(Superseded):
        stage.gateway.ensure_workload(spec, stage.owner(attempt=1))

    found = stage.gateway.read_workload(stage.namespace, "Job", spec.name)
    assert found is not None
    assert found["metadata"]["uid"] == later.uid


def test_a_foreign_object_is_left_alone_also_at_cleanup(stage: Stage) -> None:
    path = f"/api/v1/namespaces/{stage.namespace}/services"
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front", "labels": {"app": "wf-a"}},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "other"}},
    }
    foreign = stage.gateway.client.request("POST", path, body=manifest)
    service = Service("front", ports=(ServicePort("http", 80, 8080),))
    spec = replace(stage.job("true"), kind="Deployment", service=service)

    with pytest.raises(NameConflict):
        stage.gateway.ensure_workload(spec, stage.owner())
    stage.clear(stage.owner())

    found = stage.gateway.client.request("GET", f"{path}/front")
    assert found["metadata"]["uid"] == foreign["metadata"]["uid"]
    assert stage.gateway.service_owner(stage.namespace, "front").is_foreign
    assert stage.gateway.read_workload(stage.namespace, "Deployment", spec.name) is None


def test_the_holders_of_many_service_names_are_told_at_once(stage: Stage) -> None:
    path = f"/api/v1/namespaces/{stage.namespace}/services"
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "theirs"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "other"}},
    }
    service = Service("ours", ports=(ServicePort("http", 80, 8080),))
    spec = replace(stage.job("true"), kind="Deployment", service=service)
    stage.gateway.ensure_workload(spec, stage.owner())
    stage.gateway.client.request("POST", path, body=foreign)

    holders = stage.gateway.service_owners(stage.namespace, ["ours", "theirs", "nobodys"])

    assert holders == {
        "ours": NameHolder(False, stage.owner()),
        "theirs": NameHolder(False),
        "nobodys": NameHolder(True),
    }
    assert stage.gateway.service_owners(stage.namespace, ["theirs"]) == {"theirs": NameHolder(False)}


def test_another_installation_is_foreign(stage: Stage) -> None:
    spec = stage.job("true")
    stage.gateway.ensure_workload(spec, stage.owner())
    other = Gateway(stage.gateway.client, installation="somebody-else")

    with pytest.raises(NameConflict):
        other.ensure_workload(spec, replace(stage.owner(), installation="somebody-else"))

    assert other.delete_objects(stage.namespace, stage.owner().instance_id).count == 0
    assert list(other.list_owned("Job")) == []
    assert len(stage.look("Job")) == 1


def test_cleaning_up_leaves_nothing_but_the_kept_attempts(stage: Stage) -> None:
    service = Service("front", ports=(ServicePort("http", 80, 8080),))
    app = replace(stage.job(STAY, name="wf-app"), kind="Deployment", service=service)
    kept = stage.gateway.ensure_workload(app, stage.owner(node="app", attempt=1))
    stage.gateway.ensure_workload(stage.job(STAY, name="wf-b"), stage.owner(node="b", attempt=2))
    stage.gateway.ensure_workload(stage.job(STAY, name="wf-c"), stage.owner(instance="two", node="c", attempt=3))
    stage.run(stage.job("true", name="wf-d"), stage.owner(node="d", attempt=4))
    started = {"wf-app", "wf-b", "wf-c"}
    stage.wait_for(lambda: all(stage.phase("Pod", name, "running") for name in started), "the pods")

    stage.clear(stage.owner(), keep=frozenset({1}))

    assert [(seen.name, seen.uid) for seen in stage.look("Deployment")] == [("wf-app", kept.uid)]
    assert [seen.name for seen in stage.look("Job")] == ["wf-c"]
    assert {seen.attempt for seen in stage.look("Pod")} == {1, 3}
    stage.clear(stage.owner())
    assert stage.look("Deployment") == []
    assert stage.gateway.service_owner(stage.namespace, "front") == NameHolder(True)
    assert {seen.attempt for seen in stage.look("Pod")} == {3}


def test_pods_whose_job_is_gone_are_removed_too(stage: Stage) -> None:
    spec = stage.job("true")
    stage.run(spec)
    path = f"/apis/batch/v1/namespaces/{stage.namespace}/jobs/{spec.name}"
    stage.gateway.client.request("DELETE", path, query={"propagationPolicy": "Orphan"})
    stage.wait_for(lambda: not stage.look("Job"), "the end of the job")

    before = len(stage.look("Pod"))
    stage.clear(stage.owner())

    assert before == 1
    assert list(stage.look("Pod")) == []


def test_a_deletion_asks_for_the_uid(stage: Stage) -> None:
    spec = stage.job(STAY)
    ensured = stage.gateway.ensure_workload(spec, stage.owner())
    wrong = "00000000-0000-0000-0000-000000000000"

    refused = stage.gateway.delete_workload(stage.namespace, "Job", spec.name, wrong)
    before = stage.gateway.read_workload(stage.namespace, "Job", spec.name)
    done = stage.gateway.delete_workload(stage.namespace, "Job", spec.name, ensured.uid)
    again = stage.gateway.delete_workload(stage.namespace, "Job", "wf-never-made", ensured.uid)

    assert (refused, done, again) == (False, True, False)
    assert before is not None
    stage.wait_for(lambda: stage.gateway.read_workload(stage.namespace, "Job", spec.name) is None, "the end of the job")


def test_two_jobs_share_a_claim_under_a_folder(stage: Stage, claim: str) -> None:
    writes = {"mounts": (Mount(claim, "/out", sub_path="deep/er"),)}
    reads = {"mounts": (Mount(claim, "/in", sub_path="deep", read_only=True), Mount(claim, "/all"))}

    wrote = stage.run(stage.job("echo hello > /out/file", name="wf-a", container=writes))
    read = stage.run(
        stage.job(
            "cat /in/er/file /all/deep/er/file",
            "if echo x > /in/er/file; then exit 9; fi",
            name="wf-b",
            container=reads,
        ),
        stage.owner(node="b", attempt=2),
    )

    assert (wrote.phase, read.phase) == (Phase.SUCCEEDED, Phase.SUCCEEDED)
    # The shell's complaint comes by the other stream, whose place among the lines nothing promises.
    lines = stage.gateway.pod_logs(stage.namespace, "wf-b").text.splitlines()
    assert [line for line in lines if "file system" not in line.lower()] == ["hello", "hello"]
    assert any("read-only file system" in line.lower() for line in lines)


def test_a_missing_claim_is_diagnosed(stage: Stage) -> None:
    spec = stage.job("true", container={"mounts": (Mount("nowhere", "/data"),)})
    stage.gateway.ensure_workload(spec, stage.owner())

    def troubled() -> object:
        seen = stage.phase("Pod", spec.name, "waiting", "pulling")
        return seen.diagnosis if seen else None

    diagnosis = stage.wait_for(troubled, "the diagnosis")

    assert getattr(diagnosis, "category", None) == Category.MISSING_CLAIM
    assert getattr(diagnosis, "resolution", None) == "Create the claim nowhere, or mount another one."


def test_a_missing_image_is_diagnosed_and_counts_as_pulling(stage: Stage) -> None:
    spec = stage.job("true", image="registry.invalid/none:v9")
    stage.gateway.ensure_workload(spec, stage.owner())

    def troubled() -> object:
        seen = stage.phase("Pod", spec.name, "pulling")
        return seen.diagnosis if seen else None

    diagnosis = stage.wait_for(troubled, "the diagnosis")

    assert getattr(diagnosis, "category", None) == Category.IMAGE_PULL
    assert getattr(diagnosis, "summary", None) == "Container main: the image registry.invalid/none:v9 cannot be pulled."


def test_an_object_that_the_cluster_refuses_is_named(stage: Stage) -> None:
    spec = stage.job("true", container={"requests": (("cpu", "2"),), "limits": (("cpu", "1"),)})

    with pytest.raises(Rejected) as caught:
        stage.gateway.ensure_workload(spec, stage.owner())

    assert caught.value.status == 422
    assert "must be less than or equal to cpu limit" in caught.value.message


def test_the_environment_reaches_the_command(stage: Stage) -> None:
    env = (("PLAIN", "a b"), ("EMPTY", ""), ("LETTERS", "zwölf 数据"))
    spec = stage.job('echo "$PLAIN|$EMPTY|$LETTERS"', container={"env": env})

    stage.run(spec)

    assert stage.gateway.pod_logs(stage.namespace, spec.name).text == "a b||zwölf 数据\n"


def test_what_does_not_exist_is_none(stage: Stage) -> None:
    assert stage.gateway.read_workload(stage.namespace, "Job", "wf-none") is None
    assert stage.gateway.service_owner(stage.namespace, "none") == NameHolder(True)
    with pytest.raises(NotFound, match="There is no pod of wf-none"):
        stage.gateway.pod_logs(stage.namespace, "wf-none")
