"""Jobs with one completion: the pod, its retries, deadlines and the final verdict, as Kubernetes 1.34 tells them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from k8s_bridge.localcluster import failure_policy
from k8s_bridge.localcluster.controller import (
    NODE_LOST,
    Controller,
    Key,
    Object,
    RuntimeOptions,
    controller_of,
    is_deleting,
    is_finished,
    is_ready,
    key_of,
    owner_reference,
    parse_time,
    phase_of,
)
from k8s_bridge.localcluster.events import Recorder
from k8s_bridge.localcluster.store import Store, clone, timestamp

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_BACKOFF_LIMIT: Final = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_FAILURE_POLICY: Final = "PodFailurePolicy"
_DEADLINE: Final = ("DeadlineExceeded", "Job was active longer than specified deadline")
_COMPLETED: Final = ("CompletionsReached", "Reached expected number of succeeded pods")


def job_backoff(failures: int, base: float, longest: float) -> float:
    """Seconds between the last of `failures` failures and the next pod: base, twice that, ... up to `longest`."""
    return min(base * 2 ** max(failures - 1, 0), longest) if failures else 0.0


@dataclass
class _Memory:
    """What the status cannot tell: which pods are counted, and how the last failure delays the next pod."""

    counted: set[str] = field(default_factory=set)
    failures_in_a_row: int = 0
    next_pod: datetime | None = None


def _remember(job: Object, pods: list[Object]) -> _Memory:
    """After a restart of the cluster: the oldest pods are the ones in the counts, a later one is yet to be counted."""
    counted: set[str] = set()
    status = job.get("status") or {}
    pods = [pod for pod in pods if failure_policy.judge(job, pod)[0] != failure_policy.IGNORE]
    for phase, count in (("Succeeded", status.get("succeeded") or 0), ("Failed", status.get("failed") or 0)):
        ended = sorted(
            (pod for pod in pods if phase_of(pod) == phase), key=lambda pod: str(pod["metadata"]["creationTimestamp"])
        )
        counted |= {pod["metadata"]["uid"] for pod in ended[:count]}
    return _Memory(counted, int(status.get("failed") or 0))


class JobController(Controller):
    def __init__(self, store: Store, options: RuntimeOptions, events: Recorder) -> None:
        super().__init__(store)
        self._options = options
        self._events = events
        self._memory: dict[str, _Memory] = {}
        self._gone: dict[str, dict[str, Object]] = {}

    def handle(self, type: str, kind: str, obj: Object) -> None:
        if kind == "Job":
            if type == "DELETED":
                self._memory.pop(obj["metadata"]["uid"], None)
                self._gone.pop(obj["metadata"]["uid"], None)
            else:
                self.wake(key_of(obj))
        elif owner := controller_of(obj, "Job"):
            key = (obj["metadata"]["namespace"], owner["name"])
            if type == "DELETED" and self._is_open(key, owner["uid"]):
                self._gone.setdefault(owner["uid"], {})[obj["metadata"]["uid"]] = obj
            self.wake(key)

    def _is_open(self, key: Key, uid: str) -> bool:
        """Whether this very Job is there and has yet to count its pods."""
        job = self.store.find("Job", *key)
        return job is not None and job["metadata"]["uid"] == uid and final_condition(job) is None

    def reconcile(self, key: Key) -> None:
        job = self.store.find("Job", *key)
        if job is None or is_deleting(job):
            return
        if final_condition(job) is not None:
            self._remove_when_due(job)
            return
        _Sync(self.store, self._options, self._events, self._memory_of(job), self, job).run(self._pods(job))

    def _memory_of(self, job: Object) -> _Memory:
        uid = job["metadata"]["uid"]
        if uid not in self._memory:
            self._memory[uid] = _remember(job, self._pods(job))
        return self._memory[uid]

    def _pods(self, job: Object) -> list[Object]:
        uid = job["metadata"]["uid"]
        pods = [obj for obj in self.store.owned_by(uid) if obj["kind"] == "Pod"]
        return pods + list(self._gone.get(uid, {}).values())

    def forget_gone(self, job: Object) -> None:
        self._gone.pop(job["metadata"]["uid"], None)

    def _remove_when_due(self, job: Object) -> None:
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        found = final_condition(job)
        if seconds is None or found is None:
            return
        due = parse_time(found["lastTransitionTime"]) + timedelta(seconds=seconds)
        left = (due - self._options.now()).total_seconds()
        if left > 0:
            self.wake(key_of(job), left + 0.01)
        else:
            self.store.delete("Job", *key_of(job), uid=job["metadata"]["uid"], propagation="Background")


def final_condition(job: Object) -> Object | None:
    """The Complete or Failed condition of a finished Job."""
    for found in (job.get("status") or {}).get("conditions") or ():
        if found["type"] in ("Complete", "Failed") and found["status"] == "True":
            given: Object = found
            return given
    return None


class _Sync:
    """One look at one Job: count what ended, decide, act, write the status once."""

    def __init__(
        self,
        store: Store,
        options: RuntimeOptions,
        events: Recorder,
        memory: _Memory,
        controller: JobController,
        job: Object,
    ) -> None:
        self._store = store
        self._options = options
        self._events = events
        self._memory = memory
        self._controller = controller
        self._job = job
        self._now = options.now()
        self._status: dict[str, Any] = clone(job.get("status") or {})

    def run(self, pods: list[Object]) -> None:
        job, status = self._job, self._status
        suspended = bool(job["spec"].get("suspend"))
        if not suspended and not status.get("startTime"):
            status["startTime"] = timestamp(self._now)
        self._count(pods)
        active = [pod for pod in pods if not is_finished(pod) and not is_deleting(pod)]
        verdict = self._verdict(active)
        if verdict is not None:
            active = self._close(active, *verdict)
        elif suspended:
            active = self._suspend(active)
        else:
            self._resume()
            if not active and not self._is_terminating(pods):
                active = self._create_when_due()
        leaving = [pod for pod in pods if is_deleting(pod) and not is_finished(pod)]
        status["active"] = len(active)
        status["ready"] = sum(map(is_ready, active))
        status["terminating"] = len([pod for pod in leaving if self._store.find("Pod", *key_of(pod))])
        status.setdefault("uncountedTerminatedPods", {})
        for name in ("active", "succeeded", "failed"):
            if not status.get(name):
                status.pop(name, None)
        self._controller.set_status(self._store.get("Job", *key_of(job)), status)
        self._controller.forget_gone(job)
        self._watch_deadline()

    def _count(self, pods: list[Object]) -> None:
        """A pod counts once, when it has ended. One that is deleted while it runs counts as failed: at once, or with
        podReplacementPolicy Failed when it has ended.
        """
        memory, status = self._memory, self._status
        for pod in sorted(pods, key=lambda item: str(item["metadata"]["creationTimestamp"])):
            uid = pod["metadata"]["uid"]
            phase = phase_of(pod)
            is_leaving = is_deleting(pod) and not self._waits_for_the_end
            if uid in memory.counted or not (is_finished(pod) or is_leaving or self._is_gone(pod)):
                continue
            if not self._is_ours(pod):
                continue
            memory.counted.add(uid)
            if phase == "Succeeded":
                status["succeeded"] = status.get("succeeded", 0) + 1
                continue
            action, message = failure_policy.judge(self._job, pod)
            if action == failure_policy.IGNORE:
                continue
            if action == failure_policy.FAIL_JOB:
                self._set_condition("FailureTarget", True, _FAILURE_POLICY, message)
            status["failed"] = status.get("failed", 0) + 1
            memory.failures_in_a_row += 1
            lost = (pod.get("status") or {}).get("reason") == NODE_LOST
            base, longest = self._options.job_backoff, self._options.job_backoff_max
            delay = 0.0 if lost else job_backoff(memory.failures_in_a_row, base, longest)
            memory.next_pod = self._now + timedelta(seconds=delay)

    def _is_gone(self, pod: Object) -> bool:
        stored = self._store.find("Pod", *key_of(pod))
        return stored is None or stored["metadata"]["uid"] != pod["metadata"]["uid"]

    def _is_ours(self, pod: Object) -> bool:
        # A suspended Job deletes its own pods: that is no failure.
        return not (self._job["spec"].get("suspend") and is_deleting(pod) and phase_of(pod) != "Succeeded")

    @property
    def _waits_for_the_end(self) -> bool:
        return bool(self._job["spec"].get("podReplacementPolicy") == "Failed")

    def _is_terminating(self, pods: list[Object]) -> bool:
        """With podReplacementPolicy Failed a deleted pod must have ended before another is made."""
        return self._waits_for_the_end and any(
            is_deleting(pod) and not is_finished(pod) and not self._is_gone(pod) for pod in pods
        )

    # The verdict

    def _verdict(self, active: list[Object]) -> tuple[str, str, str] | None:
        """(condition, reason, message) when the Job is over."""
        for found in self._status.get("conditions") or ():
            # Announced is decided, although the pods that showed why may be gone.
            if (found["type"], found["status"]) == ("FailureTarget", "True"):
                return ("Failed", found["reason"], found["message"])
        if self._status.get("succeeded"):
            return ("Complete", *_COMPLETED)
        limit = int(self._job["spec"].get("backoffLimit", 6))
        if self._status.get("failed", 0) > limit or self._restarted_too_often(active, limit):
            return ("Failed", *_BACKOFF_LIMIT)
        left = self._time_left()
        if left is not None and left <= 0:
            return ("Failed", *_DEADLINE)
        return None

    def _restarted_too_often(self, active: list[Object], limit: int) -> bool:
        """With restartPolicy OnFailure the restarts of the containers are the retries."""
        if self._job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
            return False
        restarts = sum(
            int(item.get("restartCount") or 0)
            for pod in active
            for key in ("initContainerStatuses", "containerStatuses")
            for item in (pod.get("status") or {}).get(key) or ()
        )
        return restarts > 0 if limit == 0 else restarts >= limit

    def _time_left(self) -> float | None:
        seconds = self._job["spec"].get("activeDeadlineSeconds")
        began = self._status.get("startTime")
        if seconds is None or not began or self._job["spec"].get("suspend"):
            return None
        return (parse_time(began) + timedelta(seconds=seconds) - self._now).total_seconds()

    def _watch_deadline(self) -> None:
        left = self._time_left()
        if left is not None and left > 0 and final_condition({"status": self._status}) is None:
            self._controller.wake(key_of(self._job), left + 0.01)

    def _close(self, active: list[Object], kind: str, reason: str, message: str) -> list[Object]:
        """Announce the verdict, stop what still runs, and make it final once nothing runs any more."""
        self._set_condition("SuccessCriteriaMet" if kind == "Complete" else "FailureTarget", True, reason, message)
        for pod in active:
            self._delete(pod)
        self._memory.counted |= {pod["metadata"]["uid"] for pod in active}
        if kind == "Failed" and active:
            self._status["failed"] = self._status.get("failed", 0) + len(active)
        running = [pod for pod in self._store.owned_by(self._job["metadata"]["uid"]) if self._still_runs(pod)]
        if running:
            return []
        self._set_condition(kind, True, reason, message)
        if kind == "Complete":
            self._status["completionTime"] = timestamp(self._now)
            self._events.normal(self._job, "Completed", "Job completed")
        else:
            self._events.warning(self._job, reason, message)
        self._controller.wake(key_of(self._job))
        return []

    @staticmethod
    def _still_runs(pod: Object) -> bool:
        return pod["kind"] == "Pod" and not is_finished(pod)

    # Suspend

    def _suspend(self, active: list[Object]) -> list[Object]:
        for pod in active:
            self._memory.counted.add(pod["metadata"]["uid"])
            self._delete(pod)
        if self._set_condition("Suspended", True, "JobSuspended", "Job suspended"):
            self._events.normal(self._job, "Suspended", "Job suspended")
        self._status.pop("startTime", None)
        return []

    def _resume(self) -> None:
        known = any(item["type"] == "Suspended" for item in self._status.get("conditions") or ())
        if known and self._set_condition("Suspended", False, "JobResumed", "Job resumed"):
            self._status["startTime"] = timestamp(self._now)
            self._events.normal(self._job, "Resumed", "Job resumed")

    # Pods

    def _create_when_due(self) -> list[Object]:
        due = self._memory.next_pod
        if due is not None and due > self._now:
            self._controller.wake(key_of(self._job), (due - self._now).total_seconds())
            return []
        job = self._job
        template = clone(job["spec"]["template"])
        meta = template.get("metadata") or {}
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        labels = {
            **(meta.get("labels") or {}),
            "job-name": name,
            "batch.kubernetes.io/job-name": name,
            "controller-uid": uid,
            "batch.kubernetes.io/controller-uid": uid,
        }
        made = {
            "namespace": job["metadata"]["namespace"],
            "name": pod_name(self._store, job["metadata"]["namespace"], name),
            "generateName": f"{name}-",
            "labels": labels,
            "ownerReferences": [owner_reference(job)],
        }
        if meta.get("annotations"):
            made["annotations"] = meta["annotations"]
        pod = self._store.create("Pod", {"metadata": made, "spec": template["spec"]})
        self._events.normal(job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return [pod]

    def _delete(self, pod: Object) -> None:
        self._store.delete("Pod", *key_of(pod), uid=pod["metadata"]["uid"])
        self._events.normal(self._job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    def _set_condition(self, type: str, is_true: bool, reason: str, message: str) -> bool:
        """Whether the condition changed."""
        now = timestamp(self._now)
        conditions = [item for item in self._status.get("conditions") or () if item["type"] != type]
        old = next((item for item in self._status.get("conditions") or () if item["type"] == type), None)
        status = "True" if is_true else "False"
        if old is not None and old["status"] == status:
            return False
        found = {"type": type, "status": status, "reason": reason, "message": message}
        self._status["conditions"] = [*conditions, {**found, "lastProbeTime": now, "lastTransitionTime": now}]
        return True


def pod_name(store: Store, namespace: str, prefix: str) -> str:
    """`<prefix>-xxxxx`, not taken in the namespace; a long prefix is cut as Kubernetes cuts it."""
    while True:
        name = f"{prefix[:57]}-{''.join(random.choices(_LETTERS, k=5))}"  # noqa: S311
        if store.find("Pod", namespace, name) is None:
            return name
