"""Why a workload does not get on, in words for people (contract E.6, H.4). Pure functions over raw objects and errors.

Each gives one Diagnosis, the most telling, or None when it sees no trouble. The texts hold no counters and no back-off
times: the same trouble gives an equal Diagnosis as long as it lasts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from k8s_bridge.causes import (
    Category,
    Diagnosis,
    absent_claim,
    diagnose_error,
    diagnosis_of,
    missing_claim,
    over_time,
    refused_pod,
    unschedulable,
)
from k8s_bridge.results import WarningEvent

__all__ = [
    "Category",
    "Diagnosis",
    "diagnose_deletion",
    "diagnose_deployment",
    "diagnose_disruption",
    "diagnose_error",
    "diagnose_events",
    "diagnose_job",
    "diagnose_pod",
    "over_time",
]

Json = Mapping[str, Any]


# Reasons of a waiting container whose image is not there yet.
PULL_REASONS = frozenset(
    {
        "ContainerCreating",
        "PodInitializing",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_PULL_FAILURES = PULL_REASONS - {"ContainerCreating", "PodInitializing", "InvalidImageName"}
_START_FAILURES = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PostStartHookError",
        "PreCreateHookError",
    }
)
_PULL_BACKOFF = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull)?(: )?')


def diagnose_pod(pod: Json) -> Diagnosis | None:
    """The trouble of one pod: what took it away, why it found no place, or what its first troubled container suffers
    from.
    """
    found = diagnose_disruption(pod) or _scheduling_of(pod)
    if found is not None:
        return found
    states = container_states(pod)
    specs = {item["name"]: item for item in (pod.get("spec") or {}).get("containers") or ()}
    found = next((trouble for state in states if (trouble := _container(state))), None)
    if found is not None:
        return found
    status = pod.get("status") or {}
    if status.get("phase") == "Failed":
        return diagnosis_of(
            Category.EXIT_CODE,
            f"The pod failed{_reason(status)}.",
            status.get("message"),
            "Read the pod's events and the container's log, then start the node again.",
        )
    return next((trouble for state in states if (trouble := _unready(state, specs.get(state["name"], {})))), None)


def diagnose_disruption(pod: Json) -> Diagnosis | None:
    """What takes the pod off its node, or took it; None when nothing does."""
    status = pod.get("status") or {}
    target = find_condition(pod, "DisruptionTarget")
    cause = status.get("reason") or (target or {}).get("reason") or ""
    message = status.get("message") or (target or {}).get("message")
    lost = cause in ("NodeLost", "DeletionByPodGC", "NodeShutdown", "Terminated", "Shutdown")
    if lost or status.get("phase") == "Unknown":
        node = (pod.get("spec") or {}).get("nodeName")
        return diagnosis_of(
            Category.NODE_LOST,
            f"The cluster lost contact with {f'node {node}' if node else 'the node'} that ran the pod.",
            message,
            "Nothing, when the cluster starts the pod elsewhere. Otherwise check that node, then start again.",
        )
    if cause == "Evicted" or target is not None:
        return diagnosis_of(
            Category.EVICTED,
            f"The cluster took the pod off its node{f' ({cause})' if cause != 'Evicted' else ''}.",
            message,
            "Give the container requests that match its use of memory and disk, or free the node.",
        )
    return None


def diagnose_job(job: Json) -> Diagnosis | None:
    """Why the Job failed; None while it has not."""
    failed = find_condition(job, "Failed")
    if failed is None:
        return None
    reason, message = failed.get("reason") or "", failed.get("message")
    if reason == "BackoffLimitExceeded":
        limit = (job.get("spec") or {}).get("backoffLimit")
        tries = "" if limit is None else f" of {limit} retries" if limit != 1 else " of 1 retry"
        what = (
            f"its pod kept failing until the limit{tries} was reached"
            if limit != 0
            else "its pod failed, and no retry was allowed"
        )
        return diagnosis_of(
            Category.BACKOFF_LIMIT,
            f"The job failed: {what}.",
            message,
            "Read the log of the last try. Correct the command, its inputs or the image, or raise the backoff limit.",
        )
    return diagnosis_of(
        Category.EXIT_CODE,
        f"The job failed{f' ({reason})' if reason else ''}.",
        message,
        "Read the log of the job, correct its cause, then start the node again.",
    )


def diagnose_deployment(deployment: Json) -> Diagnosis | None:
    """Why the Deployment has no pods, or does not get ready; None while it is on its way."""
    refused = find_condition(deployment, "ReplicaFailure")
    if refused is not None:
        return refused_pod(refused.get("message") or "")
    progress = find_condition(deployment, "Progressing", status="False")
    if progress is not None and progress.get("reason") == "ProgressDeadlineExceeded":
        return diagnosis_of(
            Category.NOT_READY,
            "The app did not get ready in the time that the cluster allows for it.",
            progress.get("message"),
            "Read the app's log and check its readiness probe: the port, the path and the initial delay.",
        )
    return None


def diagnose_events(events: Iterable[WarningEvent]) -> Diagnosis | None:
    """What the latest telling warning says. `events` come oldest first. It knows causes that no status shows: a pod
    that was refused, a volume that cannot be mounted, a probe that fails.
    """
    found = [trouble for event in events if (trouble := _event(event))]
    return found[-1] if found else None


def diagnose_deletion(kind: str, name: str) -> Diagnosis:
    """The object went away and SecFlow did not remove it."""
    return diagnosis_of(
        Category.DELETED,
        f"{kind} {name} was deleted from outside before the node ended.",
        "",
        "Find out who or what removes objects in this namespace, then start the node again.",
    )


def container_states(pod: Json) -> list[Json]:
    """The statuses of the pod's main containers, as the node reported them."""
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def find_condition(obj: Json, kind: str, *, status: str = "True") -> Json | None:
    """The object's condition of this type, when it has this status."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item.get("type") == kind and item.get("status") == status), None)


def _reason(status: Json) -> str:
    return f" ({status['reason']})" if status.get("reason") else ""


def _scheduling_of(pod: Json) -> Diagnosis | None:
    waiting = find_condition(pod, "PodScheduled", status="False")
    if waiting is None or waiting.get("reason") not in ("Unschedulable", "SchedulerError"):
        return None
    return unschedulable(waiting.get("message") or "")


def _container(state: Json) -> Diagnosis | None:
    name, now = state["name"], state.get("state") or {}
    waiting, ended = now.get("waiting"), now.get("terminated")
    if ended is not None:
        return _end(name, ended)
    if waiting is None:
        return None
    reason, message = waiting.get("reason") or "", waiting.get("message") or ""
    image = state.get("image") or ""
    if reason == "InvalidImageName":
        return diagnosis_of(
            Category.INVALID_IMAGE,
            f"Container {name}: {image!r} is not a valid image name.",
            message,
            "Correct the image in the template: registry/repository:tag, without spaces or upper case.",
        )
    if reason in _PULL_FAILURES:
        return diagnosis_of(
            Category.IMAGE_PULL,
            f"Container {name}: the image {image} cannot be pulled.",
            _PULL_BACKOFF.sub("", message),
            "Check that the image and tag exist and that the cluster may read the registry.",
        )
    if reason == "CrashLoopBackOff":
        last = (state.get("lastState") or {}).get("terminated") or {}
        if last.get("reason") == "OOMKilled":
            return _end(name, last)
        return diagnosis_of(
            Category.CRASH_LOOP,
            f"Container {name} keeps ending{_exit(last)} and is started again and again.",
            last.get("message"),
            "Read the previous log of the container and correct its command or inputs.",
        )
    if reason in _START_FAILURES:
        if claim := absent_claim(message):
            return missing_claim(claim, message)
        return diagnosis_of(
            Category.START_ERROR,
            f"Container {name} cannot be started ({reason}).",
            message,
            "Correct what the message names: the command, a mount path, or an object the container refers to.",
        )
    return None


def _end(name: str, ended: Json) -> Diagnosis | None:
    if ended.get("reason") == "OOMKilled":
        return diagnosis_of(
            Category.OUT_OF_MEMORY,
            f"Container {name} used more memory than its limit and was killed.",
            ended.get("message"),
            "Raise the memory limit of the container, or make it use less.",
        )
    if not ended.get("exitCode"):
        return None
    if ended.get("reason") in ("StartError", "ContainerCannotRun"):
        return diagnosis_of(
            Category.START_ERROR,
            f"Container {name} could not run its command.",
            ended.get("message"),
            "Check that the command exists in the image and is executable.",
        )
    return diagnosis_of(
        Category.EXIT_CODE,
        f"Container {name} ended{_exit(ended)}.",
        ended.get("message"),
        "Read the container's log to see why it ended.",
    )


def _exit(ended: Json) -> str:
    code = ended.get("exitCode")
    if code is None:
        return ""
    # Shells and container runtimes report death by signal n as 128 + n.
    return f" with exit code {code}" + (f" (signal {code - 128})" if 128 < code < 160 else "")


def _unready(state: Json, spec: Json) -> Diagnosis | None:
    probe = spec.get("readinessProbe")
    if probe is None or state.get("ready") or "running" not in (state.get("state") or {}):
        return None
    if "httpGet" in probe:
        check = f"HTTP GET {probe['httpGet'].get('path') or '/'} on port {probe['httpGet'].get('port')}"
    elif "tcpSocket" in probe:
        check = f"TCP connection to port {probe['tcpSocket'].get('port')}"
    else:
        check = "command " + " ".join((probe.get("exec") or {}).get("command") or ())
    return diagnosis_of(
        Category.NOT_READY,
        f"Container {state['name']} runs, but its readiness probe ({check}) has not passed.",
        "",
        "Wait while the app starts. If it stays so, check the probe and the app's log.",
    )


def _event(event: WarningEvent) -> Diagnosis | None:
    message = event.message
    if event.reason == "FailedCreate":
        return refused_pod(message)
    if event.reason == "FailedScheduling":
        return unschedulable(message)
    if event.reason in ("FailedMount", "FailedAttachVolume"):
        if claim := absent_claim(message):
            return missing_claim(claim, message)
        return diagnosis_of(
            Category.START_ERROR, "A volume cannot be mounted.", message, "Check the claim and its storage."
        )
    if event.reason == "Unhealthy":
        return diagnosis_of(
            Category.NOT_READY,
            "A health check of the container fails.",
            message,
            "Check the probe's port, path and delays, and the app's log.",
        )
    return None
