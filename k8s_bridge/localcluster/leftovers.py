"""No process outlives its cluster: what a killed cluster left running is ended at the next start."""

from __future__ import annotations

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
        lines = (line.split() for line in self._path.read_text(encoding="ascii").splitlines())
        # A crash may have cut the last line short.
        return [(int(parts[0]), float(parts[1])) for parts in lines if len(parts) == 2]

    def _compact(self) -> None:
        kept = [note for note in self._notes() if _is_ours(*note)]
        self._path.write_text("".join(f"{pid} {began!r}\n" for pid, began in kept), encoding="ascii")
        self._written = len(kept)

    def kill(self) -> int:
        """Kill the process groups that an earlier run left; how many there were."""
        groups = {psutil_group(process) for process in psutil.process_iter()}
        killed = 0
        for pid, began in self._notes():
            if pid in groups and (_is_ours(pid, began) or not psutil.pid_exists(pid)):
                os.killpg(pid, signal.SIGKILL)
                killed += 1
        if killed:
            logger.warning("processes of an earlier run were ended", extra={"count": killed})
        self._path.unlink(missing_ok=True)
        self._written = 0
        return killed


def psutil_group(process: psutil.Process) -> int:
    """The process group; 0 when the process has just ended."""
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return 0


def _is_ours(pid: int, began: float) -> bool:
    try:
        return bool(psutil.Process(pid).create_time() == began)
    except psutil.NoSuchProcess:
        return False
