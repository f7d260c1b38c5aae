"""What a cluster object says, reduced to the few facts that SecFlow decides on (contract E.6). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from k8s_bridge import names
from k8s_bridge.diagnosis import (
    PULL_REASONS,
    Diagnosis,
    container_states,
    diagnose_deletion,
    diagnose_deployment,
    diagnose_disruption,
    diagnose_job,
    diagnose_pod,
    find_condition,
)
from k8s_bridge.kinds import POD
from k8s_bridge.specs import DEPLOYMENT, JOB


class Phase(StrEnum):
    """Where one workload is, as far as a single object can tell."""

    WAITING = "waiting"  # no pod has started yet
    PULLING = "pulling"  # a pod is there, some container has no image yet
    RUNNING = "running"  # every container of the newest pod has its image; not finished, not ready
    READY = "ready"  # Deployment: observed, updated and ready replicas >= wanted > 0
    SUCCEEDED = "succeeded"  # Job: condition Complete, or its pod Succeeded by itself
    FAILED = "failed"  # Job: condition Failed
    GONE = "gone"  # the Deployment or Job was deleted


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at one object. `source` is the kind it was seen on (Deployment, Job or Pod); `name` and `uid` are its
    own.

    Two observations that are equal say the same: a reader may drop the second. `finished_at` is ISO 8601 in UTC as the
    cluster gave it, None when it gave none; of what is READY it is when that came about. `started_at`, in the same form,
    is when the last container of a pod started. `diagnosis` explains a trouble seen, also a passing one.
    """

    attempt: int
    run: int
    installation: str
    instance_id: str
    node_id: str
    source: str
    name: str
    namespace: str
    uid: str
    phase: Phase
    finished_at: str | None = None
    diagnosis: Diagnosis | None = None
    started_at: str | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    phase: Phase
    finished_at: str | None = None
    diagnosis: Diagnosis | None = None
    started_at: str | None = None


def observe(kind: str, obj: Mapping[str, Any], *, deleted: bool = False) -> Observation | None:
    """What the object of this kind (Deployment, Job or Pod) says; None when it says nothing or is not SecFlow's.

    `deleted` marks the last state of an object that is gone (the DELETED event of a watch).

    * A Deployment or Job that has not come to its end says WAITING; only pods tell WAITING, PULLING and RUNNING apart.
    * A pod that is going, or gone, says nothing, unless it had succeeded before: what took it away decides. A process
      that is told to end may answer with exit code 0, which is no proof that its work was done. Only of an eviction or a
      lost node it tells, while it ends.
    * A failed pod says WAITING, with a diagnosis: the backoff limit decides, through the Job.
    * A Job that vanished after its end still tells its end; any other that vanished is GONE.

    Raises KeyError for another kind.
    """
    seen = _READERS[kind](obj, deleted)
    owner = names.owner_of(obj)
    if seen is None or owner is None:
        return None
    metadata = obj["metadata"]
    return Observation(
        attempt=owner.attempt,
        run=owner.run,
        installation=owner.installation,
        instance_id=owner.instance_id,
        node_id=owner.node_id,
        source=kind,
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        phase=seen.phase,
        finished_at=seen.finished_at,
        diagnosis=seen.diagnosis,
        started_at=seen.started_at,
    )


def _deployment(obj: Mapping[str, Any], deleted: bool) -> _Seen | None:
    if deleted:
        return _Seen(Phase.GONE, diagnosis=diagnose_deletion(DEPLOYMENT, obj["metadata"]["name"]))
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    wanted = spec.get("replicas", 1)
    observed = status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
    updated, ready, total = (status.get(key) or 0 for key in ("updatedReplicas", "readyReplicas", "replicas"))
    # readyReplicas counts pods of older templates too, so all pods there are must be updated ones.
    if observed and updated >= wanted > 0 and ready >= wanted and total <= updated:
        return _Seen(Phase.READY, finished_at=_ready_at(obj))
    return _Seen(Phase.WAITING, diagnosis=diagnose_deployment(obj))


def _ready_at(deployment: Mapping[str, Any]) -> str | None:
    """When its rollout was through, or else when enough of it was ready."""
    progress = find_condition(deployment, "Progressing") or {}
    if progress.get("reason") == "NewReplicaSetAvailable" and progress.get("lastUpdateTime"):
        return str(progress["lastUpdateTime"])
    return (find_condition(deployment, "Available") or {}).get("lastTransitionTime")


def _job(obj: Mapping[str, Any], deleted: bool) -> _Seen | None:
    status = obj.get("status") or {}
    complete, failed = find_condition(obj, "Complete"), find_condition(obj, "Failed")
    if complete:
        return _Seen(Phase.SUCCEEDED, finished_at=status.get("completionTime") or complete.get("lastTransitionTime"))
    if failed:
        return _Seen(Phase.FAILED, finished_at=failed.get("lastTransitionTime"), diagnosis=diagnose_job(obj))
    if deleted:
        return _Seen(Phase.GONE, diagnosis=diagnose_deletion(JOB, obj["metadata"]["name"]))
    return _Seen(Phase.WAITING)


def _pod(obj: Mapping[str, Any], deleted: bool) -> _Seen | None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    # Only pods of Jobs are never restarted; a Deployment allows nothing but "Always".
    if status.get("phase") == "Succeeded" and spec.get("restartPolicy") == "Never" and not _was_told_to_end(obj):
        return _Seen(Phase.SUCCEEDED, finished_at=_latest(obj, "terminated", "finishedAt"))
    if deleted:
        return None
    if obj["metadata"].get("deletionTimestamp"):
        taken = diagnose_disruption(obj) if status.get("phase") in ("Pending", "Running", "Unknown") else None
        return _Seen(Phase.WAITING, diagnosis=taken) if taken else None
    diagnosis = diagnose_pod(obj)
    if status.get("phase") in ("Failed", "Unknown"):
        return _Seen(Phase.WAITING, finished_at=_latest(obj, "terminated", "finishedAt"), diagnosis=diagnosis)
    states = container_states(obj)
    if not states or len(states) < len(spec.get("containers") or ()):
        return _Seen(Phase.WAITING, diagnosis=diagnosis)
    if not all(_has_image(state) for state in states):
        return _Seen(Phase.PULLING, diagnosis=diagnosis)
    return _Seen(Phase.RUNNING, diagnosis=diagnosis, started_at=_latest(obj, "running", "startedAt"))


def _was_told_to_end(pod: Mapping[str, Any]) -> bool:
    """Its deletion was asked for before its containers had ended, or in the same second: the API knows no parts of one."""
    metadata = pod["metadata"]
    finished = _latest(pod, "terminated", "finishedAt")
    if not metadata.get("deletionTimestamp"):
        return False
    if finished is None:
        return True
    # The timestamp is the moment at which the grace is over. Its node asks a second time, without grace, when all has ended,
    # and moves the timestamp by it: then it says nothing of the first time any more.
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    if not grace:
        return True
    return datetime.fromisoformat(finished) >= datetime.fromisoformat(metadata["deletionTimestamp"]) - grace


_READERS = {DEPLOYMENT: _deployment, JOB: _job, POD: _pod}


def _has_image(state: Mapping[str, Any]) -> bool:
    """The container has an id, or waits for something that comes after the pull."""
    now = state.get("state") or {}
    if state.get("containerID") or "running" in now or "terminated" in now:
        return True
    reason = (now.get("waiting") or {}).get("reason")
    return bool(reason) and reason not in PULL_REASONS


def _latest(pod: Mapping[str, Any], state: str, key: str) -> str | None:
    """The last of the times that the containers tell. ISO 8601 in UTC sorts as text."""
    found = [((item.get("state") or {}).get(state) or {}).get(key) for item in container_states(pod)]
    return max((time for time in found if time), default=None)
