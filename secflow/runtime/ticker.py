"""Sweeps go on when beat does not: every worker keeps an eye on the time of the last one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from celery import signals
from django.conf import settings
from django.db import Error, connection

from workflows import tasks
from workflows.services import turns

LATE = 2.0  # so many periods after the last turn a worker takes one itself

logger = logging.getLogger(__name__)


def start() -> threading.Event:
    """Watches over both periodic passes from a thread each, until the returned event is set."""
    stop = threading.Event()
    passes: tuple[tuple[str, float, Callable[[], None]], ...] = (
        (turns.SWEEP, settings.SECFLOW.sweep_seconds, tasks.do_sweep),
        (turns.RECONCILE, settings.SECFLOW.reconcile_seconds, tasks.do_reconcile),
    )
    for name, period, work in passes:
        threading.Thread(target=_run, args=(name, period, work, stop), name=f"ticker-{name}", daemon=True).start()
    return stop


def _run(name: str, period: float, work: Callable[[], None], stop: threading.Event) -> None:
    while not stop.wait(period):
        try:
            if turns.take_turn(name, least=LATE * period):
                logger.warning("no %s for %g seconds: beat seems to be down, this worker does it", name, LATE * period)
                work()
        except Error as err:
            logger.warning("the database is not usable for a %s; the next turn comes in any case: %s", name, err)
        except Exception:
            logger.exception("a %s failed; the next turn comes in any case", name)
        finally:
            connection.close()


def connect_to_celery() -> None:
    """Gives every Celery worker of this process's future a ticker, from the moment it serves."""
    signals.worker_ready.connect(_start, weak=False)


def _start(**_: Any) -> None:
    start()
