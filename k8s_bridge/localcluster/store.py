"""The only state of the local cluster: objects by kind, one version counter, and the history that watches read.

Promises
* Everything is synchronous and belongs to one event loop thread. Between two awaits nobody else changes anything, so a
  controller may `get`, `clone`, change and `update` without a lock.
* Objects are plain JSON dicts. A stored object is never changed in place and is handed out as it is: whoever wants to
  change one takes `clone(obj)` first.
* Each stored object carries `apiVersion`, `kind` and full metadata, and has the defaults of `defaulting.fill`.
* Errors are StoreError with the HTTP status, reason and wording a Kubernetes client expects.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from k8s_bridge.localcluster import defaulting, selectors
from k8s_bridge.localcluster.errors import StoreError, already_exists, conflict, expired, forbidden, not_found
from k8s_bridge.localcluster.history import History, StoreEvent, Watch
from k8s_bridge.localcluster.persistence import Key, Persistence
from k8s_bridge.localcluster.resources import BY_KIND, RESOURCES

__all__ = ["Store", "StoreError", "StoreEvent", "Subscription", "Watch", "clone", "timestamp"]

HISTORY: Final = 2000
# After a crash the last versions may be unknown: starting well above them makes every older watch list again.
RESTART_STEP: Final = 100_000
Objects = list[dict[str, Any]]
Names = list[str]
SYSTEM_NAMESPACES: Final = ("default", "kube-system")
FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_GENERATED: Final = "bcdfghjklmnpqrstvwxz2456789"
_KEPT_METADATA: Final = ("namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def clone(value: Any) -> Any:
    """A deep copy of a JSON value, several times faster than copy.deepcopy."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def timestamp(moment: datetime) -> str:
    """A moment as Kubernetes writes it: UTC, whole seconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Subscription(asyncio.Queue[tuple[str, str, dict[str, Any]]]):
    """An unbounded queue of (type, kind, obj) for a controller; `close` ends it. There is no initial state:
    list right after subscribing, without an await between the two."""

    def __init__(self, store: Store, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self._store = store
        self.kinds = kinds

    def close(self) -> None:
        self._store.unsubscribe(self)


class Store:
    """All objects. `path` is the SQLite file to keep them in; None keeps nothing."""

    def __init__(self, path: Path | None, *, clock: Callable[[], datetime] = utc_now, history: int = HISTORY) -> None:
        self._clock = clock
        self._persistence = Persistence(path)
        self._objects: dict[str, dict[str, dict[str, dict[str, Any]]]] = {r.kind: {} for r in RESOURCES}
        self._owned: dict[str, set[Key]] = {}
        self._subscriptions: list[Subscription] = []
        loaded, version = self._persistence.load()
        self._version = version + RESTART_STEP if version else 1
        for key, obj in loaded:
            self._index(key, None, obj)
        self._history = {r.kind: History(history, self._version) for r in RESOURCES}
        for name in SYSTEM_NAMESPACES:
            if self.find("Namespace", None, name) is None:
                self.create("Namespace", {"metadata": {"name": name}})

    @property
    def resource_version(self) -> int:
        return self._version

    # Reading

    def find(self, kind: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        return self._objects[kind].get(namespace or "", {}).get(name)

    def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any]:
        obj = self.find(kind, namespace, name)
        if obj is None:
            raise not_found(BY_KIND[kind], name)
        return obj

    def list(
        self, kind: str, namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> tuple[Objects, int]:
        """Objects ordered by namespace and name, and the version of this state. `namespace` None = all of them;
        `labels` and `fields` are selectors in their text form."""
        test = selectors.predicate(kind, labels, fields)
        found = [obj for obj in self._walk(kind, namespace) if test is None or test(obj)]
        return found, self._version

    def _walk(self, kind: str, namespace: str | None) -> Iterator[dict[str, Any]]:
        spaces = self._objects[kind]
        for space in [namespace] if namespace else sorted(spaces):
            by_name = spaces.get(space, {})
            for name in sorted(by_name):
                yield by_name[name]

    def owned_by(self, uid: str) -> Objects:
        """Every object, of any kind, with an ownerReference to `uid`."""
        return [self._objects[kind][space][name] for kind, space, name in sorted(self._owned.get(uid, ()))]

    # Writing

    def create(self, kind: str, obj: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Store a new object and return it as stored: defaults, name from generateName, uid, creationTimestamp,
        resourceVersion and generation are set here. With `dry_run` it is returned but not stored.

        AlreadyExists 409; for a namespaced kind NotFound 404 when the namespace is missing and Forbidden 403 when it is
        terminating (also for events and for what controllers create, as in Kubernetes).
        """
        resource = BY_KIND[kind]
        new: dict[str, Any] = {"apiVersion": resource.api_version, "kind": kind, **clone(obj)}
        new["apiVersion"], new["kind"] = resource.api_version, kind
        meta = new.setdefault("metadata", {})
        if resource.namespaced:
            meta["namespace"] = meta.get("namespace") or "default"
        else:
            meta.pop("namespace", None)
        space = meta.get("namespace", "")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._generated(kind, space, meta["generateName"])
        name = meta["name"]
        if resource.namespaced:
            self._open_namespace(kind, space, name)
        if self.find(kind, space, name) is not None:
            raise already_exists(resource, name)
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            meta.pop(key, None)
        meta["uid"] = str(uuid.uuid4())
        # After the uid: the selector that a Job gets is made of it.
        defaulting.fill(kind, new)
        meta["creationTimestamp"] = timestamp(self._clock())
        if resource.has_generation:
            meta["generation"] = 1
        meta.pop("resourceVersion", None)
        return new if dry_run else self._put((kind, space, name), None, new)

    def update(
        self, kind: str, obj: dict[str, Any], *, subresource: str | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Replace an object and return it as stored; an update that changes nothing makes no new version.

        `subresource="status"` takes only the status of `obj`, None takes everything but the status (kinds without a
        status are replaced whole). Conflict 409 when `obj` carries another resourceVersion or uid than the stored
        object; without a resourceVersion the update is unconditional. Removing the last finalizer of an object that is
        being deleted removes it. With `dry_run` the result is returned but not stored.
        """
        resource = BY_KIND[kind]
        given = obj["metadata"]
        old = self.get(kind, given.get("namespace"), given["name"])
        self.check_preconditions(kind, old, given.get("uid"), given.get("resourceVersion"))
        if subresource == "status":
            new = {**old, "metadata": {**old["metadata"]}, "status": clone(obj.get("status") or {})}
        else:
            new = {**clone(obj), "apiVersion": old["apiVersion"], "kind": kind}
            self._keep(new, old, with_status=resource.has_status)
        meta = new["metadata"]
        meta["resourceVersion"] = old["metadata"]["resourceVersion"]
        if new == old:
            return old
        if dry_run:
            return new
        if resource.has_generation and new.get("spec") != old.get("spec"):
            meta["generation"] = old["metadata"].get("generation", 0) + 1
        key = (kind, meta.get("namespace", ""), meta["name"])
        stored = self._put(key, old, new)
        if self._is_released(stored) and not self._is_released(old):
            self._drop(key, stored)
        return stored

    @staticmethod
    def _keep(new: dict[str, Any], old: dict[str, Any], *, with_status: bool) -> None:
        if with_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        meta, before = new["metadata"], old["metadata"]
        for key in (*_KEPT_METADATA, "generation"):
            meta.pop(key, None)
            if key in before:
                meta[key] = before[key]

    def check_preconditions(self, kind: str, obj: dict[str, Any], uid: str | None, version: str | None) -> None:
        """Conflict 409 when the stored `obj` has another uid or resourceVersion; None is not compared."""
        meta = obj["metadata"]
        if uid and uid != meta["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
            raise conflict(BY_KIND[kind], meta["name"], why)
        if version and version != meta["resourceVersion"]:
            why = "the object has been modified; please apply your changes to the latest version and try again"
            raise conflict(BY_KIND[kind], meta["name"], why)

    def delete(
        self,
        kind: str,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        grace_seconds: int | None = None,
    ) -> dict[str, Any]:
        """Delete, or start to delete, and return the object in its last state.

        * Pod: gets deletionTimestamp and deletionGracePeriodSeconds (also with `grace_seconds=0`); the runtime stops
          the process and calls `remove`. A second delete can only shorten the time.
        * Namespace: phase Terminating; the namespace controller empties it and calls `remove`.
        * Others vanish at once, unless finalizers hold them. `propagation` "Foreground" and "Orphan" are recorded as
          the finalizers `foregroundDeletion` and `orphan`, which the garbage collector removes by `update` when it has
          done its work; with "Background" it sees the DELETED event and looks up `owned_by(uid)`.

        Conflict 409 when `uid` or `resource_version` is not that of the object.
        """
        old = self.get(kind, namespace, name)
        self.check_preconditions(kind, old, uid, resource_version)
        key = (kind, old["metadata"].get("namespace", ""), name)
        finalizers = list(old["metadata"].get("finalizers") or ())
        wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(propagation)
        if wanted and wanted not in finalizers and "deletionTimestamp" not in old["metadata"]:
            finalizers.append(wanted)
        if kind not in ("Pod", "Namespace") and not finalizers:
            return self._drop(key, old)
        grace = self._grace(old, grace_seconds) if kind == "Pod" else 0
        return self._mark(key, old, finalizers, grace)

    @staticmethod
    def _grace(pod: dict[str, Any], asked: int | None) -> int:
        grace = asked if asked is not None else pod.get("spec", {}).get("terminationGracePeriodSeconds", 30)
        return max(int(grace), 0)

    def _mark(self, key: Key, old: dict[str, Any], finalizers: Names, grace: int) -> dict[str, Any]:
        before = old["metadata"]
        meta = {**before}
        if "deletionTimestamp" not in before or grace < before.get("deletionGracePeriodSeconds", 0):
            meta["deletionTimestamp"] = timestamp(self._clock() + timedelta(seconds=grace))
            meta["deletionGracePeriodSeconds"] = grace
        if finalizers:
            meta["finalizers"] = finalizers
        new = {**old, "metadata": meta}
        if key[0] == "Namespace":
            new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
        return old if new == old else self._put(key, old, new)

    def remove(self, kind: str, namespace: str | None, name: str) -> None:
        """The final removal of a pod or namespace whose work is done. Finalizers left on it hold it until they are
        gone; an object that is already gone is no error."""
        old = self.find(kind, namespace, name)
        if old is None:
            return
        key = (kind, old["metadata"].get("namespace", ""), name)
        if old["metadata"].get("finalizers"):
            self._mark(key, old, list(old["metadata"]["finalizers"]), 0)
        else:
            self._drop(key, old)

    # Following

    def watch(self, kind: str, since: int | None) -> Watch:
        """Events of `kind` after version `since`; None starts with an ADDED event for each object there is.
        Expired 410 when `since` is older than the history, or not of this cluster at all."""
        history = self._history[kind]
        if since is None:
            snapshot = [
                StoreEvent("ADDED", kind, obj, None, int(obj["metadata"]["resourceVersion"]))
                for obj in self._walk(kind, None)
            ]
            return Watch(history, history.end, snapshot, lambda: self._version)
        if since > self._version:
            raise expired(f"too large resource version: {since}, current: {self._version}")
        return Watch(history, history.position_after(since), [], lambda: self._version)

    def subscribe(self, *kinds: str) -> Subscription:
        subscription = Subscription(self, kinds)
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        """Write everything to disk and end every watch."""
        for history in self._history.values():
            history.close()
        self._persistence.close()

    # Inside

    def _open_namespace(self, kind: str, namespace: str, name: str) -> None:
        space = self.get("Namespace", None, namespace)
        if "deletionTimestamp" in space["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            text = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
            raise forbidden(BY_KIND[kind], name, why, [cause])

    def _generated(self, kind: str, namespace: str, prefix: str) -> str:
        while True:
            name = prefix[:58] + "".join(secrets.choice(_GENERATED) for _ in range(5))
            if self.find(kind, namespace, name) is None:
                return name

    @staticmethod
    def _is_released(obj: dict[str, Any]) -> bool:
        """Being deleted with nothing left to wait for. A namespace, and a pod with time left, wait for `remove`."""
        meta = obj["metadata"]
        return (
            "deletionTimestamp" in meta
            and not meta.get("finalizers")
            and not meta.get("deletionGracePeriodSeconds")
            and obj["kind"] != "Namespace"
        )

    def _put(self, key: Key, old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        self._index(key, old, new)
        self._persistence.put(key, new, self._version)
        self._tell(StoreEvent("ADDED" if old is None else "MODIFIED", key[0], new, old, self._version))
        return new

    def _drop(self, key: Key, old: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self._version)}}
        self._index(key, old, None)
        self._persistence.put(key, None, self._version)
        self._tell(StoreEvent("DELETED", key[0], last, old, self._version))
        return last

    def _tell(self, event: StoreEvent) -> None:
        self._history[event.kind].append(event)
        for subscription in self._subscriptions:
            if event.kind in subscription.kinds:
                subscription.put_nowait((event.type, event.kind, event.obj))

    def _index(self, key: Key, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        kind, space, name = key
        if new is None:
            self._objects[kind][space].pop(name)
            if not self._objects[kind][space]:
                del self._objects[kind][space]
        else:
            self._objects[kind].setdefault(space, {})[name] = new
        before, after = _owners(old), _owners(new)
        for uid in before - after:
            self._owned[uid].discard(key)
            if not self._owned[uid]:
                del self._owned[uid]
        for uid in after - before:
            self._owned.setdefault(uid, set()).add(key)


def _owners(obj: dict[str, Any] | None) -> set[str]:
    return {owner["uid"] for owner in (obj or {}).get("metadata", {}).get("ownerReferences") or ()}
