"""Named places at which a process can be made to die by SIGKILL, so that a test can prove what happens then.

Off unless both variables are given: SECFLOW_TEST_KILLS=allowed and SECFLOW_TEST_KILL_AT=<folder>. A file in the folder that is
named like a kill point lets one process die there, once: who removes the file dies.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

AFTER_CLAIM = "after_claim"  # a launch is claimed, nothing is made yet
AFTER_CREATE = "after_create"  # the object is made, nothing is written down yet
BEFORE_PUBLISH = "before_publish"  # the transaction is committed, no message is sent yet
AFTER_OBSERVE = "after_observe"  # an observation is committed, what follows from it is not begun
AFTER_DELETE = "after_delete"  # a clean-up saw nothing left, and did not carry out its goal yet

_folder = Path(os.environ["SECFLOW_TEST_KILL_AT"]) if os.environ.get("SECFLOW_TEST_KILLS") == "allowed" else None


def pass_by(point: str) -> None:
    """This process has come to the point; it ends here when a test asked for it."""
    if _folder is not None:
        _die_if_asked(_folder / point)


def _die_if_asked(order: Path) -> None:
    try:
        order.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # another thread may be the one that ends first
