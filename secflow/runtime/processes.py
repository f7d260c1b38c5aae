"""Child processes that cannot outlive their parent, and what is left of those of an earlier start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from secflow.runtime.tether import die_with_parent


@dataclass(frozen=True, slots=True)
class Identity:
    """Which user and group a child gets; only a parent that is root can ask for it."""

    uid: int
    gid: int


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.PIPE,
    identity: Identity | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    own_group: bool = True,
) -> subprocess.Popen[bytes]:
    """Start `command`. On Linux it gets `death_signal` when the calling thread ends, however it ends.

    Call it from the main thread: the kernel ties a child to the thread that made it. Stderr goes where stdout goes.
    """
    return subprocess.Popen(
        list(command),
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT if stdout is not None else None,
        process_group=0 if own_group else None,
        preexec_fn=_tether(os.getpid(), identity, death_signal),
    )


def _tether(parent: int, identity: Identity | None, death_signal: signal.Signals) -> Callable[[], None]:
    def run() -> None:
        if identity is not None:
            os.setgroups([])
            os.setgid(identity.gid)
            os.setuid(identity.uid)
        os.umask(0o077)
        # After the change of user, which would reset it.
        if die_with_parent(death_signal) and os.getppid() != parent:
            os._exit(127)

    return run


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to the process group that `pid` leads. A group that is gone is fine."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        # macOS answers so for a group of zombies.
        return


def write_pids(path: Path, pids: Iterable[int]) -> None:
    """Remember living children, with their start times so that a number used again is not mistaken."""
    entries = []
    for pid in pids:
        try:
            entries.append([pid, psutil.Process(pid).create_time()])
        except psutil.NoSuchProcess:
            continue
    path.write_text(json.dumps(entries), encoding="utf-8")


def end_leftovers(path: Path, *, patience: float) -> int:
    """End what an earlier start left running, by SIGTERM and after `patience` seconds by SIGKILL.

    Returns how many it were.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0
    found = [process for pid, born in entries if (process := _same_process(pid, born)) is not None]
    everyone = [child for process in found for child in (process, *process.children(recursive=True))]
    for process in found:
        process.terminate()
    _, alive = psutil.wait_procs(everyone, timeout=patience)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=patience)
    path.unlink(missing_ok=True)
    return len(found)


def _same_process(pid: int, born: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - born) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except psutil.NoSuchProcess:
        pass
    return None


def wait_until(condition: Callable[[], bool], *, seconds: float, step: float = 0.02) -> bool:
    """Whether `condition` became true within `seconds`; it is asked again every `step`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(step)
    return True
