from __future__ import annotations

from typing import Any

import pytest

from k8s_bridge import errors
from k8s_bridge.diagnosis import (
    Category,
    diagnose_deletion,
    diagnose_deployment,
    diagnose_error,
    diagnose_events,
    diagnose_job,
    diagnose_pod,
)
from k8s_bridge.results import WarningEvent

Json = dict[str, Any]
PROBE = {"httpGet": {"path": "/health", "port": 8080}}


def pod(*states: Json, phase: str = "Pending", spec: Json | None = None, **status: Any) -> Json:
    names = [state["name"] for state in states]
    return {
        "spec": {"nodeName": "n1", "containers": [{"name": name, **(spec or {})} for name in names]},
        "status": {"phase": phase, "containerStatuses": list(states), **status},
    }


def waiting(reason: str, message: str = "", *, image: str = "reg.io/a:1", last: Json | None = None) -> Json:
    return {
        "name": "web",
        "image": image,
        "ready": False,
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": last} if last else {},
    }


def ended(code: int, reason: str = "Error", **more: Any) -> Json:
    return {
        "name": "web",
        "image": "a",
        "ready": False,
        "state": {"terminated": {"exitCode": code, "reason": reason, **more}},
    }


def running(*, ready: bool) -> Json:
    return {"name": "web", "image": "a", "ready": ready, "state": {"running": {"startedAt": "2026-03-01T09:00:00Z"}}}


def unscheduled(message: str) -> Json:
    return pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}])


@pytest.mark.parametrize(
    ("found", "category", "summary", "detail"),
    [
        (
            pod(waiting("ErrImagePull", "rpc error: not found")),
            Category.IMAGE_PULL,
            "Container web: the image reg.io/a:1 cannot be pulled.",
            "rpc error: not found",
        ),
        (
            pod(waiting("ImagePullBackOff", 'Back-off pulling image "reg.io/a:1": ErrImagePull: rpc error: not found')),
            Category.IMAGE_PULL,
            "Container web: the image reg.io/a:1 cannot be pulled.",
            "rpc error: not found",
        ),
        (
            pod(waiting("ImagePullBackOff", 'Back-off pulling image "reg.io/a:1"')),
            Category.IMAGE_PULL,
            "Container web: the image reg.io/a:1 cannot be pulled.",
            "",
        ),
        (
            pod(waiting("InvalidImageName", "couldn't parse image name", image="A B")),
            Category.INVALID_IMAGE,
            "Container web: 'A B' is not a valid image name.",
            "couldn't parse image name",
        ),
        (
            pod(waiting("CrashLoopBackOff", "back-off 40s", last={"exitCode": 1}), phase="Running"),
            Category.CRASH_LOOP,
            "Container web keeps ending with exit code 1 and is started again and again.",
            "",
        ),
        (
            pod(waiting("CrashLoopBackOff", last={"exitCode": 137, "reason": "OOMKilled"}), phase="Running"),
            Category.OUT_OF_MEMORY,
            "Container web used more memory than its limit and was killed.",
            "",
        ),
        (
            pod(waiting("CreateContainerConfigError", 'secret "s" not found')),
            Category.START_ERROR,
            "Container web cannot be started (CreateContainerConfigError).",
            'secret "s" not found',
        ),
        (
            pod(ended(137, "OOMKilled"), phase="Failed"),
            Category.OUT_OF_MEMORY,
            "Container web used more memory than its limit and was killed.",
            "",
        ),
        (
            pod(ended(3, message="bad input"), phase="Failed"),
            Category.EXIT_CODE,
            "Container web ended with exit code 3.",
            "bad input",
        ),
        (
            pod(ended(143), phase="Failed"),
            Category.EXIT_CODE,
            "Container web ended with exit code 143 (signal 15).",
            "",
        ),
        (
            pod(ended(128, "StartError", message="exec: no such file"), phase="Failed"),
            Category.START_ERROR,
            "Container web could not run its command.",
            "exec: no such file",
        ),
        (
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            Category.EVICTED,
            "The cluster took the pod off its node.",
            "The node was low on resource: memory.",
        ),
        (
            pod(
                running(ready=False),
                conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
            ),
            Category.EVICTED,
            "The cluster took the pod off its node (PreemptionByScheduler).",
            "",
        ),
        (
            pod(
                phase="Failed",
                conditions=[
                    {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": "m"}
                ],
            ),
            Category.NODE_LOST,
            "The cluster lost contact with node n1 that ran the pod.",
            "m",
        ),
        (
            pod(phase="Unknown"),
            Category.NODE_LOST,
            "The cluster lost contact with node n1 that ran the pod.",
            "",
        ),
        (
            pod(phase="Failed", reason="UnexpectedAdmissionError", message="no device"),
            Category.EXIT_CODE,
            "The pod failed (UnexpectedAdmissionError).",
            "no device",
        ),
        (
            unscheduled("0/3 nodes are available: 1 Insufficient memory, 2 Insufficient nvidia.com/gpu."),
            Category.UNSCHEDULABLE,
            "No node can take the pod: not enough memory, nvidia.com/gpu.",
            "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient nvidia.com/gpu.",
        ),
        (
            unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}."),
            Category.UNSCHEDULABLE,
            "No node can take the pod: taint dedicated: gpu.",
            "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}.",
        ),
        (
            unscheduled("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
            Category.UNSCHEDULABLE,
            "No node can take the pod: the node selector fits no node.",
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
        (
            unscheduled("no nodes available to schedule pods"),
            Category.UNSCHEDULABLE,
            "No node can take the pod.",
            "no nodes available to schedule pods",
        ),
        (
            unscheduled('persistentvolumeclaim "data" not found'),
            Category.MISSING_CLAIM,
            "The volume claim data does not exist in the project's namespace.",
            'persistentvolumeclaim "data" not found',
        ),
        (
            unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
            Category.MISSING_CLAIM,
            "A claim of the pod has no volume yet.",
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        ),
        (
            pod(running(ready=False), phase="Running", spec={"readinessProbe": PROBE}),
            Category.NOT_READY,
            "Container web runs, but its readiness probe (HTTP GET /health on port 8080) has not passed.",
            "",
        ),
        (
            pod(running(ready=False), phase="Running", spec={"readinessProbe": {"tcpSocket": {"port": 80}}}),
            Category.NOT_READY,
            "Container web runs, but its readiness probe (TCP connection to port 80) has not passed.",
            "",
        ),
        (
            pod(running(ready=False), phase="Running", spec={"readinessProbe": {"exec": {"command": ["test", "x"]}}}),
            Category.NOT_READY,
            "Container web runs, but its readiness probe (command test x) has not passed.",
            "",
        ),
    ],
)
def test_a_pod_in_trouble_is_explained(found: Json, category: Category, summary: str, detail: str) -> None:
    diagnosis = diagnose_pod(found)

    assert diagnosis is not None
    assert (diagnosis.category, diagnosis.summary, diagnosis.detail) == (category, summary, detail)
    assert diagnosis.resolution.endswith(".")


@pytest.mark.parametrize(
    "found",
    [
        {},
        pod(),
        pod(waiting("ContainerCreating")),
        pod(waiting("PodInitializing")),
        pod(running(ready=True), phase="Running", spec={"readinessProbe": PROBE}),
        pod(running(ready=False), phase="Running"),
        pod(ended(0, "Completed"), phase="Succeeded"),
        pod(conditions=[{"type": "PodScheduled", "status": "True"}]),
        pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
    ],
)
def test_a_pod_without_trouble_needs_no_words(found: Json) -> None:
    assert diagnose_pod(found) is None


def test_the_troubled_container_of_several_is_named() -> None:
    good, bad = running(ready=True), {**ended(2), "name": "sidecar"}

    diagnosis = diagnose_pod(pod(good, bad, phase="Running"))

    assert diagnosis is not None
    assert diagnosis.summary == "Container sidecar ended with exit code 2."


@pytest.mark.parametrize(
    ("reason", "limit", "category", "summary"),
    [
        (
            "BackoffLimitExceeded",
            3,
            Category.BACKOFF_LIMIT,
            "The job failed: its pod kept failing until the limit of 3 retries was reached.",
        ),
        (
            "BackoffLimitExceeded",
            1,
            Category.BACKOFF_LIMIT,
            "The job failed: its pod kept failing until the limit of 1 retry was reached.",
        ),
        (
            "BackoffLimitExceeded",
            0,
            Category.BACKOFF_LIMIT,
            "The job failed: its pod failed, and no retry was allowed.",
        ),
        ("PodFailurePolicy", 3, Category.EXIT_CODE, "The job failed (PodFailurePolicy)."),
        (None, None, Category.EXIT_CODE, "The job failed."),
    ],
)
def test_a_failed_job_is_explained(reason: str | None, limit: int | None, category: Category, summary: str) -> None:
    condition = {"type": "Failed", "status": "True", "reason": reason, "message": "words"}

    diagnosis = diagnose_job({"spec": {"backoffLimit": limit}, "status": {"conditions": [condition]}})

    assert diagnosis is not None
    assert (diagnosis.category, diagnosis.summary, diagnosis.detail) == (category, summary, "words")


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [{"type": "FailureTarget", "status": "True"}],
        [{"type": "Failed", "status": "False"}],
        [{"type": "Complete", "status": "True"}],
    ],
)
def test_a_job_that_has_not_failed_needs_no_words(conditions: list[Json]) -> None:
    assert diagnose_job({"status": {"conditions": conditions}}) is None


@pytest.mark.parametrize(
    ("conditions", "category"),
    [
        ([], None),
        ([{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}], None),
        ([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}], Category.NOT_READY),
        (
            [{"type": "ReplicaFailure", "status": "True", "message": "x is forbidden: exceeded quota: q"}],
            Category.QUOTA,
        ),
        ([{"type": "ReplicaFailure", "status": "True", "message": "webhook denied the request"}], Category.ADMISSION),
        ([{"type": "ReplicaFailure", "status": "False", "message": "exceeded quota"}], None),
    ],
)
def test_a_deployment_without_pods_is_explained(conditions: list[Json], category: Category | None) -> None:
    diagnosis = diagnose_deployment({"status": {"conditions": conditions}})

    assert (diagnosis.category if diagnosis else None) == category


@pytest.mark.parametrize(
    ("reason", "message", "category"),
    [
        ("FailedCreate", "Error creating: exceeded quota: q", Category.QUOTA),
        ("FailedCreate", "Error creating: admission webhook x denied the request: no", Category.ADMISSION),
        ("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.", Category.UNSCHEDULABLE),
        ("FailedMount", 'persistentvolumeclaim "d" not found', Category.MISSING_CLAIM),
        ("FailedMount", "timed out waiting for the condition", Category.START_ERROR),
        ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500", Category.NOT_READY),
        ("BackOff", "Back-off restarting failed container", None),
    ],
)
def test_warnings_tell_what_no_status_shows(reason: str, message: str, category: Category | None) -> None:
    diagnosis = diagnose_events([WarningEvent("Pod", "p", reason, message, 1, None)])

    assert (diagnosis.category if diagnosis else None) == category


def test_the_latest_telling_warning_counts() -> None:
    events = [
        WarningEvent("Job", "j", "FailedCreate", "exceeded quota", 1, "2026-03-01T09:00:00Z"),
        WarningEvent("Pod", "p", "FailedScheduling", "1 Insufficient cpu", 1, "2026-03-01T09:01:00Z"),
        WarningEvent("Pod", "p", "Pulled", "whatever", 1, "2026-03-01T09:02:00Z"),
    ]

    diagnosis = diagnose_events(events)

    assert diagnosis is not None
    assert diagnosis.category == Category.UNSCHEDULABLE


def test_a_deletion_from_outside_is_named() -> None:
    diagnosis = diagnose_deletion("Job", "wf-a-b")

    assert diagnosis.category == Category.DELETED
    assert diagnosis.summary == "Job wf-a-b was deleted from outside before the node ended."


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (errors.QuotaExceeded("m"), Category.QUOTA),
        (errors.NamespaceTerminating("m"), Category.NAMESPACE),
        (errors.NotAllowed("m"), Category.NOT_ALLOWED),
        (errors.NameConflict("m"), Category.NAME_CONFLICT),
        (errors.Superseded("m"), Category.NAME_CONFLICT),
        (errors.Rejected("m"), Category.ADMISSION),
        (errors.NotConfigured("m"), Category.CLUSTER),
        (errors.Unreachable("m"), Category.CLUSTER),
        (errors.Throttled("m"), Category.CLUSTER),
        (errors.ServerTrouble("m"), Category.CLUSTER),
        (errors.NotFound("m"), Category.CLUSTER),
        (errors.ClusterError("m", retryable=False), Category.CLUSTER),
    ],
)
def test_every_error_is_explained_with_the_servers_words(error: errors.ClusterError, category: Category) -> None:
    diagnosis = diagnose_error(error)

    assert (diagnosis.category, diagnosis.detail) == (category, "m")


def test_an_error_about_a_claim_names_the_claim() -> None:
    diagnosis = diagnose_error(errors.Rejected('persistentvolumeclaim "data" not found'))

    assert diagnosis.category == Category.MISSING_CLAIM
    assert diagnosis.resolution == "Create the claim data, or mount another one."
