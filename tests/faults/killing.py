"""Processes of a stack that die or stand still: at a named kill point, if the stack was started with `environment(folder)`, or at
once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import Stack, eventually


def environment(folder: Path) -> dict[str, str]:
    """The variables under which a stack obeys the orders of this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return {"SECFLOW_TEST_KILLS": "allowed", "SECFLOW_TEST_KILL_AT": str(folder)}


@contextmanager
def killed_at(folder: Path, point: str, *, seconds: float = 60.0) -> Iterator[None]:
    """The first process that comes to the point within this context dies there; fails when none came."""
    order = folder / point
    order.touch()
    try:
        yield
        eventually(lambda: not order.exists(), seconds=seconds, what=f"the death at {point}")
    finally:
        order.unlink(missing_ok=True)


@contextmanager
def standing_still(stack: Stack, role: str) -> Iterator[None]:
    """The role's processes stand still, so that their supervisor does not start others."""
    pids = stack.pids(role)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
