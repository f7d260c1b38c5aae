from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from k8s_bridge import names
from k8s_bridge.diagnosis import Category
from k8s_bridge.observations import Observation, Phase, observe
from k8s_bridge.specs import Owner

Json = dict[str, Any]
OWNER = Owner("inst-a", "p1", "wf-inst-nightly-x81m44zt", "wf-node-crawl-7h2k9q0d", run=2, attempt=7)
WAITING, PULLING, RUNNING = Phase.WAITING, Phase.PULLING, Phase.RUNNING


def obj(status: Json, spec: Json | None = None, **metadata: Any) -> Json:
    return {
        "metadata": {
            "name": "wf-x81m44zt-7h2k9q0d",
            "namespace": "secflow-p1",
            "uid": "u1",
            "generation": 3,
            "labels": names.labels(OWNER),
            **metadata,
        },
        "spec": spec or {},
        "status": status,
    }


def deployment(*, wanted: int = 2, seen: int = 3, updated: int = 2, ready: int = 2, total: int = 2) -> Json:
    counts = {"updatedReplicas": updated, "readyReplicas": ready, "replicas": total}
    return obj(
        {"observedGeneration": seen, **{key: value for key, value in counts.items() if value}}, {"replicas": wanted}
    )


def job(*conditions: str, **status: Any) -> Json:
    made = [{"type": kind, "status": "True", "lastTransitionTime": "2026-03-01T09:00:09Z"} for kind in conditions]
    return obj({"conditions": made, **status})


def pod(phase: str, *states: Json, containers: int | None = None, restart: str = "Never", **metadata: Any) -> Json:
    named = [{"name": f"c{position}", "image": "a", **state} for position, state in enumerate(states)]
    count = len(states) if containers is None else containers
    spec = {"restartPolicy": restart, "containers": [{"name": f"c{position}"} for position in range(count)]}
    return obj({"phase": phase, "containerStatuses": named}, spec, **metadata)


def waiting(reason: str | None, **more: Any) -> Json:
    return {"state": {"waiting": {"reason": reason} if reason else {}}, **more}


def ran(code: int = 0, at: str = "05") -> Json:
    return {"containerID": "x", "state": {"terminated": {"exitCode": code, "finishedAt": f"2026-03-01T09:00:{at}Z"}}}


RUNS = {"containerID": "x", "state": {"running": {"startedAt": "2026-03-01T09:00:01Z"}}}
RUNS_LATER = {"containerID": "y", "state": {"running": {"startedAt": "2026-03-01T09:00:02Z"}}}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], None),
        ([{"type": "Available", "status": "True", "lastTransitionTime": "10"}], "10"),
        (
            [
                {"type": "Available", "status": "True", "lastTransitionTime": "10"},
                {
                    "type": "Progressing",
                    "status": "True",
                    "reason": "NewReplicaSetAvailable",
                    "lastTransitionTime": "08",
                    "lastUpdateTime": "11",
                },
            ],
            "11",
        ),
    ],
)
def test_a_ready_deployment_tells_since_when(conditions: list[Json], expected: str | None) -> None:
    found = deployment()
    found["status"]["conditions"] = conditions

    seen = observe("Deployment", found)

    assert seen is not None
    assert seen.finished_at == expected


def test_an_observation_carries_the_owner_and_the_object() -> None:
    seen = observe("Job", job("Complete", completionTime="2026-03-01T09:00:08Z"))

    assert seen == Observation(
        attempt=7,
        run=2,
        installation="inst-a",
        instance_id="wf-inst-nightly-x81m44zt",
        node_id="wf-node-crawl-7h2k9q0d",
        source="Job",
        name="wf-x81m44zt-7h2k9q0d",
        namespace="secflow-p1",
        uid="u1",
        phase=Phase.SUCCEEDED,
        finished_at="2026-03-01T09:00:08Z",
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (deployment(), Phase.READY),
        (deployment(ready=3, updated=3, total=3), Phase.READY),
        (deployment(seen=2), WAITING),
        (deployment(seen=4), Phase.READY),
        (deployment(updated=1), WAITING),
        (deployment(ready=1), WAITING),
        (deployment(ready=0, updated=0, total=0), WAITING),
        (deployment(wanted=0), WAITING),
        (deployment(total=3), WAITING),
        (obj({}), WAITING),
        (obj({"observedGeneration": 3, "updatedReplicas": 1, "readyReplicas": 1, "replicas": 1}), Phase.READY),
    ],
)
def test_a_deployment_is_ready_when_all_its_new_pods_are(found: Json, expected: Phase) -> None:
    seen = observe("Deployment", found)

    assert seen is not None
    assert (seen.phase, seen.finished_at) == (expected, None)


@pytest.mark.parametrize(
    ("found", "expected", "finished_at"),
    [
        (job(), WAITING, None),
        (job(active=1, ready=1), WAITING, None),
        (job("SuccessCriteriaMet", succeeded=1), WAITING, None),
        (job("FailureTarget", failed=1), WAITING, None),
        (job("Suspended"), WAITING, None),
        (
            job("SuccessCriteriaMet", "Complete", completionTime="2026-03-01T09:00:08Z"),
            Phase.SUCCEEDED,
            "2026-03-01T09:00:08Z",
        ),
        (job("Complete"), Phase.SUCCEEDED, "2026-03-01T09:00:09Z"),
        (job("FailureTarget", "Failed"), Phase.FAILED, "2026-03-01T09:00:09Z"),
    ],
)
def test_only_the_final_conditions_end_a_job(found: Json, expected: Phase, finished_at: str | None) -> None:
    seen = observe("Job", found)

    assert seen is not None
    assert (seen.phase, seen.finished_at) == (expected, finished_at)


@pytest.mark.parametrize(
    ("kind", "found", "expected"),
    [
        ("Deployment", deployment(), Phase.GONE),
        ("Job", job(), Phase.GONE),
        ("Job", job("SuccessCriteriaMet"), Phase.GONE),
        ("Job", job("Complete"), Phase.SUCCEEDED),
        ("Job", job("Failed"), Phase.FAILED),
    ],
)
def test_what_was_deleted_is_gone_unless_it_had_ended(kind: str, found: Json, expected: Phase) -> None:
    seen = observe(kind, found, deleted=True)

    assert seen is not None
    assert seen.phase == expected


@pytest.mark.parametrize(
    ("found", "expected", "started_at"),
    [
        (pod("Pending", containers=1), WAITING, None),
        (pod("Pending", waiting("ContainerCreating"), containers=2), WAITING, None),
        (pod("Pending", waiting("ContainerCreating")), PULLING, None),
        (pod("Pending", waiting("PodInitializing")), PULLING, None),
        (pod("Pending", waiting("ErrImagePull")), PULLING, None),
        (pod("Pending", waiting("ImagePullBackOff")), PULLING, None),
        (pod("Pending", waiting("InvalidImageName")), PULLING, None),
        (pod("Pending", waiting("ErrImageNeverPull")), PULLING, None),
        (pod("Pending", waiting(None)), PULLING, None),
        (pod("Pending", {"state": {}}), PULLING, None),
        (pod("Pending", RUNS, waiting("ContainerCreating")), PULLING, "no"),
        (pod("Pending", waiting("CreateContainerConfigError")), RUNNING, None),
        (pod("Pending", waiting("ContainerCreating", containerID="x")), RUNNING, None),
        (pod("Running", waiting("CrashLoopBackOff", containerID="x"), restart="Always"), RUNNING, None),
        (pod("Running", RUNS), RUNNING, "2026-03-01T09:00:01Z"),
        (pod("Running", RUNS_LATER, RUNS), RUNNING, "2026-03-01T09:00:02Z"),
        (pod("Running", RUNS, ran()), RUNNING, "2026-03-01T09:00:01Z"),
        (pod("Running", RUNS, restart="Always"), RUNNING, "2026-03-01T09:00:01Z"),
        (pod("Unknown", RUNS), WAITING, None),
        (pod("Failed"), WAITING, None),
        (pod("Succeeded", ran(), restart="Always"), RUNNING, None),
    ],
)
def test_a_pod_tells_how_far_it_is(found: Json, expected: Phase, started_at: str | None) -> None:
    seen = observe("Pod", found)

    assert seen is not None
    assert (seen.phase, seen.started_at, seen.finished_at) == (
        expected,
        None if started_at == "no" else started_at,
        None,
    )


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize(
    "metadata", [{}, {"deletionTimestamp": "2026-03-01T10:00:00Z", "deletionGracePeriodSeconds": 30}]
)
def test_a_pod_of_a_job_that_succeeded_says_so_to_the_end(deleted: bool, metadata: Json) -> None:
    seen = observe("Pod", pod("Succeeded", ran(at="05"), ran(at="07"), **metadata), deleted=deleted)

    assert seen is not None
    assert (seen.phase, seen.finished_at) == (Phase.SUCCEEDED, "2026-03-01T09:00:07Z")


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize(
    ("asked_at", "is_proof"), [("09:00:06", False), ("09:00:07", False), ("09:00:08", True), ("09:01:00", True)]
)
def test_a_pod_that_was_told_to_end_and_did_so_well_is_no_success(asked_at: str, is_proof: bool, deleted: bool) -> None:
    going = (datetime.fromisoformat(f"2026-03-01T{asked_at}Z") + timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {"deletionTimestamp": going, "deletionGracePeriodSeconds": 30}

    seen = observe("Pod", pod("Succeeded", ran(at="05"), ran(at="07"), **metadata), deleted=deleted)

    assert (seen is not None and seen.phase is Phase.SUCCEEDED) == is_proof


@pytest.mark.parametrize("deleted", [False, True])
def test_a_pod_that_its_node_lets_go_of_says_nothing_of_when_it_was_told_to_end(deleted: bool) -> None:
    # Told to end at 09:00:06. The kubelet deletes it once more, without grace, and the timestamp becomes that moment.
    metadata = {"deletionTimestamp": "2026-03-01T09:00:09Z", "deletionGracePeriodSeconds": 0}

    assert observe("Pod", pod("Succeeded", ran(at="07"), **metadata), deleted=deleted) is None


def test_a_failed_pod_is_no_failed_job() -> None:
    seen = observe("Pod", pod("Failed", ran(code=3)))

    assert seen is not None
    assert (seen.phase, seen.finished_at) == (WAITING, "2026-03-01T09:00:05Z")
    assert seen.diagnosis is not None
    assert seen.diagnosis.category == Category.EXIT_CODE


GOING = {"deletionTimestamp": "2026-03-01T10:00:00Z"}


@pytest.mark.parametrize("phase", ["Pending", "Running", "Failed"])
@pytest.mark.parametrize(("deleted", "metadata"), [(True, {}), (False, GOING)])
def test_a_pod_that_goes_says_nothing(phase: str, deleted: bool, metadata: Json) -> None:
    assert observe("Pod", pod(phase, RUNS, **metadata), deleted=deleted) is None


@pytest.mark.parametrize(
    ("phase", "reason", "category"),
    [
        ("Running", "EvictionByEvictionAPI", Category.EVICTED),
        ("Pending", "PreemptionByScheduler", Category.EVICTED),
        ("Running", "DeletionByTaintManager", Category.EVICTED),
        ("Unknown", None, Category.NODE_LOST),
    ],
)
def test_a_pod_that_is_taken_away_says_by_what(phase: str, reason: str | None, category: Category) -> None:
    taken = pod(phase, RUNS, **GOING)
    if reason:
        taken["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": reason}]

    seen = observe("Pod", taken)

    assert seen is not None
    assert seen.diagnosis is not None
    assert (seen.phase, seen.diagnosis.category) == (WAITING, category)
    assert observe("Pod", taken, deleted=True) is None
    assert observe("Pod", {**taken, "status": {**taken["status"], "phase": "Failed"}}) is None


@pytest.mark.parametrize("kind", ["Deployment", "Job", "Pod"])
@pytest.mark.parametrize("deleted", [False, True])
def test_foreign_objects_say_nothing(kind: str, deleted: bool) -> None:
    assert observe(kind, obj({"phase": "Succeeded"}, labels={"app": "x"}), deleted=deleted) is None


def test_a_trouble_comes_with_the_phase() -> None:
    seen = observe("Pod", pod("Pending", waiting("ErrImagePull")))
    failed = observe("Job", job("Failed"))

    assert seen is not None
    assert seen.diagnosis is not None
    assert seen.diagnosis.category == Category.IMAGE_PULL
    assert failed is not None
    assert failed.diagnosis is not None
    assert failed.diagnosis.category == Category.EXIT_CODE


def test_equal_looks_are_equal_values() -> None:
    assert observe("Pod", pod("Running", RUNS)) == observe("Pod", pod("Running", RUNS, resourceVersion="99"))
