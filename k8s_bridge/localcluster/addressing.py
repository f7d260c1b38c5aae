"""A loopback address of its own for each pod, although all pods share the host's network.

A pod that listens on every address, or on 127.0.0.1, would take the port from all other pods and from the Services that
carry the same number. So `bind` is stopped by a seccomp filter, the launcher writes the pod's own address (and the port
given to it) over the one in the caller's memory, and the call goes on. `connect` to 127.0.0.1 is turned the same way
when the pod itself listens there. Only TCP with a fixed port is touched; everything else passes as it is.

Linux 5.9 or later on x86-64 and arm64: earlier kernels do not tell when a filter has no process left. `supported()` is
False elsewhere and pods then share 127.0.0.1.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import re
import select
import selectors
import socket
import struct
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

_RECEIVE: Final = 0xC0502100
_ANSWER: Final = 0xC0182101
_CONTINUE: Final = 1
_NEW_LISTENER: Final = 1 << 3
_SET_FILTER: Final = 1
_PIDFD_GETFD: Final = 438
_FIRST_KERNEL: Final = (5, 9)
_RET_ALLOW: Final = 0x7FFF0000
_RET_NOTIFY: Final = 0x7FC00000
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_RESPONSE: Final = struct.Struct("=QqiI")


@dataclass(frozen=True)
class _Machine:
    audit: int
    seccomp: int
    bind: int
    connect: int


_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, 317, 49, 42),
    "aarch64": _Machine(0xC00000B7, 277, 200, 203),
}
_machine: Final = _MACHINES.get(platform.machine()) if sys.platform.startswith("linux") else None
_libc: Any = ctypes.CDLL(None, use_errno=True) if _machine else None

_ANY4, _LOCAL4 = b"\0" * 4, socket.inet_aton("127.0.0.1")
_MAPPED: Final = b"\0" * 10 + b"\xff\xff"
_ANY6, _LOCAL6 = b"\0" * 16, b"\0" * 15 + b"\1"


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def supported(release: str | None = None) -> bool:
    """Whether this kind of machine and this kernel (`release` as uname gives it) can do it; whether the kernel allows
    it, only a real start tells."""
    version = re.match(r"(\d+)\.(\d+)", release or platform.release())
    return _machine is not None and version is not None and (int(version[1]), int(version[2])) >= _FIRST_KERNEL


def hand_over(link: socket.socket) -> None:
    """In the child, right before exec: install the filter for this process and all it starts, and send the launcher the
    descriptor that hears of it."""
    assert _machine is not None
    steps = (
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 0, 3, _machine.audit),
        (_LOAD, 0, 0, 0),
        (_JUMP_EQUAL, 2, 0, _machine.bind),
        (_JUMP_EQUAL, 1, 0, _machine.connect),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_NOTIFY),
    )
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    program = _Program(len(steps), code)
    listener = _libc.syscall(_machine.seccomp, _SET_FILTER, _NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
    link.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    os.close(listener)


def rewritten_bind(sockaddr: bytes, address: str, ports: dict[int, int], *, only_v6: bool) -> bytes | None:
    """The socket address to bind instead; None when the call is none of our business.

    A socket for IPv6 alone cannot carry the pod's IPv4 address: it gets a free port of ::1, where it disturbs nobody.
    """
    family, port = struct.unpack_from("=H", sockaddr)[0], int.from_bytes(sockaddr[2:4], "big")
    own = socket.inet_aton(address)
    target = ports.get(port, port).to_bytes(2, "big")
    if not port:
        return None
    if family == socket.AF_INET and sockaddr[4:8] in (_ANY4, _LOCAL4):
        return sockaddr[:2] + target + own + sockaddr[8:]
    if family == socket.AF_INET6 and sockaddr[8:24] in (_ANY6, _LOCAL6, _MAPPED + _ANY4, _MAPPED + _LOCAL4):
        if only_v6:
            return sockaddr[:2] + b"\0\0" + sockaddr[4:8] + _LOCAL6 + sockaddr[24:]
        return sockaddr[:2] + target + sockaddr[4:8] + _MAPPED + own + sockaddr[24:]
    return None


def rewritten_connect(sockaddr: bytes, address: str, ports: dict[int, int], listening: set[int]) -> bytes | None:
    """The socket address to connect to instead: the pod's own, when it listens on that port of 127.0.0.1; else None."""
    family, port = struct.unpack_from("=H", sockaddr)[0], int.from_bytes(sockaddr[2:4], "big")
    if port not in listening:
        return None
    own = socket.inet_aton(address)
    target = ports.get(port, port).to_bytes(2, "big")
    if family == socket.AF_INET and sockaddr[4:8] in (_ANY4, _LOCAL4):
        return sockaddr[:2] + target + own + sockaddr[8:]
    if family == socket.AF_INET6 and sockaddr[8:24] in (_LOCAL6, _MAPPED + _LOCAL4):
        return sockaddr[:2] + target + sockaddr[4:8] + _MAPPED + own + sockaddr[24:]
    return None


class Translator:
    """In the launcher: answers the stopped calls of all pods."""

    def __init__(self) -> None:
        self._listening: dict[str, set[int]] = {}

    def adopt(self, link: socket.socket, address: str, ports: dict[int, int], selector: selectors.BaseSelector) -> None:
        """Take the descriptor that the child will send over `link` and serve it until the pod has no process left."""

        def receive() -> None:
            selector.unregister(link)
            _, ancillary, _, _ = link.recvmsg(1, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
            link.close()
            if not ancillary:
                # The child failed before its exec.
                return
            listener = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            serve = partial(self._serve, listener, address, ports, selector)
            selector.register(listener, selectors.EVENT_READ, serve)

        selector.register(link, selectors.EVENT_READ, receive)

    def forget(self, address: str) -> None:
        """The pod is gone; its address may be given to another one."""
        self._listening.pop(address, None)

    def _serve(self, listener: int, address: str, ports: dict[int, int], selector: selectors.BaseSelector) -> None:
        # Before Linux 6.11 a receive waits for ever when the pod has no process left, so it is asked for first.
        events = _events(listener)
        if not events & select.POLLIN:
            # An error without a hang-up only says that a signal interrupted the question.
            if events & (select.POLLHUP | select.POLLNVAL):
                self._leave(listener, selector)
            return
        notification = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, notification, True)
        except OSError as error:
            # ENOENT: the caller was killed since. The next event tells whether others are left.
            if error.errno not in (errno.EINTR, errno.ENOENT):
                self._leave(listener, selector)
            return
        id, pid, _, number, _, _, *args = _NOTIFICATION.unpack(notification)
        # When the caller is gone or out of reach, its call goes on unchanged, and fails or not as it would have.
        with contextlib.suppress(OSError):
            self._translate(pid, number, args, address, ports)
        try:
            fcntl.ioctl(listener, _ANSWER, _RESPONSE.pack(id, 0, 0, _CONTINUE))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    @staticmethod
    def _leave(listener: int, selector: selectors.BaseSelector) -> None:
        selector.unregister(listener)
        os.close(listener)

    def _translate(self, pid: int, number: int, args: list[int], address: str, ports: dict[int, int]) -> None:
        assert _machine is not None
        memory = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            length = min(args[2] & 0xFFFFFFFF, 128)
            if length < 8:
                return
            sockaddr = os.pread(memory, length, args[1])
            listening = self._listening.setdefault(address, set())
            changed: bytes | None
            if number == _machine.connect:
                changed = rewritten_connect(sockaddr, address, ports, listening)
            else:
                family = struct.unpack_from("=H", sockaddr)[0]
                if family not in (socket.AF_INET, socket.AF_INET6):
                    return
                is_stream, only_v6 = _socket_facts(pid, args[0], family)
                if not is_stream:
                    return
                changed = rewritten_bind(sockaddr, address, ports, only_v6=only_v6)
                if changed is not None and not only_v6:
                    listening.add(int.from_bytes(sockaddr[2:4], "big"))
            if changed is not None:
                os.pwrite(memory, changed, args[1])
        finally:
            os.close(memory)


def _events(descriptor: int) -> int:
    """What poll says about a descriptor now."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return sum(event for _, event in poll.poll(0))


def _socket_facts(pid: int, fd: int, family: int) -> tuple[bool, bool]:
    """(is a TCP socket, is for IPv6 alone) of a socket of another process. `pid` may be that of any of its threads."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        leader = next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))
    handle = os.pidfd_open(leader)
    try:
        copy = _libc.syscall(_PIDFD_GETFD, handle, ctypes.c_int(fd), 0)
    finally:
        os.close(handle)
    if copy < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    with socket.socket(fileno=copy) as found:
        is_stream = found.type == socket.SOCK_STREAM
        only_v6 = family == socket.AF_INET6 and bool(found.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    return is_stream, only_v6
