"""Runs a Python module in a process whose clock is wrong: `skewed.py SECONDS MODULE ARGUMENTS...`."""

from __future__ import annotations

import datetime as module
import runpy
import sys
import time
from typing import Any

_real = module.datetime
_time, _time_ns = time.time, time.time_ns


def _make(skew: float) -> type[module.datetime]:
    class Skewed(_real):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return _real.now(tz) + module.timedelta(seconds=skew)

        @classmethod
        def utcnow(cls) -> Any:
            return _real.now(module.UTC).replace(tzinfo=None) + module.timedelta(seconds=skew)

    return Skewed


if __name__ == "__main__":
    skew, name = float(sys.argv[1]), sys.argv[2]
    time.time = lambda: _time() + skew
    time.time_ns = lambda: _time_ns() + int(skew * 1e9)
    # Whoever imports the name from here on gets the wrong clock.
    module.datetime = _make(skew)  # type: ignore[misc]
    sys.argv = [name, *sys.argv[3:]]
    sys.path[0] = ""
    runpy.run_module(name, run_name="__main__", alter_sys=True)
