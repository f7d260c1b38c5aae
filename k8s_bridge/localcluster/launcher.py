"""The small process that starts, signals and reaps every pod process.

Why it exists: forking the server costs milliseconds and must not run Python between fork and exec with threads about;
this process is small, has one thread and may enter a user namespace of its own. When the server's end of the socket
closes, it ends every process group it started and whatever left its group, then itself. Should it be killed, the kernel
ends its children, and the server their groups.

Protocol on one stream socket, each way: 4 bytes length (big endian), then JSON. Requests:
* {"op": "start", "id", "argv", "env", "cwd", "limits", "root", "binds", "host_name", "private_processes", "wrapped",
  "address", "ports"} with two file descriptors, stdout and stderr
* {"op": "signal", "id", "signal"}: SIGKILL goes to the process group, anything else to the main process
* {"op": "forget", "address"}: no pod has this address any more
Answers: {"id", "started": pid}, {"id", "error": text}, {"id", "exit": code}, and once at the start {"ready": {...}}.

Standard library only: it runs isolated from every site-packages.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from k8s_bridge.localcluster import addressing, isolation

_LENGTH: Final = struct.Struct(">I")
_MAX_FDS: Final = 16
_PIPE_TEXT: Final = 4096
_SHUTDOWN_SECONDS: Final = 4
_TERM_BIT: Final = 1 << (signal.SIGTERM - 1)


@dataclass
class Child:
    """One started process; `wrapped` when the pod's own process is the child of a wrapper such as bubblewrap."""

    id: int
    pid: int
    wrapped: bool
    own_init: bool
    pod_address: str | None
    exec_pipe: int
    killed_for_term: bool = False


class Launcher:
    def __init__(self, link: socket.socket, *, user_namespace: bool) -> None:
        self._link = link
        self._user_namespace = user_namespace
        self._buffer = bytearray()
        self._fds: list[int] = []
        self._children: dict[int, Child] = {}
        self._by_id: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._translator = addressing.Translator()
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the server's end of the socket closes."""
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        isolation.adopt_orphans()
        if self._user_namespace:
            isolation.enter_user_namespace()
        self._selector.register(self._link, selectors.EVENT_READ, self._read_requests)
        self._selector.register(wake_read, selectors.EVENT_READ, lambda: self._reap(wake_read))
        self._send({"ready": {"pid": os.getpid()}})
        while True:
            for key, _ in self._selector.select():
                key.data()

    # The socket

    def _send(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        try:
            self._link.sendall(_LENGTH.pack(len(body)) + body)
        except OSError:
            self._shut_down()

    def _shut_down(self) -> NoReturn:
        """The server is gone, however it ended: nothing that was started for it goes on."""
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        # Without a process namespace, what made a session of its own is in no group that is known. It becomes a child
        # of this process when its parent ends, so that killing and reaping children gets to all of it in the end. The
        # alarm ends this process should one of them not be killable.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_SHUTDOWN_SECONDS)
        while children := _children(os.getpid()):
            for pid in children:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)
        os._exit(0)

    def _read_requests(self) -> None:
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        data, ancillary, _, _ = self._link.recvmsg(1 << 18, socket.CMSG_SPACE(_MAX_FDS * 4), flags)
        if not data:
            self._shut_down()
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(payload[: len(payload) - len(payload) % found.itemsize])
                self._fds.extend(found)
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            request = json.loads(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            if request["op"] == "start":
                self._start(request)
            elif request["op"] == "signal":
                self._signal(request["id"], request["signal"])
            else:
                self._translator.forget(request["address"])

    # Starting

    def _start(self, request: dict[str, Any]) -> None:
        out, err = self._fds.pop(0), self._fds.pop(0)
        pipe_read, pipe_write = os.pipe()
        link: tuple[socket.socket, socket.socket] | None = None
        own_init = bool(request["private_processes"]) and not request["wrapped"]
        try:
            if request["address"]:
                link = socket.socketpair()
            pid = isolation.fork_into_process_namespace() if own_init else os.fork()
            if pid == 0:
                self._become(request, out, err, pipe_write, link[1] if link else None, own_init)
        except OSError as error:
            os.close(pipe_read)
            os.close(pipe_write)
            self._send({"id": request["id"], "error": f"fork: {error}"})
            return
        finally:
            os.close(out)
            os.close(err)
        os.close(pipe_write)
        child = Child(request["id"], pid, bool(request["wrapped"]), own_init, request["address"], pipe_read)
        self._children[pid] = self._by_id[child.id] = child
        self._selector.register(pipe_read, selectors.EVENT_READ, lambda: self._exec_done(child))
        if link:
            link[1].close()
            ports = {int(port): int(to) for port, to in request["ports"].items()}
            self._translator.adopt(link[0], request["address"], ports, self._selector)

    def _become(
        self, request: dict[str, Any], out: int, err: int, failed: int, link: socket.socket | None, own_init: bool
    ) -> NoReturn:
        step = "start"
        try:
            isolation.die_with_parent(0 if own_init else os.getppid())
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            os.umask(0o077)
            os.dup2(self._null, 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            isolation.set_limits(request["limits"])
            step = "root"
            if request["root"]:
                os.umask(0o022)
                binds = [(source, target, read_only) for source, target, read_only in request["binds"]]
                private = request["private_processes"]
                isolation.enter_root(request["root"], binds, private_processes=private, host_name=request["host_name"])
                os.umask(0o077)
                isolation.drop_capabilities()
            isolation.forbid_new_privileges()
            if link is not None:
                addressing.hand_over(link)
            step = "chdir"
            os.chdir(request["cwd"])
            step = "exec"
            argv, env = request["argv"], request["env"]
            os.execvpe(argv[0], argv, env)  # noqa: S606
        except BaseException as error:  # noqa: BLE001  (a forked child must never get back into the loop)
            if step == "exec" and isinstance(error, FileNotFoundError):
                where = "no such file or directory" if "/" in argv[0] else "executable file not found in $PATH"
                text = f'exec: "{argv[0]}": {where}'
            elif step == "exec" and isinstance(error, PermissionError):
                text = f'exec: "{argv[0]}": permission denied'
            else:
                text = f"{step}: {error}"
            os.write(failed, text.encode()[:_PIPE_TEXT])
        os._exit(127)

    def _exec_done(self, child: Child) -> None:
        """The pipe closes at exec; text in it means that exec was never reached."""
        if child.exec_pipe < 0:
            # Already seen while reaping, in the same round of the selector.
            return
        self._selector.unregister(child.exec_pipe)
        text = os.read(child.exec_pipe, _PIPE_TEXT)
        os.close(child.exec_pipe)
        child.exec_pipe = -1
        if text:
            self._by_id.pop(child.id, None)
            self._send({"id": child.id, "error": text.decode(errors="replace")})
        else:
            self._send({"id": child.id, "started": child.pid})

    # Stopping

    def _signal(self, id: int, number: int) -> None:
        child = self._by_id.get(id)
        if child is None:
            return
        if number != signal.SIGKILL:
            target = _first_child(child.pid) if child.wrapped else child.pid
            if target is None:
                # The wrapper has not got to the pod's process, which so has no handler either.
                child.killed_for_term = number == signal.SIGTERM
                number = signal.SIGKILL
            elif (child.own_init or child.wrapped) and number == signal.SIGTERM and _ignores_by_default(target):
                # Process 1 of a namespace never gets the default action of a signal; do what it stands for.
                child.killed_for_term = True
                number = signal.SIGKILL
            else:
                os.kill(target, number)
                return
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(child.pid, signal.SIGKILL)

    def _reap(self, wake: int) -> None:
        os.read(wake, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            self._exec_done(child)
            if self._by_id.pop(child.id, None) is None:
                continue
            # Whatever the main process left in its group goes with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(status)
            if child.killed_for_term and code in (-signal.SIGKILL, 128 + signal.SIGKILL):
                code = -signal.SIGTERM
            self._send({"id": child.id, "exit": code if code >= 0 else 128 - code})


def _first_child(pid: int) -> int | None:
    found = _children(pid)
    return found[0] if found else None


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _ignores_by_default(pid: int) -> bool:
    """Whether SIGTERM has its default action in `pid`: neither caught, ignored nor blocked."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return True
    masks = (int(fields.get(name, "0"), 16) for name in ("SigCgt", "SigIgn", "SigBlk"))
    return not any(mask & _TERM_BIT for mask in masks)


def main() -> None:
    """Arguments: the number of the socket, `user-namespace` or `plain`."""
    os.setsid()
    link = socket.socket(fileno=int(sys.argv[1]))
    link.set_inheritable(False)
    Launcher(link, user_namespace=sys.argv[2] == "user-namespace").run()
