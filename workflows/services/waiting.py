"""Waiting, for a bounded time, until something is true (contract E.3)."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1  # seconds


def wait_until(is_true: Callable[[], bool], *, seconds: float, longest_pause: float = LONGEST_PAUSE) -> bool:
    """Asks again and again, ever less often, until the answer is True or the time is over. Returns the last answer."""
    end = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while not is_true():
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, longest_pause)
    return True
