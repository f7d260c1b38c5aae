"""Work that a process does itself, and messages that wait for others."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.engine import eventually
from workflows import dispatch
from workflows.dispatch import BATCH, FLOOD, HERE_AT_MOST, Gatherer, Hands, do_here, hands_for


class Sent:
    """The messages that would have gone to the broker."""

    def __init__(self) -> None:
        self.portions: list[list[int]] = []

    def __call__(self, task: str, **kwargs: Any) -> bool:
        self.portions.append(kwargs["ids"])
        return True

    @property
    def ids(self) -> list[int]:
        return [item for portion in self.portions for item in portion]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    messages = Sent()
    monkeypatch.setattr(dispatch, "send", messages)
    return messages


def test_ids_that_come_soon_after_each_other_are_one_message(sent: Sent) -> None:
    gatherer = Gatherer("task", seconds=1, longest=60)

    gatherer.add("ids", [1])
    gatherer.add("ids", [2, 3])

    eventually(lambda: sent.portions == [[1, 2, 3]], what="the message")


def test_as_long_as_many_come_they_are_collected_and_then_sent_in_portions(sent: Sent) -> None:
    gatherer = Gatherer("task", seconds=3, longest=60)
    ids = itertools.count()
    stop = threading.Event()

    def flood() -> None:
        while not stop.wait(0.005):
            gatherer.add("ids", [next(ids) for _ in range(FLOOD + 1)])

    flooding = threading.Thread(target=flood)
    flooding.start()
    eventually(lambda: len(gatherer._ids) > 4 * BATCH, what="a flood")
    assert sent.portions == []
    stop.set()
    flooding.join()
    expected = list(range(next(ids)))

    eventually(lambda: sent.ids == expected, what="all of them, in order")
    assert max(map(len, sent.portions)) == BATCH


def test_a_flood_that_does_not_end_is_sent_in_the_longest_time(sent: Sent) -> None:
    gatherer = Gatherer("task", seconds=0.05, longest=0.2)
    stop = threading.Event()

    def flood() -> None:
        while not stop.wait(0.002):
            gatherer.add("ids", list(range(FLOOD + 1)))

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        eventually(lambda: bool(sent.portions), seconds=30, what="a message during the flood")
    finally:
        stop.set()
        flooding.join()


def test_a_gatherer_that_was_stopped_sends_nothing(sent: Sent) -> None:
    gatherer = Gatherer("task", seconds=60, longest=60)
    gatherer.add("ids", [1])
    timer = gatherer._timer
    assert timer is not None

    gatherer.stop()
    timer.join(10)

    assert not timer.is_alive()
    assert sent.portions == []


@pytest.fixture
def held() -> Callable[[list[Any]], None]:
    return lambda items: items[0].wait(30)


def test_large_portions_and_those_that_would_have_to_wait_are_for_others(held: Callable[[list[Any]], None]) -> None:
    hands = Hands(held, threads=1)
    release = threading.Event()
    assert hands.can_take(HERE_AT_MOST)
    assert not hands.can_take(HERE_AT_MOST + 1)

    hands.take([release])
    assert hands.can_take(1)
    hands.take([release])
    assert not hands.can_take(1)
    release.set()

    eventually(lambda: hands.can_take(1), what="free hands")
    hands.stop()


def test_work_that_fails_keeps_the_hands_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def work(items: list[Any]) -> None:
        if items == [0]:
            raise ValueError("no")
        done.extend(items)

    hands = Hands(work, threads=1)
    for item in range(3):
        hands.take([item])

    eventually(lambda: done == [1, 2], what="the others")
    hands.stop()
    assert "1 items failed here" in caplog.text


def test_what_comes_after_a_stop_is_left_to_the_sweep() -> None:
    done: list[int] = []
    with do_here("task", done.extend):
        hands = hands_for("task", 1)
        assert hands is not None
    assert hands_for("task", 1) is None

    hands.take([1])  # as a request does that was accepted before the stop and is committed after it

    assert done == []
