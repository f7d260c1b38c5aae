"""Names of the tasks, and sending them. A message is a wake-up only: what it wakes for is a due row in the database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from celery import current_app
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from workflows.killpoints import BEFORE_PUBLISH, pass_by

logger = logging.getLogger(__name__)

LAUNCH_WORKLOADS: Final = "workflows.launch_workloads"
CONFIRM_WORKLOADS: Final = "workflows.confirm_workloads"
CLEAN_UP_INSTANCE: Final = "workflows.clean_up_instance"
CAPTURE_LOGS: Final = "workflows.capture_logs"
SWEEP: Final = "workflows.sweep"
RECONCILE: Final = "workflows.reconcile"
FORGET_EXPIRED: Final = "workflows.forget_expired"

BATCH: Final = 25  # ids in one message: small enough to spread a fan-out over the workers

HERE_AT_MOST: Final = 4  # items that a process which may do the work itself takes on at once

FLOOD: Final = 3  # ids within one period of a gatherer that promise more

_RETRY_ONCE: Final = {"max_retries": 1, "interval_start": 0.05, "interval_step": 0.0, "interval_max": 0.05}


def send(task: str, **kwargs: Any) -> bool:
    """Sends one message now; False when the broker did not take it, which costs time until the next sweep and nothing else."""
    pass_by(BEFORE_PUBLISH)
    try:
        current_app.send_task(task, kwargs=kwargs, ignore_result=True, retry=True, retry_policy=_RETRY_ONCE)
    except (OperationalError, ConnectionError, TimeoutError) as err:
        logger.warning("the broker did not take %s; the next sweep sends it again: %s", task, err)
        return False
    return True


def send_after_commit(task: str, **kwargs: Any) -> None:
    """Sends one message when the surrounding transaction is committed, at once when there is none."""
    transaction.on_commit(partial(send, task, **kwargs))


def send_batches_after_commit(task: str, argument: str, ids: Sequence[int]) -> None:
    """Sends the ids as messages of at most BATCH ids each, after commit; in a process that gathers them, together with others."""
    gatherer = _gatherers.get(task)
    if gatherer is not None:
        transaction.on_commit(partial(gatherer.add, argument, list(ids)))
        return
    for start in range(0, len(ids), BATCH):
        send_after_commit(task, **{argument: list(ids[start : start + BATCH])})


class Hands:
    """Threads of this process that do small portions of a task themselves, without a message.

    It saves the way through the broker where that is most of the time. Should the process die, or the work fail, the due rows
    are found by the sweep as after a lost message.
    """

    def __init__(self, work: Callable[[list[Any]], object], *, threads: int) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hands")
        self._most = threads * 2
        self._busy = 0
        self._is_stopped = False
        self._lock = threading.Lock()

    def can_take(self, count: int) -> bool:
        """Whether a portion of this size is small enough, and begins soon."""
        return count <= HERE_AT_MOST and self._busy < self._most

    def take(self, items: Sequence[Any]) -> None:
        """Does the portion in a thread, soon. After a stop it is left to the sweep, as if it had been cancelled by it."""
        pass_by(BEFORE_PUBLISH)
        with self._lock:
            if self._is_stopped:
                return
            self._busy += 1
            self._pool.submit(self._run, list(items))

    def stop(self) -> None:
        """Finishes what has begun. What has not is due in the database all the same: a stop does not wait for it."""
        with self._lock:
            self._is_stopped = True
        self._pool.shutdown(cancel_futures=True)

    def _run(self, items: list[Any]) -> None:
        try:
            self._work(items)
        except Exception:
            logger.exception("%s items failed here; the sweep sends them to a worker", len(items))
        finally:
            connection.close()  # gives it back to the pool
            with self._lock:
                self._busy -= 1


def hands_for(task: str, count: int) -> Hands | None:
    """The hands of this process for a portion of so many items; None: send a message."""
    hands = _hands.get(task)
    return hands if hands is not None and hands.can_take(count) else None


_hands: dict[str, Hands] = {}


@contextmanager
def do_here(task: str, work: Callable[[list[Any]], object], *, threads: int = 4) -> Iterator[None]:
    """Within this context, this process has hands for the task."""
    hands = _hands[task] = Hands(work, threads=threads)
    try:
        yield
    finally:
        del _hands[task]
        hands.stop()


class Gatherer:
    """Collects the ids of a task for a moment and sends them in few messages: a fan-out ends node by node, and what is not
    urgent need not wake a worker for each of them.

    As long as more and more come, it goes on collecting up to the longest time, because there is more urgent work then.
    """

    def __init__(self, task: str, *, seconds: float, longest: float) -> None:
        self._task = task
        self._seconds = seconds
        self._longest = longest
        self._lock = threading.Lock()
        self._ids: list[int] = []
        self._began = 0.0
        self._timer: threading.Timer | None = None

    def add(self, argument: str, ids: Sequence[int]) -> None:
        """Adds ids; they are sent within the longest time of this gatherer, and the shorter one if few others come."""
        with self._lock:
            self._ids.extend(ids)
            if self._timer is None:
                self._began = time.monotonic()
                self._wait(argument, seen=0)

    def _wait(self, argument: str, *, seen: int) -> None:
        self._timer = threading.Timer(self._seconds, self._look, [argument, seen])
        self._timer.daemon = True
        self._timer.start()

    def _look(self, argument: str, seen: int) -> None:
        with self._lock:
            count = len(self._ids)
            is_flood = count - seen > FLOOD and time.monotonic() - self._began < self._longest
            if is_flood:
                self._wait(argument, seen=count)
                return
            ids, self._ids, self._timer = self._ids, [], None
        for start in range(0, len(ids), BATCH):
            send(self._task, **{argument: ids[start : start + BATCH]})

    def stop(self) -> None:
        """Sends nothing more. What waits is due in the database."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()


_gatherers: dict[str, Gatherer] = {}


@contextmanager
def gathering(task: str, *, seconds: float, longest: float) -> Iterator[None]:
    """Within this context, messages of the task wait so long for others."""
    gatherer = _gatherers[task] = Gatherer(task, seconds=seconds, longest=longest)
    try:
        yield
    finally:
        del _gatherers[task]
        gatherer.stop()
