"""One object exists as wanted, whatever was there before (contract H.5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from k8s_bridge import names
from k8s_bridge.client import ClusterClient, Json
from k8s_bridge.errors import AlreadyExists, NameConflict, NotFound, ServerTrouble, StaleVersion, Superseded
from k8s_bridge.kinds import collection_path, object_path
from k8s_bridge.specs import Owner

FIRST_DELAY, LAST_DELAY = 0.02, 1.0  # seconds between two looks at an object that is going


class Verdict(Enum):
    """What to do about the object that has the name already."""

    ADOPT = "adopt"  # it is what we want
    REPLACE = "replace"  # ours, but older or other
    AWAIT = "await"  # ours and on its way out
    FOREIGN = "foreign"  # somebody else's
    NEWER = "newer"  # ours, from a later attempt than the caller's


def judge(found: Mapping[str, Any], wanted: Mapping[str, Any], owner: Owner) -> Verdict:
    """Pure. "Ours" means the same installation, instance and node; attempts only ever grow."""
    holder = names.owner_of(found)
    ours = holder is not None and _node(holder) == _node(owner)
    if holder is None or not ours:
        return Verdict.FOREIGN
    if holder.attempt > owner.attempt:
        return Verdict.NEWER
    if found["metadata"].get("deletionTimestamp"):
        return Verdict.AWAIT
    same = holder == owner and _spec_hash(found) == _spec_hash(wanted)
    return Verdict.ADOPT if same else Verdict.REPLACE


class Ensurer:
    """Creates, adopts or replaces one object at a time. `patience` bounds the wait for old objects to go, in seconds."""

    def __init__(self, client: ClusterClient, ensure_namespace: Callable[[str], None], *, patience: float) -> None:
        self._client = client
        self._ensure_namespace = ensure_namespace
        self._patience = patience

    def give_up(self) -> float:
        """When the patience of one who begins now is used up, by the monotonic clock."""
        return time.monotonic() + self._patience

    def ensure(self, kind: str, wanted: Json, owner: Owner, *, give_up: float) -> tuple[str, bool]:
        """(uid, created) of the object that is now there. Raises what `Gateway.ensure_workload` names."""
        namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
        namespace_made = False
        turns = self._turns(kind, namespace, name, give_up)
        while True:
            next(turns)
            try:
                made = self._client.request("POST", collection_path(kind, namespace), body=wanted)
                return str(made["metadata"]["uid"]), True
            except NotFound:
                if namespace_made:
                    raise
                self._ensure_namespace(namespace)
                namespace_made = True
                continue
            except AlreadyExists:
                found = self._read(kind, namespace, name)
            if found is None:
                continue  # it went in between
            match judge(found, wanted, owner):
                case Verdict.ADOPT:
                    return str(found["metadata"]["uid"]), False
                case Verdict.FOREIGN:
                    raise NameConflict(
                        f"{kind} {name} in {namespace} belongs to somebody else and was left alone: "
                        "choose another name or remove that object.",
                        status=409,
                    )
                case Verdict.NEWER:
                    raise Superseded(
                        f"{kind} {name} in {namespace} is of a later attempt and was left alone.", status=409
                    )
                case Verdict.REPLACE:
                    self._remove(kind, found)
            self._await_absence(kind, found, give_up)

    def delete(self, kind: str, metadata: Mapping[str, Any], *, grace_seconds: int | None = None) -> bool:
        """Deletes the object with this name and uid; its dependants follow in the background. True: it is gone at once.

        `grace_seconds` replaces the time that a pod has to end; 0 waits for nothing, not even for its node.

        Raises NotFound when the name is free and StaleVersion when it has another uid.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"]},
            **({} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}),
        }
        path = object_path(kind, metadata["namespace"], metadata["name"])
        answer = self._client.request("DELETE", path, body=options)
        return answer.get("kind") == "Status"

    def _remove(self, kind: str, found: Json) -> None:
        try:
            self.delete(kind, found["metadata"])
        except (NotFound, StaleVersion):
            return  # somebody else removed it: the next look shows what is there now

    def _await_absence(self, kind: str, old: Json, give_up: float) -> None:
        namespace, name, uid = (old["metadata"][key] for key in ("namespace", "name", "uid"))
        for _ in self._turns(kind, namespace, name, give_up):
            found = self._read(kind, namespace, name)
            if found is None or found["metadata"]["uid"] != uid:
                return

    def _read(self, kind: str, namespace: str, name: str) -> Json | None:
        try:
            return self._client.request("GET", object_path(kind, namespace, name))
        except NotFound:
            return None

    def _turns(self, kind: str, namespace: str, name: str, give_up: float) -> Iterator[None]:
        """Turns with growing pauses between them. Raises ServerTrouble when the patience is used up."""
        delay = FIRST_DELAY
        while True:
            yield
            if time.monotonic() + delay > give_up:
                raise ServerTrouble(f"{kind} {name} in {namespace} is still being deleted after {self._patience:g} s.")
            time.sleep(delay)
            delay = min(2 * delay, LAST_DELAY)


def _node(owner: Owner) -> tuple[str, str, str]:
    return owner.installation, owner.instance_id, owner.node_id


def _spec_hash(obj: Mapping[str, Any]) -> str | None:
    found = (obj["metadata"].get("annotations") or {}).get(names.SPEC_HASH)
    return None if found is None else str(found)
