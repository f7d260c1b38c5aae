"""What goes wrong on a watch that is open: cut, silent, expired, events twice, out of order, or from long ago."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

EXPIRED = (
    json.dumps(
        {
            "type": "ERROR",
            "object": {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "code": 410,
                "reason": "Expired",
                "message": "too old resource version: injected",
            },
        }
    ).encode()
    + b"\n"
)


class Cut(Exception):
    """The connection is to be broken now."""


@dataclass(frozen=True)
class WatchFault:
    """Seconds count from the moment the watch was opened or the fault came into force, whichever is later; None: never.

    Rates are parts of the events. `stale` replays, after an event, the first state of the same object that was ever seen.
    """

    resources: tuple[str, ...] = ()
    cut_after: float | None = None
    expired_after: float | None = None
    silent_after: float | None = None  # nothing arrives any more, the connection stays: half-open
    duplicate: float = 0.0
    reorder: float = 0.0
    stale: float = 0.0
    since: float = field(default_factory=time.monotonic, compare=False, repr=False)


class History:
    """The first event of every object that any watch has seen, and how often watches were disturbed in which way."""

    def __init__(self) -> None:
        self.disturbed: Counter[str] = Counter()
        self._first: dict[str, bytes] = {}
        self._numbers: defaultdict[str, int] = defaultdict(int)

    def note(self, resource: str, line: bytes) -> tuple[int, bytes | None]:
        """The number of this event among those of the resource, and the first state of its object (None: a bookmark)."""
        self._numbers[resource] += 1
        event = json.loads(line)
        uid = event["object"].get("metadata", {}).get("uid")
        first = self._first.setdefault(uid, line) if uid else None
        return self._numbers[resource], first


class Disturber:
    """One open watch: what goes out for each line that comes in, and for time that passes."""

    def __init__(
        self,
        resource: str,
        history: History,
        fault: Callable[[str], WatchFault | None],
        chance: Callable[[str, int], random.Random],
    ) -> None:
        self._resource = resource
        self._history = history
        self._fault = fault
        self._chance = chance
        self._opened = time.monotonic()
        self._held: list[bytes] = []
        self._is_lost = False  # silent once: what was swallowed is missing, so the stream never speaks again

    def take(self, line: bytes) -> list[bytes]:
        """What goes out now that this line came in."""
        number, first = self._history.note(self._resource, line)
        fault = self._fault(self._resource)
        if self._is_silent(fault):
            return []
        if fault is None or first is None:
            return [*self._release(), line]
        chance = self._chance(self._resource, number)
        out = [line]
        if chance.random() < fault.duplicate:
            out.append(line)
            self._history.disturbed["duplicate"] += 1
        if chance.random() < fault.stale and first != line:
            out.append(first)
            self._history.disturbed["stale"] += 1
        if chance.random() < fault.reorder and not self._held:
            self._held = out
            self._history.disturbed["reorder"] += 1
            return []
        return [*out, *self._release()]

    def tick(self) -> list[bytes]:
        """What goes out though nothing came in. Raises Cut."""
        fault = self._fault(self._resource)
        if self._is_silent(fault):
            return []
        if fault is not None:
            age = time.monotonic() - max(self._opened, fault.since)
            if fault.cut_after is not None and age >= fault.cut_after:
                self._history.disturbed["cut"] += 1
                raise Cut
            if fault.expired_after is not None and age >= fault.expired_after:
                self._is_lost = True
                self._history.disturbed["expired"] += 1
                return [EXPIRED]
        return self._release()

    def _is_silent(self, fault: WatchFault | None) -> bool:
        if fault is not None and fault.silent_after is not None:
            self._is_lost |= time.monotonic() - max(self._opened, fault.since) >= fault.silent_after
        return self._is_lost

    def _release(self) -> list[bytes]:
        held, self._held = self._held, []
        return held
