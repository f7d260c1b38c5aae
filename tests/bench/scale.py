"""Scale-out: the same crowd of instances with one and with two workers and watchers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.bench.account import Account
from tests.bench.bed import Options, running_bed
from tests.bench.fans import LENGTH, crowd, driver_crowd, simulated_place
from tests.bench.figures import Row

_WANTED = 1.5
_BUSY = 0.85  # of all processors: above it a second process gets its time from the first


def measure_scale(folder: Path, account: Account, options: Options, say: Callable[[str], None]) -> list[Row]:
    """Nodes per second, each with a SecFlow of its own. Raises Skipped."""
    found: dict[int, float] = {}
    busy: dict[int, float] = {}
    limit = 0.0
    for number in (1, 2):
        env = {"WORKERS": str(number), "WATCHERS": str(number)}
        with running_bed(folder, account, options, say, env) as bed, simulated_place(bed):
            if number == 1:
                say(f"scale: {options.scale} chains of {LENGTH} by the driver")
                limit = options.scale * LENGTH / driver_crowd(bed, options.scale).seconds
            say(f"scale: {options.scale} instances of {LENGTH} nodes, {number} worker(s) and watcher(s)")
            before = psutil.cpu_times()
            taken = crowd(bed, options.scale)
            busy[number] = busy_share(before, psutil.cpu_times())
            if taken.failed:
                raise RuntimeError(f"{taken.failed} of {options.scale} instances did not succeed")
            found[number] = options.scale * LENGTH / taken.seconds
    return [scale_row(found, busy, limit)]


def scale_row(found: dict[int, float], busy: dict[int, float], limit: float) -> Row:
    """Twice the workers have to do 1.5 times as much, unless the cluster gives out before, or this machine, which they share."""
    note = f"floor: with one; processors {busy[1]:.0%} and {busy[2]:.0%} busy; the driver reaches {limit:.1f}/s"
    is_limited = limit < _WANTED * found[1] or busy[1] > _BUSY
    if is_limited:
        note += ", so the cluster or its machine is the limit"
    least = None if is_limited else _WANTED
    return Row("nodes per second with two workers", found[2], "/s", found[1], least_ratio=least, note=note)


def busy_share(before: Any, after: Any) -> float:
    """How much of the time in between all processors of this machine were busy, from 0 to 1."""
    spent = {
        name: getattr(after, name) - getattr(before, name) for name in before._fields if not name.startswith("guest")
    }
    total = sum(spent.values())
    return 1 - (spent["idle"] + spent.get("iowait", 0.0)) / total if total else 0.0
