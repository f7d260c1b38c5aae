"""What happened to the objects of one kind, in order, and the watches that read it.

A watch keeps no queue of its own: it is a position in the shared history. A watcher that is too slow is one whose
position has left the history, and it learns so by an Expired error.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from k8s_bridge.localcluster.errors import StoreError, expired


def encode(value: Any) -> bytes:
    """Compact JSON as bytes; the one encoder of the server."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


class StoreEvent:
    """One change: `type` (ADDED, MODIFIED, DELETED), `kind`, `obj` as it is now, `previous` as it was (None when new).

    `line(type)` is the watch line of it, encoded once however many watchers ask.
    """

    __slots__ = ("_lines", "kind", "obj", "previous", "resource_version", "type")

    def __init__(
        self, type: str, kind: str, obj: dict[str, Any], previous: dict[str, Any] | None, resource_version: int
    ) -> None:
        self.type = type
        self.kind = kind
        self.obj = obj
        self.previous = previous
        self.resource_version = resource_version
        self._lines: dict[str, bytes] = {}

    def line(self, type: str | None = None) -> bytes:
        """The event as one line of a watch stream; `type` replaces the event's own for a watcher with a selector."""
        wanted = type or self.type
        line = self._lines.get(wanted)
        if line is None:
            line = self._lines[wanted] = encode({"type": wanted, "object": self.obj}) + b"\n"
        return line


class History:
    """The last events of one kind; at least `limit` of them are kept, at most twice as many."""

    def __init__(self, limit: int, resource_version: int) -> None:
        self.events: list[StoreEvent] = []
        self.first = 0
        """Position of events[0]; positions only grow."""
        self.floor = resource_version
        """A watch can start from this version on; what came before is gone."""
        self.closed = False
        self._limit = limit
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def end(self) -> int:
        return self.first + len(self.events)

    def append(self, event: StoreEvent) -> None:
        self.events.append(event)
        if len(self.events) >= 2 * self._limit:
            gone = self.events[: self._limit]
            del self.events[: self._limit]
            self.first += len(gone)
            self.floor = gone[-1].resource_version
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    def position_after(self, resource_version: int) -> int:
        """Where a watch from `resource_version` starts; Expired when that is no longer known."""
        if resource_version < self.floor:
            raise expired(f"too old resource version: {resource_version} ({self.floor})")
        low, high = 0, len(self.events)
        while low < high:
            middle = (low + high) // 2
            if self.events[middle].resource_version <= resource_version:
                low = middle + 1
            else:
                high = middle
        return self.first + low

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait(self, seconds: float | None) -> None:
        """Return at the next event, at close, or after `seconds`."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait((future,), timeout=seconds)
        finally:
            self._waiting.discard(future)


class Watch:
    """Every event of one kind after a version, in order, none twice. An async iterator of StoreEvent.

    Ends when the store closes. Raises StoreError 410 (Expired) when the reader fell behind the history.
    """

    def __init__(self, history: History, position: int, snapshot: list[StoreEvent], current: Callable[[], int]) -> None:
        self.initial = snapshot
        """ADDED events for the state at the start; empty for a watch from a version."""
        self._history = history
        self._position = position
        self._current = current

    @property
    def resource_version(self) -> int:
        """Everything up to this version has been handed out: what a bookmark says. Expired when the reader fell behind
        the history: there is no such version any more."""
        if self._position < self._history.first:
            raise self.too_slow()
        return self._current() if self._position == self._history.end else self._behind()

    def _behind(self) -> int:
        before = self._position - self._history.first - 1
        return self._history.events[before].resource_version if before >= 0 else self._history.floor

    @property
    def ended(self) -> bool:
        return self._history.closed and self._position == self._history.end

    def ready(self) -> list[StoreEvent]:
        """All events not yet handed out, the initial ones first, without waiting."""
        if self.initial:
            events, self.initial = self.initial, []
            return events
        if self._position < self._history.first:
            raise self.too_slow()
        events = self._history.events[self._position - self._history.first :]
        self._position += len(events)
        return events

    async def batch(self, seconds: float | None = None) -> list[StoreEvent]:
        """As `ready`, but waits for the first one; empty after `seconds` or when the store has closed."""
        events = self.ready()
        if not events and not self._history.closed:
            await self._history.wait(seconds)
            events = self.ready()
        return events

    def too_slow(self) -> StoreError:
        return expired("the watch fell too far behind: list again and watch from there")

    async def __aiter__(self) -> AsyncIterator[StoreEvent]:
        while not self.ended:
            for event in await self.batch():
                yield event
