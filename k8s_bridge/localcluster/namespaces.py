"""Deletion of a namespace: everything in it first, then the namespace itself."""

from __future__ import annotations

from typing import Final

from k8s_bridge.localcluster.controller import Controller, Key, Object, is_deleting
from k8s_bridge.localcluster.resources import RESOURCES

_CONTENTS: Final = tuple(resource.kind for resource in RESOURCES if resource.namespaced and resource.kind != "Event")


class NamespaceController(Controller):
    def handle(self, type: str, kind: str, obj: Object) -> None:
        if kind == "Namespace":
            if type != "DELETED" and is_deleting(obj):
                self.wake(("", obj["metadata"]["name"]))
            return
        name = obj["metadata"].get("namespace")
        space = self.store.find("Namespace", None, name) if name else None
        if space is not None and is_deleting(space):
            self.wake(("", space["metadata"]["name"]))

    def reconcile(self, key: Key) -> None:
        name = key[1]
        space = self.store.find("Namespace", None, name)
        if space is None or not is_deleting(space):
            return
        # Owners before what they own, so that no controller makes a new pod in between.
        for kind in ("Deployment", "Job", *_CONTENTS):
            for obj in self.store.list(kind, name)[0]:
                if not is_deleting(obj):
                    meta = obj["metadata"]
                    self.store.delete(kind, name, meta["name"], uid=meta["uid"], propagation="Background")
        if any(self.store.list(kind, name)[0] for kind in _CONTENTS):
            return
        for event in self.store.list("Event", name)[0]:
            self.store.delete("Event", name, event["metadata"]["name"])
        self.store.remove("Namespace", None, name)
