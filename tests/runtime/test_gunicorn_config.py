"""The web process listens where BIND says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from secflow.runtime.parts import answers
from secflow.runtime.processes import wait_until
from secflow.settings.environment import BASE_DIR
from tests.stack import free_port


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "bind",
    [
        "127.0.0.1",
        *(pytest.param(b, marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6")) for b in ("::1", "::")),
    ],
)
def test_it_starts_on_addresses_of_either_kind(bind: str, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", str(BASE_DIR / "secflow/runtime/gunicorn_config.py")]
    log = tmp_path / "web.log"
    with log.open("wb") as output:
        web = subprocess.Popen(
            command,
            cwd=BASE_DIR,
            env={**os.environ, "BIND": bind, "PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        assert wait_until(lambda: web.poll() is not None or answers(bind, port, "/livez"), seconds=60)
        assert web.poll() is None, log.read_text()
    finally:
        web.terminate()
        web.wait()
