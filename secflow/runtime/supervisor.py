"""One loop in one thread that starts services as they are needed, keeps them running and stops them in order."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from secflow.runtime.console import Console
from secflow.runtime.errors import StandError
from secflow.runtime.processes import write_pids
from secflow.runtime.service import Process, Service

_PROBE_STEP = 0.03
_IDLE_STEP = 30.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs `services`, given in the order of their start. A context manager: leaving it leaves no process behind.

    There is one thread, because Linux ends a child with the thread that made it, and because forking is safe then.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        console: Console,
        env: Mapping[str, str],
        cwd: Path,
        logs: Path,
        pids: Path,
        stop_order: Sequence[str],
    ) -> None:
        self._processes = {item.name: Process(item, log=logs / f"{item.name}.log") for item in services}
        self._console = console
        self._env = env
        self._cwd = cwd
        self._pids = pids
        self._stop_order = stop_order
        self._selector = selectors.DefaultSelector()
        self._starting = True
        self.stop_asked = 0

    def __enter__(self) -> Self:
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._old_handlers = {number: signal.signal(number, self._note_signal) for number in _SIGNALS}
        self._old_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._old_wakeup)
            self._selector.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_asked += 1

    def bring_up(self) -> None:
        """Return when every service is ready, or when a signal asked to stop.

        Raises StandError with the last lines of a service that died or took longer than its patience.
        """
        while not self.stop_asked:
            for process in self._processes.values():
                if process.popen is None and self._may_start(process.service):
                    self._start(process)
            answers = [self._check_ready(process) for process in self._processes.values()]
            if all(answers):
                self._starting = False
                return
            self._turn(_PROBE_STEP)

    def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Keep everything running until `until` is true (asked after every event) or a signal asks to stop."""
        while not self.stop_asked and not until():
            due = [process.due_at for process in self._processes.values() if process.due_at is not None]
            now = time.monotonic()
            for process in self._processes.values():
                if process.due_at is not None and process.due_at <= now:
                    self._start(process)
                    self._console.say(f"{process.service.name} was started again.")
            self._turn(max(0.0, min([*due, now + _IDLE_STEP]) - now) if due else _IDLE_STEP)

    def stop(self) -> None:
        """Stop everything in order. What takes longer than its time, or all after a second signal, is killed."""
        asked = self.stop_asked
        for name in self._stop_order:
            process = self._processes.get(name)
            if process is None or process.popen is None:
                continue
            process.ask_to_stop()
            deadline = time.monotonic() + process.service.stop_seconds
            while process.poll() is None and time.monotonic() < deadline and self.stop_asked <= asked + 1:
                self._turn(0.05, restart=False)
            if process.poll() is None:
                self._console.warn(f"{name} did not stop in time and is killed.")
                process.kill()
        for process in self._processes.values():
            process.kill()
            process.close()
        self._pids.unlink(missing_ok=True)

    def process(self, name: str) -> Process:
        """The process of one service."""
        return self._processes[name]

    def _may_start(self, service: Service) -> bool:
        return all(self._processes[name].is_ready for name in service.after)

    def _start(self, process: Process) -> None:
        try:
            output = process.start(self._env, self._cwd)
        except OSError as err:
            raise StandError(
                f"{process.service.name} cannot be started ({process.service.command[0]}: {err})."
            ) from err
        self._selector.register(output, selectors.EVENT_READ, process)
        self._remember()

    def _remember(self) -> None:
        write_pids(self._pids, [p.popen.pid for p in self._processes.values() if p.is_alive and p.popen is not None])

    def _check_ready(self, process: Process) -> bool:
        service = process.service
        if process.popen is None or (process.is_ready and service.once):
            return process.is_ready
        code = process.poll()
        if code is not None and not (service.once and code == 0):
            self._drain(process)
            raise StandError(_died(process, code))
        if process.is_ready:
            return True
        if service.once:
            process.is_ready = code == 0
        else:
            process.is_ready = service.ready()
        took = time.monotonic() - process.started_at
        if process.is_ready:
            if not service.quiet:
                self._console.done(service.name, service.said, took)
        elif took > service.patience:
            raise StandError(
                f"{service.name} was not ready within {service.patience:.0f} seconds; its last lines:\n{_tail(process)}"
            )
        return process.is_ready

    def _turn(self, timeout: float, *, restart: bool = True) -> None:
        """Wait for output, an ended child or a signal, at most `timeout` seconds, and take care of it."""
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                os.read(self._wake_read, 4096)
            else:
                self._forward(key.data)
        if restart and not self._starting:
            self._look_for_ended()

    def _forward(self, process: Process) -> None:
        assert process.popen is not None
        assert process.popen.stdout is not None
        lines, ended = process.read()
        for line in lines:
            self._console.line_of(process.service.name, line)
        if ended:
            self._selector.unregister(process.popen.stdout)
            process.popen.stdout.close()

    def _drain(self, process: Process) -> None:
        """Read what an ended process still had to say; a grandchild that keeps the pipe open does not hold this up."""
        assert process.popen is not None
        assert process.popen.stdout is not None
        while not process.popen.stdout.closed:
            lines, ended = process.read()
            for line in lines:
                self._console.line_of(process.service.name, line)
            if ended or not lines:
                self._selector.unregister(process.popen.stdout)
                process.popen.stdout.close()

    def _look_for_ended(self) -> None:
        for process in self._processes.values():
            if process.service.once or process.popen is None or process.due_at is not None:
                continue
            code = process.poll()
            if code is None:
                continue
            self._drain(process)
            young = time.monotonic() - process.started_at < 5
            delay = process.note_end(time.monotonic())
            self._console.warn(f"{_ended(process.service.name, code)}; it is started again in {delay:g} s.")
            if young and process.tail and self._console.muted:
                self._console.say(_tail(process))
            self._remember()


def _ended(name: str, code: int) -> str:
    if code < 0:
        return f"{name} was ended by {signal.Signals(-code).name}"
    return f"{name} ended with code {code}"


def _tail(process: Process) -> str:
    return "\n".join(f"    {line}" for line in process.tail) or "    (it wrote nothing)"


def _died(process: Process, code: int) -> str:
    service = process.service
    if service.once and code == 2 and process.tail:
        # Code 2 means that it has already said in sentences what is wrong.
        return "\n".join(process.tail)
    return f"{_ended(service.name, code)} while starting; its last lines:\n{_tail(process)}"
