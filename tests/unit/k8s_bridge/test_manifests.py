from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from k8s_bridge import manifests
from k8s_bridge.manifests import deployment_manifest, job_manifest, namespace_manifest, service_manifest, spec_hash
from k8s_bridge.specs import Container, Mount, Owner, Probe, Service, ServicePort, WorkloadSpec

LABELS = {
    "managed-by": "secflow-workflow",
    "secflow.io/installation": "inst-a",
    "secflow.io/project-id": "p1",
    "secflow.io/instance-id": "wf-inst-nightly-x81m44zt",
    "secflow.io/node-id": "wf-node-crawl-7h2k9q0d",
    "secflow.io/run": "2",
    "secflow.io/attempt": "7",
    "secflow.io/shard": "9",
}
POD_LABELS = {"app": "wf-x81m44zt-7h2k9q0d", **LABELS}
PORTS = (
    ServicePort("http-frontend-public", 80, 8080),
    ServicePort("https", 443, 8443),
    ServicePort("again", 81, 8080),
    ServicePort("dns", 53, 8080, "UDP"),
)
APP = WorkloadSpec(
    kind="Deployment",
    namespace="secflow-p1",
    name="wf-x81m44zt-7h2k9q0d",
    containers=(
        Container(
            name="Web Server",
            image="nginx:1.27",
            command=("nginx",),
            args=("-g", "daemon off;"),
            env=(("B", "2"), ("A", "")),
            mounts=(
                Mount("data", "/data"),
                Mount("cache", "/cache", sub_path="a/b", read_only=True),
                Mount("data", "/more", sub_path="x"),
            ),
            requests=(("cpu", "100m"), ("memory", "128Mi")),
            limits=(("memory", "256Mi"),),
            privileged=True,
            image_pull_policy="Always",
            liveness_probe=Probe("tcp", port=8080),
            readiness_probe=Probe("http", port=8080, path="/health", initial_delay_seconds=0, success_threshold=2),
        ),
        Container(
            name="sidecar",
            image="busybox:latest",
            mounts=(Mount("cache", "/cache"),),
            limits=(("cpu", "1"),),
            liveness_probe=Probe("exec", command=("test", "-f", "/ok")),
        ),
    ),
    replicas=3,
    service=Service("front", "NodePort", PORTS[:2]),
    service_ports=PORTS,
)


def test_deployment_is_complete(owner: Owner) -> None:
    assert deployment_manifest(APP, owner) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "wf-x81m44zt-7h2k9q0d",
            "namespace": "secflow-p1",
            "labels": POD_LABELS,
            "annotations": {"secflow.io/spec-hash": spec_hash(APP)},
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "wf-x81m44zt-7h2k9q0d"}},
            "template": {
                "metadata": {"labels": POD_LABELS},
                "spec": {
                    "automountServiceAccountToken": False,
                    "containers": [
                        {
                            "name": "web-server",
                            "image": "nginx:1.27",
                            "imagePullPolicy": "Always",
                            "command": ["nginx"],
                            "args": ["-g", "daemon off;"],
                            "env": [{"name": "B", "value": "2"}, {"name": "A", "value": ""}],
                            "ports": [
                                {"name": "http-frontend-p", "containerPort": 8080, "protocol": "TCP"},
                                {"name": "https", "containerPort": 8443, "protocol": "TCP"},
                                {"name": "dns", "containerPort": 8080, "protocol": "UDP"},
                            ],
                            "resources": {
                                "requests": {"cpu": "100m", "memory": "128Mi"},
                                "limits": {"memory": "256Mi"},
                            },
                            "volumeMounts": [
                                {"name": "volume-0", "mountPath": "/data", "readOnly": False},
                                {"name": "volume-1", "mountPath": "/cache", "subPath": "a/b", "readOnly": True},
                                {"name": "volume-0", "mountPath": "/more", "subPath": "x", "readOnly": False},
                            ],
                            "securityContext": {"privileged": True},
                            "livenessProbe": {
                                "tcpSocket": {"port": 8080},
                                "initialDelaySeconds": 10,
                                "periodSeconds": 10,
                                "timeoutSeconds": 5,
                                "failureThreshold": 3,
                                "successThreshold": 1,
                            },
                            "readinessProbe": {
                                "httpGet": {"path": "/health", "port": 8080},
                                "initialDelaySeconds": 0,
                                "periodSeconds": 10,
                                "timeoutSeconds": 5,
                                "failureThreshold": 3,
                                "successThreshold": 2,
                            },
                        },
                        {
                            "name": "sidecar",
                            "image": "busybox:latest",
                            "imagePullPolicy": "IfNotPresent",
                            "resources": {"limits": {"cpu": "1"}},
                            "volumeMounts": [{"name": "volume-1", "mountPath": "/cache", "readOnly": False}],
                            "livenessProbe": {
                                "exec": {"command": ["test", "-f", "/ok"]},
                                "initialDelaySeconds": 10,
                                "periodSeconds": 10,
                                "timeoutSeconds": 5,
                                "failureThreshold": 3,
                                "successThreshold": 1,
                            },
                        },
                    ],
                    "volumes": [
                        {"name": "volume-0", "persistentVolumeClaim": {"claimName": "data"}},
                        {"name": "volume-1", "persistentVolumeClaim": {"claimName": "cache"}},
                    ],
                },
            },
        },
    }


def test_service_is_complete(owner: Owner) -> None:
    assert service_manifest(APP, owner) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "front",
            "namespace": "secflow-p1",
            "labels": LABELS,
            "annotations": {"secflow.io/spec-hash": spec_hash(Service("front", "NodePort", PORTS[:2]))},
        },
        "spec": {
            "type": "NodePort",
            "selector": {"app": "wf-x81m44zt-7h2k9q0d"},
            "ports": [
                {"name": "http-frontend-public", "port": 80, "targetPort": 8080, "protocol": "TCP"},
                {"name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP"},
            ],
        },
    }


@pytest.mark.parametrize("service", [None, Service("front")])
def test_no_service_is_made_without_ports(owner: Owner, service: Service | None) -> None:
    with pytest.raises(ValueError, match="asks for no Service"):
        service_manifest(replace(APP, service=service), owner)


def test_job_is_complete(owner: Owner, job: WorkloadSpec) -> None:
    assert job_manifest(replace(job, backoff_limit=0, ttl_seconds_after_finished=60), owner) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "wf-x81m44zt-7h2k9q0d",
            "namespace": "secflow-p1",
            "labels": POD_LABELS,
            "annotations": {
                "secflow.io/spec-hash": spec_hash(replace(job, backoff_limit=0, ttl_seconds_after_finished=60))
            },
        },
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 60,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": POD_LABELS},
                "spec": {
                    "automountServiceAccountToken": False,
                    "restartPolicy": "Never",
                    "containers": [
                        {"name": "main", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent"},
                    ],
                },
            },
        },
    }


def test_no_time_to_live_is_left_out(owner: Owner, job: WorkloadSpec) -> None:
    made = job_manifest(replace(job, ttl_seconds_after_finished=None), owner)

    assert "ttlSecondsAfterFinished" not in made["spec"]


def test_a_deployment_has_at_least_one_replica(owner: Owner) -> None:
    assert deployment_manifest(replace(APP, replicas=0), owner)["spec"]["replicas"] == 1


def test_namespace_is_complete() -> None:
    assert namespace_manifest("secflow-p1") == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "secflow-p1", "labels": {"managed-by": "secflow-workflow"}},
    }


def test_the_hash_is_the_same_in_every_release() -> None:
    assert spec_hash(APP) == "a917f20f987da184b5f5db29e915cf93"
    assert spec_hash(WorkloadSpec.from_json(APP.to_json())) == spec_hash(APP)


@pytest.mark.parametrize(
    "changed",
    [
        replace(APP, replicas=2),
        replace(APP, backoff_limit=1),
        replace(APP, containers=APP.containers[:1]),
        replace(APP, containers=(replace(APP.containers[0], command=None), APP.containers[1])),
        replace(APP, containers=(replace(APP.containers[0], command=()), APP.containers[1])),
        replace(APP, containers=(replace(APP.containers[0], env=(("A", ""), ("B", "2"))), APP.containers[1])),
        replace(APP, service=None),
    ],
)
def test_another_spec_has_another_hash(changed: WorkloadSpec) -> None:
    assert spec_hash(changed) != spec_hash(APP)


def test_a_field_added_with_a_default_changes_no_hash() -> None:
    @dataclass(frozen=True, slots=True)
    class LaterService(Service):
        session_affinity: str = "None"

    before, after = Service("a"), LaterService("a")

    assert spec_hash(before) == spec_hash(after)
    assert spec_hash(LaterService("a", session_affinity="ClientIP")) != spec_hash(before)


def test_the_module_sends_nothing() -> None:
    assert not {"client", "gateway", "kubernetes", "urllib3"} & set(vars(manifests))
