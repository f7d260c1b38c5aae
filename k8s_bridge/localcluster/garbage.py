"""The garbage collector: objects whose owners are gone go too; foreground and orphan deletion are carried out."""

from __future__ import annotations

from typing import Final

from k8s_bridge.localcluster.controller import Controller, Key, Object, is_deleting
from k8s_bridge.localcluster.errors import StoreError
from k8s_bridge.localcluster.resources import RESOURCES
from k8s_bridge.localcluster.store import FOREGROUND, ORPHAN, Store

KINDS: Final = tuple(resource.kind for resource in RESOURCES if resource.kind != "Event")


class GarbageCollector(Controller):
    """Keys are (kind/namespace, name) of dependants and of owners that are being deleted."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._alive: set[str] = set()

    def start(self) -> None:
        """Know what exists, and look at every dependant once: its owner may have gone while nobody looked."""
        objects = [obj for kind in KINDS for obj in self.store.list(kind)[0]]
        self._alive = {obj["metadata"]["uid"] for obj in objects}
        for obj in objects:
            self._wake_object(obj)

    def handle(self, type: str, kind: str, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        if type == "DELETED":
            self._alive.discard(uid)
            for dependant in self.store.owned_by(uid):
                self._wake_object(dependant)
        else:
            self._alive.add(uid)
            if type == "ADDED" or is_deleting(obj):
                self._wake_object(obj)
        # An owner that is deleted in the foreground waits for this one.
        if type == "DELETED":
            for owner in obj["metadata"].get("ownerReferences") or ():
                self.wake((f"{owner['kind']}/{obj['metadata'].get('namespace', '')}", owner["name"]))

    def _wake_object(self, obj: Object) -> None:
        meta = obj["metadata"]
        if meta.get("ownerReferences") or meta.get("finalizers"):
            self.wake((f"{obj['kind']}/{meta.get('namespace', '')}", meta["name"]))

    def reconcile(self, key: Key) -> None:
        kind, _, namespace = key[0].partition("/")
        if kind not in KINDS:
            return
        obj = self.store.find(kind, namespace, key[1])
        if obj is None:
            return
        if is_deleting(obj):
            finalizers = obj["metadata"].get("finalizers") or ()
            if ORPHAN in finalizers:
                self._orphan(obj)
            elif FOREGROUND in finalizers:
                self._delete_foreground(obj)
        else:
            self._collect(obj)

    def _collect(self, obj: Object) -> None:
        owners = obj["metadata"].get("ownerReferences") or []
        living = [owner for owner in owners if owner["uid"] in self._alive]
        if not owners or len(living) == len(owners):
            return
        if living:
            self.store.update(obj["kind"], {**obj, "metadata": {**obj["metadata"], "ownerReferences": living}})
            return
        self._delete(obj, "Background")

    def _delete(self, obj: Object, propagation: str) -> None:
        meta = obj["metadata"]
        try:
            self.store.delete(
                obj["kind"], meta.get("namespace"), meta["name"], uid=meta["uid"], propagation=propagation
            )
        except StoreError as error:
            # Gone in the meantime, or replaced by another of the same name: either way it is not ours any more.
            if error.status not in (404, 409):
                raise

    def _orphan(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for obj in self.store.owned_by(uid):
            kept = [other for other in obj["metadata"]["ownerReferences"] if other["uid"] != uid]
            meta = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
            if kept:
                meta["ownerReferences"] = kept
            self.store.update(obj["kind"], {**obj, "metadata": meta})
        self._release(owner, ORPHAN)

    def _delete_foreground(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for obj in self.store.owned_by(uid):
            if not is_deleting(obj):
                self._delete(obj, "Foreground" if obj["kind"] in ("Job", "Deployment") else "Background")
        if not any(_blocks(obj, uid) for obj in self.store.owned_by(uid)):
            self._release(owner, FOREGROUND)

    def _release(self, owner: Object, finalizer: str) -> None:
        meta = owner["metadata"]
        kept = [name for name in meta.get("finalizers") or () if name != finalizer]
        self.store.update(owner["kind"], {**owner, "metadata": {**meta, "finalizers": kept}})


def _blocks(obj: Object, uid: str) -> bool:
    return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in obj["metadata"]["ownerReferences"])
