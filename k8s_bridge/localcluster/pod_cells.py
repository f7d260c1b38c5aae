"""The Ready, Status and Restarts cells of a pod, as kubectl users know them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from k8s_bridge.localcluster.ages import age

Object = dict[str, Any]


def _statuses(pod: Object, key: str = "containerStatuses") -> list[Object]:
    found: list[Object] = (pod.get("status") or {}).get(key) or []
    return found


def pod_ready(pod: Object, now: datetime) -> str:
    """`1/2`: ready containers of all."""
    ready = sum(1 for status in _statuses(pod) if status.get("ready"))
    return f"{ready}/{len(pod['spec']['containers'])}"


def pod_restarts(pod: Object, now: datetime) -> str:
    """`3 (2m ago)`: restarts, and when the last one ended."""
    statuses = _statuses(pod)
    count = sum(status.get("restartCount", 0) for status in statuses)
    ends = [(status.get("lastState") or {}).get("terminated", {}).get("finishedAt") for status in statuses]
    last = max(filter(None, ends), default=None)
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def pod_status(pod: Object, now: datetime) -> str:
    """The phase, or the word that says more: `CrashLoopBackOff`, `Completed`, `Error`, `Init:0/1`, `Terminating`."""
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    waiting = _init_reason(pod)
    if waiting is not None:
        reason = waiting
    else:
        running = False
        for container in reversed(_statuses(pod)):
            state = container.get("state") or {}
            told = _state_reason(state)
            if told:
                reason = told
            elif container.get("ready") and state.get("running"):
                running = True
        if reason == "Completed" and running:
            reason = "Running" if _is_ready(status) else "NotReady"
    finished = status.get("phase") in ("Succeeded", "Failed")
    return "Terminating" if "deletionTimestamp" in pod["metadata"] and not finished else reason


def _state_reason(state: Object) -> str | None:
    waiting, ended = state.get("waiting"), state.get("terminated")
    if waiting and waiting.get("reason"):
        return str(waiting["reason"])
    if not ended:
        return None
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _init_reason(pod: Object) -> str | None:
    total = len(pod["spec"].get("initContainers") or ())
    for at, container in enumerate(_statuses(pod, "initContainerStatuses")):
        state = container.get("state") or {}
        ended = state.get("terminated")
        if ended and ended.get("exitCode") == 0:
            continue
        told = _state_reason(state)
        return f"Init:{told}" if told and told != "PodInitializing" else f"Init:{at}/{total}"
    return None


def _is_ready(status: Object) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions") or ())
