"""The status of a pod, built from what is known of its containers. Pure: no store, no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from k8s_bridge.localcluster.controller import Object

WAITING = {"waiting": {"reason": "ContainerCreating"}}
INITIALIZING = {"waiting": {"reason": "PodInitializing"}}


@dataclass
class ContainerRecord:
    """What is known of one container. `state` and `last_state` are as in containerStatuses; `finished` says that it
    will not run again."""

    name: str
    image: str
    state: Object = field(default_factory=lambda: dict(WAITING))
    last_state: Object = field(default_factory=dict)
    image_id: str = ""
    container_id: str = ""
    restart_count: int = 0
    ready: bool = False
    started: bool = False
    finished: bool = False

    @property
    def exit_code(self) -> int | None:
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    def as_status(self) -> Object:
        status: Object = {
            "name": self.name,
            "image": self.image,
            "imageID": self.image_id,
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restart_count,
            "state": self.state,
            "lastState": self.last_state,
        }
        if self.container_id:
            status["containerID"] = self.container_id
        return status


@dataclass
class PodRecord:
    """What is known of one pod. `verdict` is a (phase, reason, message) that overrules its containers."""

    init: list[ContainerRecord]
    main: list[ContainerRecord]
    scheduled: bool = False
    unschedulable: str = ""
    start_time: str | None = None
    address: str = ""
    verdict: tuple[str, str, str] | None = None


def phase(record: PodRecord) -> str:
    """Pending, Running, Succeeded or Failed, by the rules of the kubelet."""
    if record.verdict is not None and not any("running" in item.state for item in (*record.init, *record.main)):
        return record.verdict[0]
    if any(item.finished and item.exit_code for item in record.init):
        return "Failed"
    if not all(item.exit_code == 0 for item in record.init):
        return "Pending"
    if all(item.finished for item in record.main):
        return "Succeeded" if all(item.exit_code == 0 for item in record.main) else "Failed"
    if any("waiting" in item.state and not item.last_state for item in record.main):
        return "Pending"
    return "Running"


def build(record: PodRecord, old: Object, now: str) -> Object:
    """The new status. `old` is the stored one: the times of conditions that did not change are kept."""
    reached = phase(record)
    status: Object = {key: value for key, value in old.items() if key in ("qosClass", "observedGeneration")}
    status["phase"] = reached
    status["conditions"] = _with_times(_conditions(record, reached), old.get("conditions") or [], now)
    if record.verdict is not None and reached == record.verdict[0]:
        status["reason"], status["message"] = record.verdict[1], record.verdict[2]
    if record.scheduled:
        status["hostIP"], status["hostIPs"] = "127.0.0.1", [{"ip": "127.0.0.1"}]
        status["startTime"] = record.start_time
        if record.address:
            status["podIP"], status["podIPs"] = record.address, [{"ip": record.address}]
        if record.init:
            status["initContainerStatuses"] = [item.as_status() for item in record.init]
        status["containerStatuses"] = [item.as_status() for item in record.main]
    return status


def _conditions(record: PodRecord, reached: str) -> list[Object]:
    if not record.scheduled:
        if not record.unschedulable:
            return []
        return [_condition("PodScheduled", False, "Unschedulable", record.unschedulable)]
    waiting = [item.name for item in record.init if item.exit_code != 0]
    if reached == "Succeeded":
        initialized = _condition("Initialized", True, "PodCompleted")
        ready = ("PodCompleted", "")
    elif waiting:
        text = f"containers with incomplete status: [{' '.join(waiting)}]"
        initialized = _condition("Initialized", False, "ContainersNotInitialized", text)
        ready = _unready(record)
    else:
        initialized = _condition("Initialized", True)
        ready = ("PodFailed", "") if reached == "Failed" else _unready(record)
    is_ready = reached == "Running" and not ready[0]
    return [
        _condition("PodReadyToStartContainers", reached not in ("Succeeded", "Failed")),
        initialized,
        _condition("Ready", is_ready, *ready),
        _condition("ContainersReady", is_ready, *ready),
        _condition("PodScheduled", True),
    ]


def _unready(record: PodRecord) -> tuple[str, str]:
    names = [item.name for item in record.main if not item.ready]
    return ("ContainersNotReady", f"containers with unready status: [{' '.join(names)}]") if names else ("", "")


def _condition(type: str, is_true: bool, reason: str = "", message: str = "") -> Object:
    found: dict[str, Any] = {"type": type, "status": "True" if is_true else "False", "lastProbeTime": None}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def _with_times(conditions: list[Object], old: list[Object], now: str) -> list[Object]:
    before = {item["type"]: item for item in old}
    for item in conditions:
        known = before.get(item["type"])
        same = known is not None and known["status"] == item["status"]
        item["lastTransitionTime"] = known["lastTransitionTime"] if known is not None and same else now
    return conditions


def lost(pod: Object, reason: str, message: str, now: str) -> Object:
    """The status of a pod that ran when its cluster ended: Failed, its containers ended in an unknown way."""
    status = {**(pod.get("status") or {}), "phase": "Failed", "reason": reason, "message": message}
    for key in ("containerStatuses", "initContainerStatuses"):
        if key in status:
            status[key] = [_lost_container(item, message, now) for item in status[key]]
    gone = {"Ready", "ContainersReady", "PodReadyToStartContainers"}
    status["conditions"] = [
        {**item, "status": "False", "reason": "PodFailed", "lastTransitionTime": now} if item["type"] in gone else item
        for item in status.get("conditions") or ()
        if item["type"] != "DisruptionTarget"
    ]
    # No failure of the pod's own: a Job's podFailurePolicy may leave it out of the count.
    target = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}
    status["conditions"].append({**target, "lastProbeTime": None, "lastTransitionTime": now})
    return status


def _lost_container(item: Object, message: str, now: str) -> Object:
    if "terminated" in item["state"]:
        return {**item, "ready": False}
    ended = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message, "finishedAt": now}
    ended["startedAt"] = (item["state"].get("running") or {}).get("startedAt")
    if item.get("containerID"):
        ended["containerID"] = item["containerID"]
    return {**item, "ready": False, "started": False, "state": {"terminated": ended}}
