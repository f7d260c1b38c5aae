"""One listener's part of the feed: as server-sent events, or as portions for those who ask again and again."""

from __future__ import annotations

import json
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from django.db import Error

from workflows.domain.errors import DomainError
from workflows.feed.reader import SharedReader, give_connection_back
from workflows.selectors.events import FeedEvent, Position, Reading, Scope, Wanted, read_events

LIFE: Final = 600.0  # seconds of one stream; the client comes back by itself, wherever a load balancer sends it
HEARTBEAT: Final = 15.0
UNREAD: Final = 30.0  # seconds that a client may leave what it was sent unread
LOOK: Final = 1.0  # how often it is seen whether the client has gone
RETRY_MILLISECONDS: Final = 1000
SCOPE_KEPT: Final = 5.0  # what a caller may read is asked again when this old and needed
PORTIONS: Final = 20  # readings that one request makes at most to find what the caller may read

logger = logging.getLogger(__name__)


class Access:
    """What one caller may read, asked anew while it listens.

    `ask` gives the scope of now and raises a DomainError when the caller may not listen any more.
    """

    def __init__(self, ask: Callable[[], Scope]) -> None:
        self._ask = ask
        self._asked_at = time.monotonic()
        self._scope = ask()

    def renew(self) -> None:
        """Asks again when the last answer is too old."""
        if time.monotonic() - self._asked_at >= SCOPE_KEPT:
            self._scope = self._ask()
            self._asked_at = time.monotonic()

    def covers(self, event: FeedEvent) -> bool:
        """Whether the caller may read the event, by the last answer."""
        return self._scope.covers(event)


@dataclass(frozen=True, slots=True)
class Portion:
    """Events for one caller and the position to go on from. `is_all`: nothing else was there."""

    events: list[FeedEvent]
    position: Position
    is_all: bool


def read_portion(after: Position, *, wanted: Wanted, access: Access, limit: int) -> Portion:
    """Up to `limit` events that are wanted and may be read; fewer, or none, when there were too many others in between."""
    found: list[FeedEvent] = []
    for _ in range(PORTIONS):
        reading = read_events(after, wanted=wanted)
        for event in reading.events:
            if access.covers(event):
                found.append(event)
                if len(found) == limit:
                    return Portion(found, event.position, is_all=False)
        after = reading.position
        if reading.is_all:
            return Portion(found, after, is_all=True)
    return Portion(found, after, is_all=False)


class EventStream:
    """The body of an answer in `text/event-stream`. It has a place with the reader, which `close` gives back.

    It ends by itself after LIFE seconds, when the process stops, when the caller may not listen any more, and when the client is
    found to be gone.
    """

    def __init__(
        self,
        reader: SharedReader,
        after: Position,
        *,
        wanted: Wanted,
        access: Access,
        places: int,
        connection: socket.socket | None = None,
    ) -> None:
        reader.join(places=places)
        self._reader, self._position, self._wanted, self._access = reader, after, wanted, access
        self._connection = connection
        self._is_open = True
        self._is_behind = False
        limit_sending(connection)

    def close(self) -> None:
        """Gives the place back; also when nothing was ever sent."""
        if self._is_open:
            self._is_open = False
            self._reader.leave()

    def __iter__(self) -> Iterator[bytes]:
        end = time.monotonic() + LIFE
        spoken_at = time.monotonic()
        yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
        try:
            while time.monotonic() < end and not self._reader.is_stopping() and not has_left(self._connection):
                if messages := self._next_messages():
                    yield messages
                    spoken_at = time.monotonic()
                elif time.monotonic() - spoken_at >= HEARTBEAT:
                    self._access.renew()
                    yield b": heartbeat\n\n"
                    spoken_at = time.monotonic()
                if not self._is_behind:
                    give_connection_back()
                    self._reader.wait(self._position, LOOK)
            # Without data it is no event: it only tells the client where to go on, past all that was not for it.
            yield f"id: {self._position}\n\n".encode()
        except (DomainError, Error) as err:
            # The client comes back and is told the reason by an ordinary answer.
            logger.info("a stream of events ends: %s", err)
        finally:
            give_connection_back()

    def _next_messages(self) -> bytes:
        reading = self._reader.since(self._position) or self._read()
        self._position, self._is_behind = reading.position, not reading.is_all
        wanted = [event for event in reading.events if self._wanted.takes(event)]
        if wanted:
            self._access.renew()
        return b"".join(message(event) for event in wanted if self._access.covers(event))

    def _read(self) -> Reading:
        return read_events(self._position, wanted=self._wanted)


def message(event: FeedEvent) -> bytes:
    """The event as a message of a stream."""
    # In ASCII: some clients take more characters for the end of a line than the standard knows.
    data = json.dumps(event.output, separators=(",", ":"))
    return f"id: {event.position}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def has_left(connection: socket.socket | None) -> bool:
    """Whether the client closed the connection. None, which is what other servers than gunicorn give, says nothing."""
    if connection is None:
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def limit_sending(connection: socket.socket | None) -> None:
    """A client that reads nothing for so long makes the writing fail, instead of keeping the thread for ever."""
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(UNREAD), 0))
