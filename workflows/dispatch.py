"""Names of the tasks, and sending them. A message is a wake-up only: what it wakes for is a due row in the database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from celery import current_app
from django.db import connection, transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

LAUNCH_WORKLOADS: Final = "workflows.launch_workloads"
CONFIRM_WORKLOADS: Final = "workflows.confirm_workloads"
CLEAN_UP_INSTANCE: Final = "workflows.clean_up_instance"
CAPTURE_LOGS: Final = "workflows.capture_logs"
SWEEP: Final = "workflows.sweep"
RECONCILE: Final = "workflows.reconcile"

BATCH: Final = 25  # ids in one message: small enough to spread a fan-out over the workers

HERE_AT_MOST: Final = 4  # ids that a process which may do the work itself takes on

_RETRY_ONCE: Final = {"max_retries": 1, "interval_start": 0.05, "interval_step": 0.0, "interval_max": 0.05}


def send(task: str, **kwargs: Any) -> bool:
    """Sends one message now; False when the broker did not take it, which costs time until the next sweep and nothing else."""
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
    """Sends the ids as messages of at most BATCH ids each, after commit.

    A few ids at a time are not sent at all in a process that does this work itself (`do_here`).
    """
    here = _here.get(task)
    if here is not None and len(ids) <= HERE_AT_MOST:
        transaction.on_commit(partial(here, list(ids)))
        return
    for start in range(0, len(ids), BATCH):
        send_after_commit(task, **{argument: list(ids[start : start + BATCH])})


_here: dict[str, Callable[[list[int]], None]] = {}


@contextmanager
def do_here(task: str, work: Callable[[list[int]], object], *, threads: int = 4) -> Iterator[None]:
    """Within this context, this process does small portions of a task in threads of its own, without a message.

    It saves the way through the broker where that is most of the time. Should the process die, or the work fail, the due rows
    are found by the sweep as after a lost message.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="here")

    def run(ids: list[int]) -> None:
        try:
            work(ids)
        except Exception:
            logger.exception("%s of %s failed here; the sweep sends it to a worker", task, ids)
            connection.close()

    def take(ids: list[int]) -> None:
        pool.submit(run, ids)

    _here[task] = take
    try:
        yield
    finally:
        del _here[task]
        # What has not begun is due in the database all the same: a stop does not wait for it.
        pool.shutdown(cancel_futures=True)
