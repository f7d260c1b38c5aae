"""Transactions that the database gave up for the sake of another one are made again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import Error, OperationalError, connection

P = ParamSpec("P")
R = TypeVar("R")

TRIES = 6
FIRST_PAUSE = 0.02  # seconds; doubled with each try, and spread
# Serialization failure and deadlock: all of the transaction was undone, and nothing is wrong with it.
_GIVEN_UP = frozenset({"40001", "40P01"})
_READ_ONLY = "25006"

logger = logging.getLogger(__name__)


def retried(work: Callable[P, R]) -> Callable[P, R]:
    """The same function, called again a few times when its transaction was given up. It must hold one transaction at most.

    Inside of another transaction nothing can be repeated, so the error is left to whoever opened that.
    """

    @wraps(work)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        pause = FIRST_PAUSE
        for _ in range(TRIES - 1):
            try:
                return work(*args, **kwargs)
            except OperationalError as err:
                if not was_given_up(err) or connection.in_atomic_block:
                    raise
                logger.info("the database gave a transaction up, it is made again: %s", str(err).splitlines()[0])
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            pause *= 2
        return work(*args, **kwargs)

    return call


def was_given_up(err: Error) -> bool:
    """Whether the database undid the transaction because of another one."""
    return _state_of(err) in _GIVEN_UP


def is_read_only(err: Error) -> bool:
    """Whether the database takes no changes now, such as a standby or one whose disk is full."""
    return _state_of(err) == _READ_ONLY


def _state_of(err: Error) -> str | None:
    return getattr(err.__cause__, "sqlstate", None)
