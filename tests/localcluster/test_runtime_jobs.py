"""Jobs: success, retries, deadlines, suspend, expiry, and what deletes what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from k8s_bridge.localcluster.controller import RuntimeOptions, owner_reference
from k8s_bridge.localcluster.events import Recorder
from k8s_bridge.localcluster.jobs import JobController, job_backoff
from k8s_bridge.localcluster.store import Store
from tests.localcluster.runtimestand import Stand, conditions, job, running

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home") as found:
        yield found


def is_over(found: dict[str, Any]) -> bool:
    return bool({"Complete", "Failed"} & set(conditions(found)))


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 320), (7, 360), (50, 360)]
)
async def test_the_back_off_doubles_up_to_six_minutes(failures: int, seconds: float) -> None:
    assert job_backoff(failures, 10, 360) == seconds


async def test_a_job_completes(stand: Stand) -> None:
    made = stand.store.create("Job", job("j", ["true"]))

    found = await stand.until("Job", "j", is_over)

    status = found["status"]
    assert conditions(found) == {
        "SuccessCriteriaMet": ("True", "CompletionsReached"),
        "Complete": ("True", "CompletionsReached"),
    }
    assert (status["succeeded"], status.get("failed"), status.get("active"), status["ready"]) == (1, None, None, 0)
    assert status["startTime"]
    assert status["completionTime"]
    (pod,) = stand.pods_of("j")
    uid = made["metadata"]["uid"]
    assert pod["metadata"]["name"][:2] == "j-"
    assert len(pod["metadata"]["name"]) == len("j-xxxxx")
    assert pod["metadata"]["labels"] == {
        "job-name": "j",
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": uid,
        "batch.kubernetes.io/controller-uid": uid,
    }
    assert (await stand.event("j", "Completed"))["message"] == "Job completed"
    assert (await stand.event("j", "SuccessfulCreate"))["message"] == f"Created pod: {pod['metadata']['name']}"


async def test_a_running_job_counts_its_pod(stand: Stand) -> None:
    stand.store.create("Job", job("j", ["sleep", "60"]))

    found = await stand.until("Job", "j", lambda j: j["status"].get("ready"))

    assert (found["status"]["active"], found["status"]["ready"]) == (1, 1)


@pytest.mark.parametrize("limit", [0, 1, 2])
async def test_a_job_fails_after_its_retries(stand: Stand, limit: int) -> None:
    stand.store.create("Job", job("j", ["false"], backoffLimit=limit))

    found = await stand.until("Job", "j", is_over)

    assert conditions(found) == {
        "FailureTarget": ("True", "BackoffLimitExceeded"),
        "Failed": ("True", "BackoffLimitExceeded"),
    }
    assert found["status"]["failed"] == limit + 1
    assert "completionTime" not in found["status"]
    assert len(stand.pods_of("j")) == limit + 1


async def test_a_retry_waits_for_the_back_off(tmp_path: Path) -> None:
    async with running(tmp_path / "home", job_backoff=1.0) as stand:
        loop = asyncio.get_running_loop()
        stand.store.create("Job", job("j", ["false"], backoffLimit=1))
        await stand.until_state(lambda: len(stand.pods_of("j")) == 1, "Pod")
        began = loop.time()

        await stand.until_state(lambda: len(stand.pods_of("j")) == 2, "Pod")

        assert 0.9 < loop.time() - began < 3


async def test_a_job_that_succeeds_on_a_retry_completes(stand: Stand) -> None:
    stand.store.create("PersistentVolumeClaim", {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}})
    made = job("j", ["sh", "-c", "test -e /w/done && exit 0; touch /w/done; exit 1"], backoffLimit=3)
    spec = made["spec"]["template"]["spec"]
    spec["volumes"] = [{"name": "w", "persistentVolumeClaim": {"claimName": "c"}}]
    spec["containers"][0]["volumeMounts"] = [{"name": "w", "mountPath": "/w"}]

    stand.store.create("Job", made)

    found = await stand.until("Job", "j", is_over)
    assert conditions(found)["Complete"] == ("True", "CompletionsReached")
    assert (found["status"]["succeeded"], found["status"]["failed"]) == (1, 1)


async def test_restarts_in_the_pod_count_with_on_failure(stand: Stand) -> None:
    stand.store.create("Job", job("j", ["false"], backoffLimit=2, restartPolicy="OnFailure"))

    found = await stand.until("Job", "j", is_over)

    assert conditions(found)["Failed"] == ("True", "BackoffLimitExceeded")
    await stand.until_state(lambda: not stand.pods_of("j"), "Pod")


async def test_a_job_that_restarted_too_often_gets_no_other_pod(stand: Stand) -> None:
    made = job("j", ["sh", "-c", SLOW_SECOND_RUN], backoffLimit=1, restartPolicy="OnFailure")
    spec = made["spec"]["template"]["spec"]
    spec |= {"terminationGracePeriodSeconds": 1, "volumes": [{"name": "w", "emptyDir": {}}]}
    spec["containers"][0]["volumeMounts"] = [{"name": "w", "mountPath": "/w"}]
    queue = stand.store.subscribe("Pod")

    stand.store.create("Job", made)

    found = await stand.until("Job", "j", is_over)
    assert conditions(found)["Failed"] == ("True", "BackoffLimitExceeded")
    assert found["status"]["failed"] == 1
    assert [queue.get_nowait()[0] for _ in range(queue.qsize())].count("ADDED") == 1


async def test_nothing_is_kept_of_a_deleted_job(tmp_path: Path) -> None:
    store, options = Store(None), RuntimeOptions()
    controller = JobController(store, options, Recorder(store, options.now, "job-controller", ""))
    made = store.create("Job", job("j", ["true"]))
    owned = {"metadata": {"name": "p", "ownerReferences": [owner_reference(made)]}, "spec": {"containers": []}}
    pod = store.create("Pod", owned)

    controller.handle("DELETED", "Pod", pod)
    assert list(controller._gone) == [made["metadata"]["uid"]]
    controller.handle("DELETED", "Job", store.delete("Job", "default", "j"))
    controller.handle("DELETED", "Pod", pod)

    assert controller._gone == {}


async def test_the_deadline_fails_the_job_and_stops_its_pod(stand: Stand) -> None:
    stand.store.create("Job", job("j", ["sleep", "60"], activeDeadlineSeconds=1))

    found = await stand.until("Job", "j", is_over)

    assert conditions(found) == {
        "FailureTarget": ("True", "DeadlineExceeded"),
        "Failed": ("True", "DeadlineExceeded"),
    }
    assert found["status"]["failed"] == 1
    assert stand.pods_of("j") == []


async def test_a_finished_job_expires(stand: Stand) -> None:
    stand.store.create("Job", job("j", ["true"], ttlSecondsAfterFinished=1))
    await stand.until("Job", "j", is_over)

    await stand.until_gone("Job", "j", seconds=5)

    await stand.until_state(lambda: not stand.store.list("Pod")[0], "Pod")


async def test_a_suspended_job_runs_nothing_until_it_is_resumed(stand: Stand) -> None:
    stand.store.create("Job", job("j", ["sleep", "60"], suspend=True))
    found = await stand.until("Job", "j", lambda j: "Suspended" in conditions(j))
    assert conditions(found)["Suspended"] == ("True", "JobSuspended")
    assert "startTime" not in found["status"]
    assert stand.pods_of("j") == []

    stand.store.update("Job", {**found, "spec": {**found["spec"], "suspend": False}})
    active = await stand.until("Job", "j", lambda j: j["status"].get("ready"))
    assert conditions(active)["Suspended"] == ("False", "JobResumed")
    assert active["status"]["startTime"]

    stand.store.update("Job", {**active, "spec": {**active["spec"], "suspend": True}})
    again = await stand.until("Job", "j", lambda j: conditions(j)["Suspended"][0] == "True")
    await stand.until_state(lambda: not stand.pods_of("j"), "Pod")
    assert "failed" not in again["status"]


async def test_a_pod_deleted_by_hand_is_replaced_and_counts_as_failed(stand: Stand) -> None:
    stand.store.create("Job", job("j", ["sleep", "60"]))
    await stand.until("Job", "j", lambda j: j["status"].get("ready"))
    (first,) = stand.pods_of("j")

    stand.store.delete("Pod", "default", first["metadata"]["name"], grace_seconds=0)

    await stand.until_gone("Pod", first["metadata"]["name"])
    found = await stand.until("Job", "j", lambda j: j["status"].get("ready") and j["status"].get("failed"))
    assert (found["status"]["active"], found["status"]["failed"]) == (1, 1)
    assert stand.pods_of("j")[0]["metadata"]["name"] != first["metadata"]["name"]


@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
async def test_deleting_a_job_deals_with_its_pods(stand: Stand, propagation: str) -> None:
    stand.store.create("Job", job("j", ["sleep", "60"]))
    await stand.until("Job", "j", lambda j: j["status"].get("ready"))
    name = stand.pods_of("j")[0]["metadata"]["name"]

    stand.store.delete("Job", "default", "j", propagation=propagation)

    await stand.until_gone("Job", "j")
    if propagation == "Orphan":
        await stand.until("Pod", name, lambda p: "ownerReferences" not in p["metadata"])
        assert stand.store.get("Pod", "default", name)["status"]["phase"] == "Running"
    else:
        if propagation == "Foreground":
            assert stand.store.find("Pod", "default", name) is None
        await stand.until_gone("Pod", name)


# Fails at once, then ignores its end for as long as it may.
SLOW_SECOND_RUN = "if test -e /w/once; then trap '' TERM; while :; do sleep 0.05; done; fi; touch /w/once; exit 1"
DISRUPTED = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]


async def test_a_failure_by_disruption_uses_up_no_retry(stand: Stand) -> None:
    stand.store.create("Job", job("j", ["sleep", "60"], backoffLimit=0, podFailurePolicy={"rules": DISRUPTED}))
    await stand.until("Job", "j", lambda j: j["status"].get("ready"))
    (first,) = stand.pods_of("j")

    status = {**first["status"], "phase": "Failed", "reason": "Evicted"}
    status["conditions"] = [*status["conditions"], {"type": "DisruptionTarget", "status": "True"}]
    stand.store.update("Pod", {**first, "status": status}, subresource="status")

    await stand.until("Job", "j", lambda j: len(stand.pods_of("j")) == 2 and j["status"].get("ready"))
    found = stand.store.get("Job", "default", "j")
    assert (found["status"].get("failed"), found["status"]["active"]) == (None, 1)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}, "PodFailurePolicy"),
        (
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3], "containerName": "other"}},
            "BackoffLimitExceeded",
        ),
        ({"action": "Count", "onExitCodes": {"operator": "NotIn", "values": [4]}}, "BackoffLimitExceeded"),
    ],
)
async def test_exit_codes_may_decide_a_job(stand: Stand, rule: dict[str, Any], reason: str) -> None:
    policy = {"rules": [rule]}
    stand.store.create("Job", job("j", ["sh", "-c", "exit 3"], backoffLimit=1, podFailurePolicy=policy))

    found = await stand.until("Job", "j", is_over)

    assert conditions(found)["Failed"] == ("True", reason)
    assert found["status"]["failed"] == (1 if reason == "PodFailurePolicy" else 2)
