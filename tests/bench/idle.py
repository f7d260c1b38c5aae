"""Idle: what SecFlow costs when nothing happens."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

from tests.bench.bed import Bed
from tests.bench.figures import Row
from tests.bench.rows import fill

_ROLES = {"gunicorn": "web", "worker": "worker", "beat": "beat", "watch_cluster": "watcher", "up": "supervisor"}
_LOCAL_CLUSTER = "localcluster"


def measure_idle(bed: Bed) -> list[Row]:
    """Requests and processor time of all processes but the cluster's, with instances at rest."""
    options = bed.options
    bed.say(f"idle: {options.idle_instances} instances at rest")
    fill(bed.stack.database_url, options.idle_instances)
    bed.settle()
    bed.say(f"idle: watching for {options.idle_seconds} s")
    asked, used, began = bed.requests(), cpu_seconds(bed.stack.process.pid), time.monotonic()
    time.sleep(options.idle_seconds)
    taken = time.monotonic() - began
    asked = bed.requests() - asked
    after = cpu_seconds(bed.stack.process.pid)
    percent = {role: (after[role] - used.get(role, 0.0)) / taken * 100 for role in after}
    shares = sorted(percent.items(), key=lambda item: -item[1])
    note = f"{options.idle_instances} instances at rest, {asked.total:.0f} ({asked.logs:.0f} of logs) in {taken:.0f} s"
    split = ", ".join(f"{role} {share:.1f}" for role, share in shares)
    return [
        Row("idle: requests per minute", asked.total / taken * 60, most=30.0, note=note),
        Row("idle: all processes, of one core", sum(percent.values()), "%", most=2.0, note=split),
    ]


def cpu_seconds(root: int) -> dict[str, float]:
    """Processor time so far of the process and all below it, by role; the local cluster is left out."""
    used: dict[str, float] = {}
    pending = [psutil.Process(root)]
    while pending:
        process = pending.pop()
        with suppress(psutil.NoSuchProcess):
            line = process.cmdline()
            if any(_LOCAL_CLUSTER in word for word in line):
                continue
            times = process.cpu_times()
            role = role_of(line) or process.name()
            used[role] = used.get(role, 0.0) + times.user + times.system
            pending += process.children()
    return used


def role_of(line: list[str]) -> str | None:
    """Which part of SecFlow a command line is; None for another program."""
    return next((role for word, role in _ROLES.items() if word in line), None)
