"""How Python runs in a process that serves: its threads take turns at once, and its garbage collector does not stop them."""

from __future__ import annotations

import gc
import sys
from typing import Any

from celery import signals

SWITCH_SECONDS = 0.0005


def take_turns_at_once() -> None:
    """Threads that wait for the cluster or the database get their turn at once, not after the usual 5 ms."""
    sys.setswitchinterval(SWITCH_SECONDS)


def keep_what_is_loaded() -> None:
    """The collector looks no more at what this process has loaded so far: modules, models, addresses.

    There are some 200,000 objects of that kind and none of them ever goes. Each full collection went through all of them,
    which kept a request or a hand-off waiting for 0.1 s and longer.
    """
    gc.collect()
    gc.freeze()


def connect_to_celery() -> None:
    """Every Celery worker of this process's future keeps what it has loaded, from the moment it serves."""
    signals.worker_ready.connect(_keep, weak=False)


def _keep(**_: Any) -> None:
    keep_what_is_loaded()
