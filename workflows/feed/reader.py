"""The one reader of a web process: it asks the database for what is new on behalf of everybody who listens.

It runs as a thread while somebody listens and for a moment after, and keeps the latest events. Who is further behind than
those reads for itself until it has caught up, so a slow client costs nobody any memory.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db import Error, connection

from workflows.selectors.events import MOST, FeedEvent, Position, Reading, newest_position, read_events

PERIOD: Final = 0.25  # seconds from one look to the next
PAUSE: Final = 2.0  # the same while the database cannot be used
LINGERS: Final = 5.0  # how long it goes on when nobody listens: who reconnects finds it running
KEPT: Final = 2000  # events
UNKNOWN: Final = Position(-1, -1)

logger = logging.getLogger(__name__)


class TooManyListeners(Exception):
    """All places are taken."""


class SharedReader:
    """Hands new events to any number of listening threads, at most as many as have places."""

    def __init__(self, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self.is_stopping = is_stopping
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._listeners = 0
        self._left_at = 0.0
        self._kept: list[FeedEvent] = []
        self._from = self._to = UNKNOWN  # what is kept is everything between these two

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    @property
    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    @contextmanager
    def listening(self, *, places: int) -> Iterator[None]:
        """A place among the listeners. Raises TooManyListeners when `places` are taken."""
        self.join(places=places)
        try:
            yield
        finally:
            self.leave()

    def join(self, *, places: int) -> None:
        """Takes a place, which `leave` gives back. Raises TooManyListeners when `places` are taken."""
        with self._changed:
            if self._listeners >= places:
                raise TooManyListeners
            self._listeners += 1
            if self._thread is None:
                self._forget()
                self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
                self._thread.start()

    def leave(self) -> None:
        """Gives a place back."""
        with self._changed:
            self._listeners -= 1
            self._left_at = time.monotonic()

    def wait(self, position: Position, seconds: float) -> None:
        """Returns when there may be something behind the position, at the latest after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._kept) and self._kept[-1].position > position, seconds)

    def since(self, position: Position) -> Reading | None:
        """What came after the position, out of memory. None when it is older than what is kept, or nothing is known yet."""
        with self._changed:
            if self._to == UNKNOWN or position < self._from:
                return None
            first = bisect_right(self._kept, position, key=lambda event: event.position)
            return Reading(tuple(self._kept[first:]), max(position, self._to), is_all=True)

    def _run(self) -> None:
        try:
            has_failed = False
            while self._is_wanted():
                has_failed = not self._try_to_look(has_failed)
                time.sleep(PAUSE if has_failed else PERIOD)
        finally:
            # Without a reader nothing that is kept may be taken for all there is.
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None
                    self._forget()

    def _try_to_look(self, had_failed: bool) -> bool:
        try:
            self._look()
        except Error as err:
            if not had_failed:
                logger.warning("the journal cannot be read, streams wait: %s", str(err).splitlines()[0])
            return False
        finally:
            give_connection_back()
        return True

    def _forget(self) -> None:
        self._kept, self._from, self._to = [], UNKNOWN, UNKNOWN

    def _is_wanted(self) -> bool:
        with self._changed:
            idle = self._listeners == 0 and time.monotonic() - self._left_at > LINGERS
            if idle or self.is_stopping():
                self._thread = None
                self._forget()
                return False
            return True

    def _look(self) -> None:
        if self._to == UNKNOWN:
            start = newest_position()
            with self._changed:
                self._from = self._to = start
        while True:
            reading = read_events(self._to, limit=MOST)
            with self._changed:
                self._kept.extend(reading.events)
                self._to = reading.position
                surplus = len(self._kept) - KEPT
                if surplus > 0:
                    self._from = self._kept[surplus - 1].position
                    del self._kept[:surplus]
                if reading.events:
                    self._changed.notify_all()
            if reading.is_all:
                return


def give_connection_back() -> None:
    """Returns this thread's connection to the pool: whoever waits for events must not keep one from those who work."""
    if not connection.in_atomic_block:
        connection.close()


reader = SharedReader()
