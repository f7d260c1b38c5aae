"""PersistentVolumeClaims: each is a directory, bound at once, and lives until no pod uses it any more."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from k8s_bridge.localcluster.controller import Controller, Key, Object, is_deleting, is_finished, key_of
from k8s_bridge.localcluster.events import Recorder
from k8s_bridge.localcluster.store import Store

FINALIZER: Final = "kubernetes.io/pvc-protection"


def claim_directory(data_dir: Path, claim: Object) -> Path:
    return data_dir / "claims" / str(claim["metadata"]["uid"])


def claims_of(pod: Object) -> set[str]:
    """The names of the claims that a pod mounts."""
    return {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    }


def is_bound(claim: Object) -> bool:
    return (claim.get("status") or {}).get("phase") == "Bound"


class ClaimController(Controller):
    def __init__(self, store: Store, data_dir: Path, events: Recorder) -> None:
        super().__init__(store)
        self._data_dir = data_dir
        self._events = events

    def handle(self, type: str, kind: str, obj: Object) -> None:
        if kind == "Pod":
            if type == "DELETED" or is_finished(obj):
                for name in claims_of(obj):
                    self.wake((obj["metadata"]["namespace"], name))
        elif type == "DELETED":
            shutil.rmtree(claim_directory(self._data_dir, obj), ignore_errors=True)
        else:
            self.wake(key_of(obj))

    def reconcile(self, key: Key) -> None:
        claim = self.store.find("PersistentVolumeClaim", *key)
        if claim is None:
            return
        if is_deleting(claim):
            self._release(claim)
        elif not is_bound(claim):
            self._bind(claim)

    def _bind(self, claim: Object) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        claim_directory(self._data_dir, claim).mkdir(parents=True, exist_ok=True)
        finalizers = [*(name for name in meta.get("finalizers") or () if name != FINALIZER), FINALIZER]
        volume = f"pvc-{meta['uid']}"
        claim = self.store.update(
            "PersistentVolumeClaim",
            {**claim, "metadata": {**meta, "finalizers": finalizers}, "spec": {**spec, "volumeName": volume}},
        )
        requested = (spec.get("resources") or {}).get("requests") or {}
        capacity = {"storage": requested.get("storage", "1Gi")}
        status = {"phase": "Bound", "accessModes": spec.get("accessModes") or [], "capacity": capacity}
        claim = self.set_status(claim, {**(claim.get("status") or {}), **status})
        self._events.normal(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {volume}")

    def _release(self, claim: Object) -> None:
        meta = claim["metadata"]
        finalizers = meta.get("finalizers") or []
        if FINALIZER not in finalizers:
            return
        pods = self.store.list("Pod", meta["namespace"])[0]
        if any(meta["name"] in claims_of(pod) and not is_finished(pod) for pod in pods):
            return
        kept = [name for name in finalizers if name != FINALIZER]
        self.store.update("PersistentVolumeClaim", {**claim, "metadata": {**meta, "finalizers": kept}})
