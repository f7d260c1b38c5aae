"""No process outlives its cluster: what a killed cluster left running is ended at the next start."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from pathlib import Path
from typing import Final

import psutil

logger = logging.getLogger(__name__)

_COMPACT_AFTER: Final = 2000


class Leftovers:
    """Notes every started process by pid and time of start. The kernel normally ends pods together with the server;
    this is for systems that cannot do so, and for process groups whose leader is gone."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "processes"
        self._written = 0

    def note(self, pid: int) -> None:
        try:
            line = f"{pid} {psutil.Process(pid).create_time()!r}\n"
        except psutil.NoSuchProcess:
            # Ended already; its group was ended with it.
            return
        if self._written >= _COMPACT_AFTER:
            self._compact()
        with self._path.open("a", encoding="ascii") as file:
            file.write(line)
        self._written += 1

    def _notes(self) -> list[tuple[int, float]]:
        if not self._path.exists():
            return []
        notes: list[tuple[int, float]] = []
        for line in self._path.read_text(encoding="ascii", errors="replace").splitlines():
            # A crash may have cut the last line short.
            with contextlib.suppress(ValueError):
                pid, began = line.split()
                notes.append((int(pid), float(began)))
        return notes

    def _compact(self) -> None:
        kept = [note for note in self._notes() if _is_ours(*note)]
        self._path.write_text("".join(f"{pid} {began!r}\n" for pid, began in kept), encoding="ascii")
        self._written = len(kept)

    def kill(self) -> int:
        """Kill the process groups that an earlier run left; how many there were."""
        groups = _groups()
        killed = 0
        for pid, began in self._notes():
            if pid in groups and _is_left(pid, began, groups[pid]):
                # It may have ended by itself, or have become another user's, in the meantime.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                    killed += 1
        if killed:
            logger.warning("processes of an earlier run were ended", extra={"count": killed})
        self.forget()
        return killed

    def forget(self) -> None:
        """Nothing that was noted is left: after a clean stop its numbers may soon be those of others."""
        self._path.unlink(missing_ok=True)
        self._written = 0


def _groups() -> dict[int, list[psutil.Process]]:
    """The processes of each process group of this machine."""
    groups: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            groups.setdefault(os.getpgid(process.pid), []).append(process)
    return groups


def _is_left(pid: int, began: float, members: list[psutil.Process]) -> bool:
    """Whether the group with this number is the one that was noted. When its leader is gone, nothing proves it: its
    members must at least be of this user and have begun after the leader, since the machine was started."""
    if began < psutil.boot_time():
        return False
    if psutil.pid_exists(pid):
        return _is_ours(pid, began)
    return all(_may_follow(process, began) for process in members)


def _is_ours(pid: int, began: float) -> bool:
    try:
        return bool(psutil.Process(pid).create_time() == began)
    except psutil.Error:
        return False


def _may_follow(process: psutil.Process, began: float) -> bool:
    try:
        return bool(process.uids().real == os.getuid() and process.create_time() >= began)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
