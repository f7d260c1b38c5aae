"""What all controllers share: what they are given, and a work queue of object keys."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from k8s_bridge.localcluster.errors import StoreError
from k8s_bridge.localcluster.sandbox import Mode
from k8s_bridge.localcluster.store import Store

logger = logging.getLogger(__name__)

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""

ANNOTATION: Final = "local-cluster/"
NODE_LOST: Final = "NodeLost"
_CONFLICT_DELAY: Final = 0.01
_REFUSED_DELAY: Final = 1.0
_BUG_DELAY: Final = 5.0


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class RuntimeOptions:
    """`sandbox` forces a mode (None = the best that works). `image_map` is the user's file. Times in seconds: the first
    and the longest back-off between restarts of a container and between the pods of a Job, and the time that processes
    get to end when the runtime stops. At most `max_pods` pods run at a time; further ones stay Pending."""

    sandbox: Mode | None = None
    image_map: Path | None = None
    max_pods: int = 110
    restart_backoff: float = 10.0
    restart_backoff_max: float = 300.0
    job_backoff: float = 10.0
    job_backoff_max: float = 360.0
    stop_grace: float = 2.0
    node_name: str = "local"
    now: Callable[[], datetime] = field(default=utc_now)


class Controller(ABC):
    """Brings objects of one kind to what their spec says, one key at a time.

    `reconcile` is level-triggered: it looks at the store as it is now, may be called at any time and for objects that
    are gone. A StoreError makes it run again shortly; any other error is logged and makes it run again later.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._ready: dict[Key, None] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._signal = asyncio.Event()

    def wake(self, key: Key, delay: float = 0.0) -> None:
        """Reconcile `key` in `delay` seconds, or earlier when that was asked for already."""
        timer = self._timers.get(key)
        if delay <= 0:
            if timer is not None:
                timer.cancel()
                del self._timers[key]
            self._ready[key] = None
            self._signal.set()
            return
        loop = asyncio.get_running_loop()
        if timer is not None:
            if timer.when() <= loop.time() + delay:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay, self._timer_fired, key)

    def _timer_fired(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.wake(key)

    async def run(self) -> None:
        """Serve the queue until cancelled."""
        while True:
            await self._signal.wait()
            self._signal.clear()
            while self._ready:
                key = next(iter(self._ready))
                del self._ready[key]
                self._attempt(key)
                await asyncio.sleep(0)

    def _attempt(self, key: Key) -> None:
        try:
            self.reconcile(key)
        except StoreError as error:
            # A namespace that is going away refuses every new object; what is left of it goes away with it.
            if error.status != 403:
                self.wake(key, _CONFLICT_DELAY if error.reason == "Conflict" else _REFUSED_DELAY)
        except Exception:
            logger.exception("reconciling failed", extra={"controller": type(self).__name__, "key": key})
            self.wake(key, _BUG_DELAY)

    @abstractmethod
    def handle(self, type: str, kind: str, obj: Object) -> None:
        """Look at one event of the store and wake the keys it concerns. `type` is ADDED, MODIFIED or DELETED."""

    @abstractmethod
    def reconcile(self, key: Key) -> None: ...

    def set_status(self, obj: Object, status: Object) -> Object:
        """Store a new status for `obj`; nothing is written when it is the same."""
        return self.store.update(obj["kind"], {**obj, "status": status}, subresource="status")


def key_of(obj: Object) -> Key:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def owner_reference(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Object, kind: str) -> Object | None:
    """The ownerReference to the controller of `obj`, when that is a `kind`."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == kind:
            found: Object = owner
            return found
    return None


def is_deleting(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def phase_of(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_finished(pod: Object) -> bool:
    """The pod has reached a phase it never leaves."""
    return phase_of(pod) in ("Succeeded", "Failed")


def condition(obj: Object, type: str) -> Object | None:
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found["type"] == type:
            given: Object = found
            return given
    return None


def is_true(obj: Object, type: str) -> bool:
    found = condition(obj, type)
    return found is not None and found["status"] == "True"


def is_ready(pod: Object) -> bool:
    return is_true(pod, "Ready")


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
