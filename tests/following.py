"""Open streams of events, read by a thread so that a test never waits for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from tests.engine import eventually
from workflows.feed import reader as shared
from workflows.feed.reader import reader

PATIENCE = 30.0


@pytest.fixture
def no_streams_left(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All places are free again at the end, and the reader of this process leaves before the database does."""
    monkeypatch.setattr(shared, "LINGERS", 0.0)
    yield
    assert reader.listeners == 0
    eventually(lambda: not reader.is_running, seconds=PATIENCE)


class Stream:
    """What one client was sent so far."""

    def __init__(self, client: Client, path: str, **headers: str) -> None:
        own = getattr(client, "extra_headers", {})
        self.response: Any = client.get(path, headers=own | {"Accept": "text/event-stream"} | headers)
        assert self.response.status_code == 200, self.response.content
        self.blocks: list[str] = []
        self._changed = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        rest = ""
        try:
            for chunk in self.response.streaming_content:
                *blocks, rest = (rest + chunk.decode()).split("\n\n")
                with self._changed:
                    self.blocks += blocks
                    self._changed.notify_all()
        finally:
            connection.close()
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What came so far. Each is checked against its own fields."""
        found = []
        for block in self.blocks:
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                event = json.loads(fields["data"])
                assert (fields["id"], fields["event"]) == (event["cursor"], event["kind"])
                found.append(event)
        return found

    def until(self, is_so: Callable[[Stream], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: is_so(self), PATIENCE), self.blocks

    def ended(self) -> Stream:
        self.until(lambda stream: stream._is_over)
        self._thread.join(PATIENCE)
        return self


@contextmanager
def following(client: Client, path: str = "/api/workflow/events", **headers: str) -> Iterator[Stream]:
    """A stream that the server ends when the test is through with it."""
    stopping = threading.Event()
    before, reader.is_stopping = reader.is_stopping, stopping.is_set
    stream = Stream(client, path, **headers)
    try:
        yield stream
    finally:
        stopping.set()
        stream.ended()
        reader.is_stopping = before
