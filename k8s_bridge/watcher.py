"""Follows all objects of this installation, kind by kind: list, watch, list again when in doubt (contract H.5).

The list is the truth and the watch only makes it fast: whatever goes wrong, the next delivery is a complete snapshot.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from k8s_bridge.errors import ClusterError, Expired, Unreachable
from k8s_bridge.kinds import POD
from k8s_bridge.specs import DEPLOYMENT, JOB
from k8s_bridge.streams import WatchStream

logger = logging.getLogger(__name__)

Json = dict[str, Any]
FIRST_DELAY, LAST_DELAY = 0.5, 30.0  # seconds before listing again after trouble
AWAY_DELAY = 5.0  # the longest of them while the cluster cannot be reached


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All objects of one kind that exist; what is not in here is gone."""

    kind: str
    items: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One object was ADDED, MODIFIED or DELETED. `obj` is its state after that, for DELETED its last one."""

    kind: str
    type: str
    obj: Json


class Source(Protocol):
    """The two verbs of the gateway that are needed here."""

    def list_for_watch(self, kind: str) -> tuple[list[Json], str]: ...

    def watch(
        self, kind: str, resource_version: str, timeout: float, *, silence: float | None = None
    ) -> WatchStream: ...


class Watcher:
    """Delivers a snapshot and then every change after it, for each kind, in order, until stopped. A source of None shows
    nothing.

    * Nothing between a snapshot and the changes after it is lost. A change may come twice.
    * After `use` there is a new snapshot, of the other source, at once.
    * Any error, also one that the sink raises, leads to a new snapshot after a pause that doubles up to 30 s, with
      jitter; up to 5 s while no answer comes, because then nobody is spared by longer ones.
    * A connection on which no byte comes for `silence` seconds counts as broken. Healthy servers send bookmarks about
      once a minute, so it should be well above that.

    `sink` and `on_synced` are called from one thread per kind. `on_synced(kind)` comes after each snapshot that the
    sink took.
    """

    def __init__(
        self,
        source: Source | None,
        sink: Callable[[Snapshot | Change], None],
        *,
        kinds: Iterable[str] = (DEPLOYMENT, JOB, POD),
        on_synced: Callable[[str], None] | None = None,
        watch_seconds: float = 240.0,
        silence: float = 90.0,
        first_delay: float = FIRST_DELAY,
        last_delay: float = LAST_DELAY,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = threading.Event()
        self._lines = {
            kind: _KindWatcher(
                kind,
                source,
                sink,
                on_synced or (lambda _: None),
                self._stop,
                watch_seconds=watch_seconds,
                silence=silence,
                delays=(first_delay, last_delay),
                jitter=jitter,
                clock=clock,
            )
            for kind in kinds
        }

    def start(self) -> None:
        """Starts the threads. A watcher is started once."""
        for line in self._lines.values():
            line.thread.start()

    def use(self, source: Source | None) -> None:
        """Follows another source from now on. What the old one still delivers meanwhile comes before the new snapshots."""
        for line in self._lines.values():
            line.use(source)

    def stop(self, timeout: float = 10.0) -> None:
        """Ends all watches and waits for the threads, at most `timeout` seconds in all. Raises TimeoutError when one
        stays.
        """
        self._stop.set()
        give_up = time.monotonic() + timeout
        for line in self._lines.values():
            line.interrupt()
        for line in self._lines.values():
            if line.thread.ident is None:
                continue
            line.thread.join(max(0.0, give_up - time.monotonic()))
            if line.thread.is_alive():
                raise TimeoutError(f"The watch of {line.kind} did not stop in {timeout:g} s.")

    @property
    def fresh_at(self) -> dict[str, float | None]:
        """Per kind, when the cluster last proved that we see its present state, by the clock given; None before the
        first list.

        Lists, changes and bookmarks are proof.
        """
        return {kind: line.fresh_at for kind, line in self._lines.items()}

    @property
    def restarts(self) -> dict[str, int]:
        """Per kind, how often trouble made it list again."""
        return {kind: line.restarts for kind, line in self._lines.items()}

    @property
    def is_synced(self) -> bool:
        """The sink has taken a first snapshot of every kind."""
        return all(line.synced for line in self._lines.values())


class _KindWatcher:
    """One kind, one thread."""

    def __init__(
        self,
        kind: str,
        source: Source | None,
        sink: Callable[[Snapshot | Change], None],
        on_synced: Callable[[str], None],
        stop: threading.Event,
        *,
        watch_seconds: float,
        silence: float,
        delays: tuple[float, float],
        jitter: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.kind = kind
        self.fresh_at: float | None = None
        self.restarts = 0
        self.synced = False
        self.thread = threading.Thread(target=self._run, name=f"watch-{kind.lower()}", daemon=True)
        self._source = source
        self._sink = sink
        self._on_synced = on_synced
        self._stop = stop
        self._watch_seconds = watch_seconds
        self._silence = silence
        self._delays = delays
        self._jitter = jitter
        self._clock = clock
        self._trouble = 0  # in a row, without any progress in between
        self._stream: WatchStream | None = None
        self._lock = threading.Lock()
        self._news = threading.Event()  # a stop or another source: no pause may outlast it

    def interrupt(self) -> None:
        with self._lock:
            self._news.set()
            if self._stream is not None:
                self._stream.interrupt()

    def use(self, source: Source | None) -> None:
        with self._lock:
            self._source = source
        self.interrupt()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._news.clear()
            source = self._source
            if source is None:
                self.fresh_at = None
                self._wait(None)
                continue
            try:
                self._follow(source)
            except Exception as err:  # noqa: BLE001
                # Not only ClusterErrors: a sink that fails has missed something, and a new snapshot cures that too.
                if self._stop.is_set():
                    return
                if self._source is source:
                    self._pause(err)

    def _follow(self, source: Source) -> None:
        """List, then watch from there, watch after watch, until something goes wrong or another source is to be followed."""
        items, version = source.list_for_watch(self.kind)
        self._proof()
        self._sink(Snapshot(self.kind, tuple(items)))
        self.synced = True
        self._on_synced(self.kind)
        while not self._stop.is_set() and self._source is source:
            began, before = self._clock(), version
            version = self._watch(source, version)
            # A server or proxy that ends each watch at once must not be asked again in a tight loop.
            if version == before and self._clock() - began < 1.0 and self._source is source:
                raise ClusterError(f"The watch of {self.kind} ended at once.", retryable=True)
            self._trouble = 0

    def _watch(self, source: Source, version: str) -> str:
        """One watch; the version to go on from when the server ends it."""
        with source.watch(self.kind, version, self._watch_seconds, silence=self._silence) as stream:
            self._hold(stream, source)
            try:
                for happened, obj in stream:
                    self._proof()
                    if happened != "BOOKMARK":
                        self._sink(Change(self.kind, happened, obj))
                    version = obj["metadata"]["resourceVersion"]
                    self._trouble = 0
            finally:
                self._hold(None, source)
        return version

    def _hold(self, stream: WatchStream | None, source: Source) -> None:
        with self._lock:
            self._stream = stream
            if stream is not None and (self._stop.is_set() or self._source is not source):
                stream.interrupt()  # stop or another source came while this watch was being opened

    def _proof(self) -> None:
        self.fresh_at = self._clock()

    def _pause(self, err: Exception) -> None:
        self.restarts += 1
        first, last = self._delays
        if isinstance(err, Unreachable):
            last = min(last, AWAY_DELAY)
        delay = min(last, first * 2**self._trouble)
        self._trouble = min(self._trouble + 1, 30)
        # Half fixed, half random: several processes that lost the same server must not come back together.
        delay = delay * (0.5 + self._jitter() / 2)
        delay = max(delay, min(getattr(err, "retry_after", None) or 0.0, last))
        known = isinstance(err, ClusterError)
        logger.log(
            logging.INFO if isinstance(err, Expired) else logging.WARNING,
            "watch of %s broke, listing again in %.1f s: %s",
            self.kind,
            delay,
            err,
            exc_info=None if known else err,
            extra={"kind": self.kind, "restarts": self.restarts},
        )
        self._wait(delay)

    def _wait(self, delay: float | None) -> None:
        # The flag was lowered before stop and source were read, so that neither can come unseen in between.
        if not self._stop.is_set():
            self._news.wait(delay)
