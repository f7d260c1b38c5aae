"""The server's side of the launcher: start, signal and await processes without blocking the event loop."""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

_LENGTH: Final = struct.Struct(">I")
_ENTRY: Final = "import sys; sys.path.insert(0, {path!r}); from k8s_bridge.localcluster.launcher import main; main()"
# What a process that vanished with its launcher is said to have ended with: SIGKILL.
LOST: Final = 137


class LaunchError(Exception):
    """The process could not be started; the text says at which step and why."""


@dataclass(frozen=True)
class LaunchSpec:
    """All that is needed to start one process. `root` None leaves the file system as it is.

    `binds` are (source, target inside the root, read only); `limits` are (RLIMIT number, value); `address` asks for the
    translation of TCP ports to that address, `ports` says which port becomes which.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    root: str | None = None
    binds: tuple[tuple[str, str, bool], ...] = ()
    limits: tuple[tuple[int, int], ...] = ()
    host_name: str = ""
    private_processes: bool = False
    wrapped: bool = False
    address: str | None = None
    ports: dict[int, int] = field(default_factory=dict)


class Process:
    """A requested process. `started` gives the pid or raises LaunchError; `ended` gives the exit code, 128+n for a
    signal, and never raises."""

    def __init__(self, id: int, loop: asyncio.AbstractEventLoop) -> None:
        self.id = id
        self.started: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()

    @property
    def pid(self) -> int | None:
        """The pid once it is known; None also for a process that could not be started."""
        done = self.started.done() and not self.started.cancelled() and self.started.exception() is None
        return (self.started.result() or None) if done else None


class Launcher:
    """One launcher process; a new one is started when it ends unexpectedly, after all its processes were given up."""

    def __init__(self, *, user_namespace: bool) -> None:
        self._user_namespace = user_namespace
        self._next = 0
        self._processes: dict[int, Process] = {}
        self._link: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._outbox: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._inbox = bytearray()
        self._ready: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    async def start(self, seconds: float = 10.0) -> None:
        """Ready to start processes. LaunchError when it cannot run, for example without the right to namespaces."""
        loop = asyncio.get_running_loop()
        self._spawn(loop)
        assert self._ready is not None
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), seconds)
        except TimeoutError:
            await self.stop()
            raise LaunchError("the launcher did not get ready in time") from None

    def _spawn(self, loop: asyncio.AbstractEventLoop) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        mode = "user-namespace" if self._user_namespace else "plain"
        entry = _ENTRY.format(path=str(Path(__file__).resolve().parents[2]))
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", entry, str(theirs.fileno()), mode],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                umask=0o077,
            )
        finally:
            theirs.close()
        self._link = ours
        self._ready = loop.create_future()
        loop.add_reader(ours, self._read)

    async def stop(self, seconds: float = 5.0) -> bool:
        """End the launcher and, with it, every process that is still there; False when it had to be killed and may
        have left some."""
        self._closing = True
        self._disconnect()
        child, self._child = self._child, None
        if child is None:
            return True
        try:
            return await asyncio.to_thread(child.wait, seconds) == 0
        except subprocess.TimeoutExpired:
            child.kill()
            await asyncio.to_thread(child.wait)
            return False

    def submit(self, spec: LaunchSpec, stdout: int, stderr: int) -> Process:
        """Ask for a process. The two descriptors are copied; they may be closed right after this call."""
        self._next += 1
        process = Process(self._next, asyncio.get_running_loop())
        self._processes[process.id] = process
        request: dict[str, Any] = {"op": "start", "id": process.id, **asdict(spec)}
        self._send(request, (os.dup(stdout), os.dup(stderr)))
        return process

    def signal(self, process: Process, number: int) -> None:
        """Send a signal: SIGKILL to everything the process started, any other one to the process itself."""
        if not process.ended.done():
            self._send({"op": "signal", "id": process.id, "signal": int(number)}, ())

    def forget(self, address: str) -> None:
        """A pod's address is free again."""
        self._send({"op": "forget", "address": address}, ())

    # The socket

    def _send(self, request: dict[str, Any], fds: tuple[int, ...]) -> None:
        body = json.dumps(request).encode()
        self._outbox.append((_LENGTH.pack(len(body)) + body, fds))
        self._flush()

    def _flush(self) -> None:
        link = self._link
        loop = asyncio.get_running_loop()
        while self._outbox and link is not None:
            data, fds = self._outbox[0]
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                sent = link.sendmsg([data], ancillary)
            except BlockingIOError:
                loop.add_writer(link, self._flush)
                return
            except OSError:
                # The reader sees the same end and gives everything up.
                return
            for fd in fds:
                os.close(fd)
            self._outbox.popleft()
            if sent < len(data):
                self._outbox.appendleft((data[sent:], ()))
        if link is not None:
            loop.remove_writer(link)

    def _read(self) -> None:
        assert self._link is not None
        try:
            data = self._link.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._inbox += data
        while len(self._inbox) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._inbox)
            end = _LENGTH.size + length
            if len(self._inbox) < end:
                break
            answer = json.loads(self._inbox[_LENGTH.size : end])
            del self._inbox[:end]
            self._handle(answer)

    def _handle(self, answer: dict[str, Any]) -> None:
        if "ready" in answer:
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            return
        if "started" in answer:
            process = self._processes.get(answer["id"])
            if process is not None and not process.started.done():
                process.started.set_result(answer["started"])
            return
        process = self._processes.pop(answer["id"], None)
        if process is None:
            return
        if "error" in answer:
            _fail(process, answer["error"])
        else:
            if not process.started.done():
                process.started.set_result(0)
            process.ended.set_result(answer["exit"])

    def _lost(self) -> None:
        pids = [pid for item in self._processes.values() if (pid := item.pid)]
        self._disconnect()
        if self._closing:
            return
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(LaunchError("the launcher ended at once"))
            return
        logger.error("the launcher ended and took every process with it; a new one is started")
        for pid in pids:
            # Most are gone already; this is for what they had started themselves.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        if self._child is not None:
            self._child.wait()
        self._spawn(asyncio.get_running_loop())

    def _disconnect(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(link)
            loop.remove_writer(link)
            link.close()
        for _, fds in self._outbox:
            for fd in fds:
                os.close(fd)
        self._outbox.clear()
        self._inbox.clear()
        processes, self._processes = list(self._processes.values()), {}
        for process in processes:
            if process.started.done():
                process.ended.set_result(LOST)
            else:
                _fail(process, "the launcher ended")


def _fail(process: Process, text: str) -> None:
    if not process.started.done():
        process.started.set_exception(LaunchError(text))
        # Whoever waits for the start sees it; nobody has to.
        process.started.exception()
    if not process.ended.done():
        process.ended.set_result(LOST)
