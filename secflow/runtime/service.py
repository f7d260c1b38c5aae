"""One process of the stand: what it is (`Service`) and how it lives (`Process`)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from secflow.runtime.processes import Identity, signal_group, spawn

_LOG_LIMIT = 10 * 1024 * 1024
_TAIL_LINES = 12
_FIRST_DELAY, _LONGEST_DELAY, _SETTLED = 0.5, 15.0, 30.0


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Service:
    """What to run, when it may start, how to see that it is ready and how to stop it. Times in seconds.

    `ready` must answer at once. A `once` service is ready when it ended with code 0. `after` names services that must
    be ready first.
    """

    name: str
    command: tuple[str, ...]
    said: str = "ready"
    after: tuple[str, ...] = ()
    ready: Callable[[], bool] = _always
    patience: float = 60.0
    once: bool = False
    quiet: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 8.0
    death_signal: signal.Signals = signal.SIGKILL
    identity: Identity | None = None
    env: Mapping[str, str] = field(default_factory=dict)


class Process:
    """A service's current process, its log file and its restarts."""

    def __init__(self, service: Service, *, log: Path) -> None:
        self.service = service
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.popen: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.is_ready = False
        self.failures = 0
        self.due_at: float | None = None
        self._log_path = log
        self._log: BinaryIO | None = None
        self._rest = b""

    @property
    def is_alive(self) -> bool:
        """Whether it runs, as far as `poll` has seen."""
        return self.popen is not None and self.popen.returncode is None

    def start(self, env: Mapping[str, str], cwd: Path) -> int:
        """Start it and give back the descriptor of its output."""
        self._open_log()
        self.tail.clear()
        self._rest = b""
        self.due_at = None
        self.started_at = time.monotonic()
        self.popen = spawn(
            self.service.command,
            env={**env, **self.service.env},
            cwd=cwd,
            identity=self.service.identity,
            death_signal=self.service.death_signal,
        )
        assert self.popen.stdout is not None
        os.set_blocking(self.popen.stdout.fileno(), False)
        return self.popen.stdout.fileno()

    def read(self) -> tuple[list[str], bool]:
        """The complete lines that came since the last call, and whether the output is at its end."""
        assert self.popen is not None
        assert self.popen.stdout is not None
        try:
            chunk = os.read(self.popen.stdout.fileno(), 65536)
        except BlockingIOError:
            return [], False
        if self._log is not None and chunk:
            self._log.write(chunk)
            self._log.flush()
            if self._log.tell() > _LOG_LIMIT:
                self._open_log()
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if not chunk and self._rest:
            lines.append(self._rest)
        texts = [line.decode(errors="replace").rstrip("\r") for line in lines]
        self.tail.extend(texts)
        return texts, not chunk

    def note_end(self, now: float) -> float:
        """The process ended by itself: seconds until it is started again, doubling while it keeps dying young."""
        self.failures = 1 if now - self.started_at > _SETTLED else self.failures + 1
        delay: float = min(_FIRST_DELAY * 2 ** min(self.failures - 1, 10), _LONGEST_DELAY)
        self.due_at = now + delay
        return delay

    def poll(self) -> int | None:
        """The exit code once it has ended, None before and when it was never started. What it left in its group ends with it."""
        if self.popen is None or self.popen.returncode is not None:
            return self.popen.returncode if self.popen else None
        code = self.popen.poll()
        if code is not None:
            # Now and never again: without members, the number of the group is free for a process of somebody else.
            signal_group(self.popen.pid, signal.SIGKILL)
        return code

    def ask_to_stop(self) -> None:
        """Send the stop signal to the process itself; it takes its own children along."""
        if self.popen is not None and self.poll() is None:
            self.popen.send_signal(self.service.stop_signal)

    def kill(self) -> None:
        """SIGKILL for the whole process group, unless it has ended; returns when its leader is gone."""
        if self.popen is not None and self.poll() is None:
            signal_group(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    def close(self) -> None:
        """Let go of pipe and log."""
        if self.popen is not None and self.popen.stdout is not None:
            self.popen.stdout.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _open_log(self) -> None:
        if self._log is not None and self._log.tell() <= _LOG_LIMIT:
            return
        if self._log is not None:
            self._log.close()
        if self._log_path.exists() and self._log_path.stat().st_size > 0:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        self._log = open(self._log_path, "ab", opener=_private)  # noqa: SIM115  closed by close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
