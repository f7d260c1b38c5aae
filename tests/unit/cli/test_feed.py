"""Events are followed over a server that goes away: as long as a run is, and each event comes once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from secflow.cli import feed, watching
from secflow.cli.errors import Unreachable
from secflow.cli.feed import follow_events
from tests.clock import Clock


class Journal:
    """A server with a journal, an event for each second. It is away at the times given, and a stream breaks after three events."""

    url = "http://journal"

    def __init__(self, clock: Clock, away: list[tuple[float, float]], *, streams: bool) -> None:
        self._clock = clock
        self._away = [(clock.now + begin, clock.now + end) for begin, end in away]
        self._streams = streams
        self._began = clock.now

    def get(self, route: object, *, query: dict[str, Any]) -> dict[str, Any]:
        self._demand()
        if "after" not in query:
            return {"items": [], "cursor": str(self._newest)}
        items = [event(number) for number in range(int(query["after"]) + 1, self._newest + 1)]
        return {"items": items, "cursor": str(self._newest)}

    @contextmanager
    def event_stream(self, *, query: dict[str, Any], last_id: str, silence: float) -> Iterator[Any]:
        self._demand()
        status = 200 if self._streams else 503
        yield SimpleNamespace(
            status_code=status,
            headers={"content-type": "text/event-stream"},
            iter_lines=lambda: self._lines(int(last_id)),
        )

    def _lines(self, last: int) -> Iterator[str]:
        for number in range(last + 1, last + 4):
            while self._newest < number:
                self._clock.sleep(1)
            self._demand()
            yield from (f"id: {number}", f'data: {{"cursor": "{number}"}}', "")
        # Half an event, and the connection is gone.
        yield f"id: {last + 4}"
        raise Unreachable("the connection broke")

    @property
    def _newest(self) -> int:
        return int(self._clock.now - self._began)

    def _demand(self) -> None:
        if any(begin <= self._clock.now < end for begin, end in self._away):
            raise Unreachable("no server answers")


def event(number: int) -> dict[str, str]:
    return {"cursor": str(number)}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(feed, "time", found)
    monkeypatch.setattr(watching, "time", found)
    return found


@pytest.mark.parametrize("streams", [True, False])
def test_a_server_that_comes_back_is_waited_for_and_every_event_comes_once(clock: Clock, streams: bool) -> None:
    told: list[str] = []
    # Twice: the second time has two minutes of its own.
    journal: Any = Journal(clock, [(10, 110), (150, 250)], streams=streams)

    found = list(islice(follow_events(journal, after=None, tell=told.append), 300))

    assert found == [event(number) for number in range(1, 301)]
    assert told == ["(no server answers; trying again)"] * 2


def test_a_server_that_stays_away_is_given_up_after_two_minutes(clock: Clock) -> None:
    began = clock.now
    journal: Any = Journal(clock, [(10, 10_000)], streams=True)

    with pytest.raises(Unreachable):
        list(follow_events(journal, after="0"))

    assert 130 <= clock.now - began <= 145


def test_a_quiet_stream_counts_as_an_answer(clock: Clock) -> None:
    """Long after an outage that ended, the next one is not its continuation."""
    began = clock.now
    journal: Any = Journal(clock, [(0, 30), (400, 430)], streams=True)

    def lines(last: int) -> Iterator[str]:
        if clock.now < began + 400:
            clock.sleep(began + 405 - clock.now)
            raise Unreachable("the connection broke")
        yield from Journal._lines(journal, last)

    journal._lines = lines

    assert [one["cursor"] for one in islice(follow_events(journal, after="500"), 3)] == ["501", "502", "503"]
