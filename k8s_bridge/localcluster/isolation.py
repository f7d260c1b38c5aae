"""What a process does to itself between fork and exec: private mounts, limits, dropped rights.

Runs in the launcher's children, so: standard library only, plain system calls, and an OSError whose text says which
step failed. Everything here is Linux; `available()` is False elsewhere.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import sys
from typing import Any, Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000

_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_MS_RDONLY: Final = 1
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_MS_NOSUID_NODEV_NOEXEC: Final = 2 | 4 | 8
_MNT_DETACH: Final = 2
_PR_SET_PDEATHSIG: Final = 1
_PR_CAPBSET_DROP: Final = 24
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
# Flags of a mount that a user namespace may not clear: statvfs bit -> mount bit.
_LOCKED: Final = ((2, 2), (4, 4), (8, 8), (1024, 1024), (2048, 2048), (4096, 1 << 21))
# What the usual container runtimes leave to root: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
# net_bind_service, sys_chroot, setfcap.
_KEPT_CAPABILITIES: Final = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31})
_LAST_CAPABILITY: Final = 40

_libc: Any = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None


def available() -> bool:
    return _libc is not None


def _check(result: int, step: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{step}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def fork_into_process_namespace() -> int:
    """os.fork, but the child is process 1 of a new process namespace: when it ends, all that it started ends too.

    unshare + fork would do it as well, but there is no way back from that unshare inside a user namespace.
    """
    number = _CLONE.get(platform.machine())
    if _libc is None or number is None:
        raise OSError(errno.ENOSYS, "process namespaces are not supported on this kind of machine")
    # The same steps as os.fork takes; PyDLL because the interpreter lock must stay held across the call.
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(ctypes.PyDLL(None, use_errno=True).syscall(number, CLONE_NEWPID | signal.SIGCHLD, 0, 0, 0, 0))
    failed = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(failed, f"clone: {os.strerror(failed)}")
    return pid


def enter_user_namespace() -> None:
    """Give this (single-threaded) process full rights inside a user namespace of its own, under its own user id."""
    user, group = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when the parent dies; `parent` is its pid, 0 when it is not visible from here."""
    if _libc is None:
        return
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")
    if parent and os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every process below this one that loses its own. Where the system has no such thing, init
    stays their parent."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def forbid_new_privileges() -> None:
    if _libc is not None:
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def drop_capabilities() -> None:
    """As root, keep only the rights a container usually has; any other user loses all of them at exec anyway."""
    if _libc is None or os.geteuid() != 0:
        return
    for number in range(_LAST_CAPABILITY + 1):
        if number not in _KEPT_CAPABILITIES:
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)


def set_limits(limits: list[list[int]]) -> None:
    """`limits` holds [resource, value] pairs; a value above the hard limit is lowered to it."""
    for number, value in limits:
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(number, (value, value))


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {source} at {target}")


def _bind(source: str, target: str, *, read_only: bool) -> None:
    if not os.path.lexists(target):
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    _mount(source, target, None, _MS_BIND | _MS_REC)
    if read_only:
        present = os.statvfs(target).f_flag
        kept = sum(to for bit, to in _LOCKED if present & bit)
        _mount(source, target, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | kept)


def enter_root(root: str, binds: list[tuple[str, str, bool]], *, private_processes: bool, host_name: str) -> None:
    """Make `root` the root directory, with `binds` (source, target inside, read only) and /proc in it.

    Nothing else of the host stays reachable. The mounts vanish with the process.
    """
    unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount(root, root, None, _MS_BIND)
    for source, target, read_only in binds:
        _bind(source, root + target, read_only=read_only)
    if private_processes:
        _mount("proc", root + "/proc", "proc", _MS_NOSUID_NODEV_NOEXEC)
    else:
        _mount("/proc", root + "/proc", None, _MS_BIND | _MS_REC)
    name = os.fsencode(host_name)[:63]
    _check(_libc.sethostname(name, len(name)), "sethostname")
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")
