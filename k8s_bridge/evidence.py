"""What is kept of a failed workload before it is removed: container states, warnings, last log lines. Pure.

The values of environment variables are nowhere in it: of a container only its name, image and states are taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from k8s_bridge.pods import newest_first
from k8s_bridge.results import WarningEvent

Json = dict[str, Any]

MOST_BYTES = 64 * 1024  # of all the evidence of one node, as JSON
MOST_PODS = 3
MOST_EVENTS = 30
MOST_CONTAINERS = 20  # of one pod
MOST_TEXT = (1024, 512, 256, 128, 64, 16)  # characters of one text; the less, the more texts there are
_ROOM_FOR_FACTS = MOST_BYTES * 3 // 4
_CUT = "..."
_CONDITIONS = frozenset({"PodScheduled", "DisruptionTarget"})
_KEPT_OF_STATE = ("reason", "message", "exitCode", "signal", "startedAt", "finishedAt")


@dataclass(frozen=True, slots=True)
class LastLines:
    """The end of what one container wrote; `previous` means before its last restart."""

    pod: str
    container: str
    previous: bool
    text: str


@dataclass(frozen=True, slots=True)
class LogRequest:
    """One log that is worth reading."""

    pod: str
    container: str
    previous: bool


def logs_to_read(pods: Iterable[Mapping[str, Any]]) -> list[LogRequest]:
    """The logs of the newest pod: of each container that ran, and of its run before when it was started again."""
    for pod in newest_first(pods)[:1]:
        name = pod["metadata"]["name"]
        return [
            LogRequest(name, status["name"], previous)
            for status in _statuses(pod)
            for previous in (True, False)
            if _has_run(status, previous=previous)
        ]
    return []


def build_evidence(
    pods: Iterable[Mapping[str, Any]], events: Iterable[WarningEvent], logs: Sequence[LastLines]
) -> Json:
    """The evidence as a JSON object of at most MOST_BYTES: `pods` newest first, `events` oldest first, `logs`.

    What does not fit is cut: the ends of messages and the beginnings of logs.
    """
    told = sorted(events, key=lambda event: event.last_seen or "")[-MOST_EVENTS:]
    newest = newest_first(pods)[:MOST_PODS]
    for most in MOST_TEXT:
        found: Json = {"pods": [_pod(pod, most) for pod in newest], "events": [_event(event, most) for event in told]}
        if _size(found) <= _ROOM_FOR_FACTS:
            break
    found["logs"] = []
    share = MOST_BYTES
    while share >= len(_CUT):
        found["logs"] = [asdict(log) | {"text": _end_of(log.text, share)} for log in logs]
        if _size(found) <= MOST_BYTES:
            return found
        share //= 2
    found["logs"] = []
    return found


def _size(found: Json) -> int:
    return len(json.dumps(found).encode())


def _pod(pod: Mapping[str, Any], most: int) -> Json:
    status, meta = pod.get("status") or {}, pod["metadata"]
    return {
        "name": meta["name"],
        "node": (pod.get("spec") or {}).get("nodeName"),
        "phase": status.get("phase"),
        "reason": status.get("reason"),
        "message": _clipped(status.get("message"), most),
        "deleted_at": meta.get("deletionTimestamp"),
        "conditions": [
            {
                "type": item["type"],
                "status": item.get("status"),
                "reason": item.get("reason"),
                "message": _clipped(item.get("message"), most),
            }
            for item in status.get("conditions") or ()
            if item.get("type") in _CONDITIONS
        ],
        "containers": [_container(item, most) for item in _statuses(pod)[:MOST_CONTAINERS]],
    }


def _container(status: Mapping[str, Any], most: int) -> Json:
    return {
        "name": status["name"],
        "image": _clipped(status.get("image"), most),
        "ready": bool(status.get("ready")),
        "restarts": status.get("restartCount") or 0,
        "state": _state(status.get("state"), most),
        "last_state": _state(status.get("lastState"), most),
    }


def _state(state: Mapping[str, Any] | None, most: int) -> Json | None:
    """The one state that is set, with its kind as `is`."""
    for kind, facts in (state or {}).items():
        kept = {key: _clipped(facts[key], most) for key in _KEPT_OF_STATE if (facts or {}).get(key) is not None}
        return {"is": kind, **kept}
    return None


def _event(event: WarningEvent, most: int) -> Json:
    return asdict(event) | {"message": _clipped(event.message, most)}


def _statuses(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _has_run(status: Mapping[str, Any], *, previous: bool) -> bool:
    state = status.get("lastState" if previous else "state") or {}
    return "terminated" in state or (not previous and "running" in state)


def _clipped(value: Any, most: int) -> Any:
    if not isinstance(value, str) or len(value) <= most:
        return value
    return value[: most - len(_CUT)] + _CUT


def _end_of(text: str, most: int) -> str:
    return text if len(text) <= most else _CUT + text[len(text) - most + len(_CUT) :]
