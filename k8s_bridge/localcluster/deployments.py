"""Deployments: the right number of pods of the current template, replaced step by step when the template changes.

Pods belong to the Deployment itself; the template's hash in their names and labels takes the place of a ReplicaSet.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from k8s_bridge.localcluster.controller import (
    Controller,
    Key,
    Object,
    RuntimeOptions,
    condition,
    controller_of,
    is_deleting,
    is_finished,
    is_ready,
    key_of,
    owner_reference,
    parse_time,
)
from k8s_bridge.localcluster.events import Recorder
from k8s_bridge.localcluster.jobs import pod_name
from k8s_bridge.localcluster.store import Store, clone, timestamp

HASH_LABEL: Final = "pod-template-hash"
_HASH_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Object) -> str:
    """Ten letters that change with the pod template."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_HASH_LETTERS[byte % len(_HASH_LETTERS)] for byte in digest[:10])


def share(value: Any, total: int, *, round_up: bool) -> int:
    """maxSurge or maxUnavailable as a number of pods: `25%` of `total`, or the number itself."""
    if isinstance(value, str) and value.endswith("%"):
        parts = int(value[:-1]) * total
        return -(-parts // 100) if round_up else parts // 100
    return int(value or 0)


@dataclass(frozen=True)
class Plan:
    """How many pods of the current template to make, and which pods to remove."""

    create: int
    remove: tuple[Object, ...]


def plan(desired: int, surge: int, unavailable: int, new: list[Object], old: list[Object], available: set[str]) -> Plan:
    """One step of a rolling update or of scaling. `available` holds the uids of pods that count as available.

    Never more than `desired + surge` pods, and no available one is removed while fewer than `desired - unavailable`
    would be left. With both at zero, one pod may be missing, or nothing could ever move.
    """
    if not surge and not unavailable:
        unavailable = 1
    if len(new) > desired:
        by_worth = sorted(new, key=lambda pod: (pod["metadata"]["uid"] in available, _age(pod)))
        return Plan(0, tuple(by_worth[: len(new) - desired]) + (tuple(old) if not desired else ()))
    room = desired + surge - len(new) - len(old)
    create = max(min(desired - len(new), room), 0) if old else desired - len(new)
    useless = [pod for pod in old if pod["metadata"]["uid"] not in available]
    serving = [pod for pod in old if pod["metadata"]["uid"] in available]
    spare = len([pod for pod in (*new, *old) if pod["metadata"]["uid"] in available]) - (desired - unavailable)
    return Plan(create, (*useless, *serving[: max(spare, 0)]))


def _age(pod: Object) -> int:
    """Larger for older pods."""
    return -int(parse_time(pod["metadata"]["creationTimestamp"]).timestamp())


class DeploymentController(Controller):
    def __init__(self, store: Store, options: RuntimeOptions, events: Recorder) -> None:
        super().__init__(store)
        self._options = options
        self._events = events
        self._progress: dict[str, tuple[tuple[Any, ...], datetime]] = {}

    def handle(self, type: str, kind: str, obj: Object) -> None:
        if kind == "Deployment":
            if type == "DELETED":
                self._progress.pop(obj["metadata"]["uid"], None)
            else:
                self.wake(key_of(obj))
        elif owner := controller_of(obj, "Deployment"):
            self.wake((obj["metadata"]["namespace"], owner["name"]))

    def reconcile(self, key: Key) -> None:
        deployment = self.store.find("Deployment", *key)
        if deployment is None or is_deleting(deployment):
            return
        hash = template_hash(deployment["spec"]["template"])
        self._replace_failed(deployment)
        pods = self._pods(deployment)
        available = self._available(deployment, pods)
        new = [pod for pod in pods if _hash_of(pod) == hash]
        old = [pod for pod in pods if _hash_of(pod) != hash]
        step = self._plan(deployment, new, old, available)
        for pod in step.remove:
            self.store.delete("Pod", *key_of(pod), uid=pod["metadata"]["uid"])
        for _ in range(step.create):
            self._create(deployment, hash)
        self._tell(deployment, hash, len(pods), step)
        self._write_status(self.store.get("Deployment", *key), hash)

    def _pods(self, deployment: Object) -> list[Object]:
        owned = self.store.owned_by(deployment["metadata"]["uid"])
        return [pod for pod in owned if pod["kind"] == "Pod" and not is_deleting(pod) and not is_finished(pod)]

    def _replace_failed(self, deployment: Object) -> None:
        for pod in self.store.owned_by(deployment["metadata"]["uid"]):
            if pod["kind"] == "Pod" and is_finished(pod) and not is_deleting(pod):
                self.store.delete("Pod", *key_of(pod), uid=pod["metadata"]["uid"])

    def _available(self, deployment: Object, pods: list[Object]) -> set[str]:
        """The uids of pods that have been ready for minReadySeconds."""
        least = float(deployment["spec"].get("minReadySeconds") or 0)
        found: set[str] = set()
        for pod in filter(is_ready, pods):
            since = parse_time((condition(pod, "Ready") or {})["lastTransitionTime"])
            left = least - (self._options.now() - since).total_seconds()
            if least and left > 0:
                self.wake(key_of(deployment), left + 0.01)
            else:
                found.add(pod["metadata"]["uid"])
        return found

    def _plan(self, deployment: Object, new: list[Object], old: list[Object], available: set[str]) -> Plan:
        spec = deployment["spec"]
        desired = int(spec.get("replicas", 1))
        if spec.get("paused"):
            # A paused rollout still scales, with the pods it has.
            total = len(new) + len(old)
            if total >= desired:
                return plan(desired - min(len(old), desired), 0, 0, new, [], available)
            return Plan(desired - total if new or not old else 0, ())
        strategy = spec.get("strategy") or {}
        if strategy.get("type") == "Recreate":
            leaving = [pod for pod in self.store.owned_by(deployment["metadata"]["uid"]) if _runs(pod)]
            if old or len(leaving) > len(new):
                return Plan(0, tuple(old))
            return plan(desired, 0, 0, new, [], available)
        rolling = strategy.get("rollingUpdate") or {}
        surge = share(rolling.get("maxSurge", "25%"), desired, round_up=True)
        unavailable = share(rolling.get("maxUnavailable", "25%"), desired, round_up=False)
        return plan(desired, surge, unavailable, new, old, available)

    def _create(self, deployment: Object, hash: str) -> None:
        template = clone(deployment["spec"]["template"])
        meta = template.get("metadata") or {}
        namespace, name = key_of(deployment)
        made = {
            "namespace": namespace,
            "name": pod_name(self.store, namespace, f"{name[:46]}-{hash}"),
            "generateName": f"{name}-{hash}-",
            "labels": {**(meta.get("labels") or {}), HASH_LABEL: hash},
            "ownerReferences": [owner_reference(deployment)],
        }
        if meta.get("annotations"):
            made["annotations"] = meta["annotations"]
        pod = self.store.create("Pod", {"metadata": made, "spec": template["spec"]})
        self._events.normal(deployment, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    def _tell(self, deployment: Object, hash: str, before: int, step: Plan) -> None:
        name = f"{deployment['metadata']['name']}-{hash}"
        after = before + step.create - len(step.remove)
        if step.create:
            text = f"Scaled up {name} from {before} to {before + step.create}"
            self._events.normal(deployment, "ScalingReplicaSet", text)
        if step.remove:
            text = f"Scaled down {deployment['metadata']['name']} from {before + step.create} to {after}"
            self._events.normal(deployment, "ScalingReplicaSet", text)

    # Status

    def _write_status(self, deployment: Object, hash: str) -> None:
        pods = self._pods(deployment)
        available = len(self._available(deployment, pods))
        updated = sum(_hash_of(pod) == hash for pod in pods)
        desired = int(deployment["spec"].get("replicas", 1))
        counts = {
            "replicas": len(pods),
            "updatedReplicas": updated,
            "readyReplicas": sum(map(is_ready, pods)),
            "availableReplicas": available,
            "unavailableReplicas": max(max(len(pods), desired) - available, 0),
        }
        status = {key: value for key, value in counts.items() if value}
        status["observedGeneration"] = deployment["metadata"].get("generation", 1)
        old = (deployment.get("status") or {}).get("conditions") or []
        wanted = [
            self._available_condition(deployment, desired, available),
            self._progressing_condition(deployment, hash, desired, updated, len(pods), available),
        ]
        self.set_status(deployment, {**status, "conditions": _with_times(wanted, old, timestamp(self._options.now()))})

    @staticmethod
    def _available_condition(deployment: Object, desired: int, available: int) -> Object:
        strategy = deployment["spec"].get("strategy") or {}
        rolling = strategy.get("rollingUpdate") or {}
        missing = 0
        if strategy.get("type") != "Recreate":
            surge = share(rolling.get("maxSurge", "25%"), desired, round_up=True)
            missing = share(rolling.get("maxUnavailable", "25%"), desired, round_up=False) or (0 if surge else 1)
        if available >= desired - missing:
            return _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        text = "Deployment does not have minimum availability."
        return _condition("Available", "False", "MinimumReplicasUnavailable", text)

    def _progressing_condition(
        self, deployment: Object, hash: str, desired: int, updated: int, total: int, available: int
    ) -> Object:
        meta, spec = deployment["metadata"], deployment["spec"]
        what = f'"{meta["name"]}-{hash}"'
        if updated == total == desired == available:
            self._progress[meta["uid"]] = ((hash, updated, total, available), self._options.now())
            text = f"Pods of template {what} have successfully progressed."
            return _condition("Progressing", "True", "NewReplicaSetAvailable", text)
        if spec.get("paused"):
            return _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        state = (hash, updated, total, available)
        known = self._progress.get(meta["uid"])
        before = condition(deployment, "Progressing")
        if known is None or known[0] != state:
            done = before is not None and before["reason"] == "NewReplicaSetAvailable" and known is not None
            # A finished rollout does not start over because one of its pods became unready.
            if before is not None and done and known is not None and known[0][0] == hash and known[0][2] == total:
                return _condition("Progressing", "True", before["reason"], before["message"])
            self._progress[meta["uid"]] = known = (state, self._options.now())
        elif before is not None and before["reason"] in ("ProgressDeadlineExceeded", "NewReplicaSetAvailable"):
            return _condition("Progressing", before["status"], before["reason"], before["message"])
        left = known[1] + timedelta(seconds=int(spec.get("progressDeadlineSeconds") or 600)) - self._options.now()
        if left.total_seconds() <= 0:
            text = f"Pods of template {what} have timed out progressing."
            return _condition("Progressing", "False", "ProgressDeadlineExceeded", text)
        self.wake(key_of(deployment), left.total_seconds() + 0.01)
        return _condition("Progressing", "True", "ReplicaSetUpdated", f"Pods of template {what} are progressing.")


def _runs(pod: Object) -> bool:
    return pod["kind"] == "Pod" and not is_finished(pod)


def _hash_of(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(HASH_LABEL, ""))


def _condition(type: str, status: str, reason: str, message: str) -> Object:
    return {"type": type, "status": status, "reason": reason, "message": message}


def _with_times(wanted: list[Object], old: list[Object], now: str) -> list[Object]:
    before = {item["type"]: item for item in old}
    for item in wanted:
        known = before.get(item["type"])
        same = known is not None and known["status"] == item["status"]
        item["lastTransitionTime"] = known["lastTransitionTime"] if known is not None and same else now
        unchanged = same and known is not None and known["reason"] == item["reason"]
        item["lastUpdateTime"] = known["lastUpdateTime"] if known is not None and unchanged else now
    return wanted
