"""Many clients in one process, and processes that are forked from it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes.config import kube_config

from k8s_bridge.client import ClusterClient
from k8s_bridge.localcluster.tls import load_identity, write_kubeconfig

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call, ScriptedCluster


def ok(call: Call) -> None:
    call.answer(200, {"ok": True})


def test_a_client_finds_the_certificate_while_another_one_is_writing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, load_identity(tmp_path / "identity", now=datetime.now(UTC)), "https://127.0.0.1:6443")
    writing, connected = threading.Event(), threading.Event()

    def open_slowly(file: str, mode: str = "r") -> IO[Any]:
        if mode == "wb":
            writing.set()
            connected.wait(0.5)  # in vain when the second one waits, as it must
        return open(file, mode)

    monkeypatch.setattr(kube_config, "open", open_slowly, raising=False)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: ClusterClient(str(path)).server)
        assert writing.wait(60)
        try:
            assert ClusterClient(str(path)).server == "https://127.0.0.1:6443"
        finally:
            connected.set()
        assert first.result() == "https://127.0.0.1:6443"


def test_a_forked_child_opens_connections_of_its_own(cluster: ScriptedCluster) -> None:
    ports: list[int] = []

    def note(call: Call) -> None:
        ports.append(call.handler.client_address[1])
        ok(call)

    client = ClusterClient(cluster.kubeconfig, connect_timeout=1, read_timeout=1)
    cluster.script("GET /version", note)
    client.request("GET", "/version")

    assert in_a_child(
        lambda: client.request("GET", "/version") == {"ok": True} and client.counts == {"get /version": 1}
    )

    client.request("GET", "/version")
    assert ports[0] == ports[2] != ports[1]


def test_a_child_forked_while_another_thread_connects_can_connect_too(cluster: ScriptedCluster, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    client = ClusterClient(with_slow_credentials(cluster.kubeconfig, started, tmp_path / "slow"))
    cluster.script("GET /version", ok)
    other = threading.Thread(target=client.request, args=("GET", "/version"))
    other.start()
    started.read_bytes()  # returns when the other thread is in the middle of it

    assert in_a_child(lambda: client.request("GET", "/version") == {"ok": True})
    other.join(60)


def with_slow_credentials(path: str, started: Path, target: Path) -> str:
    """The path of a kubeconfig like that at `path` whose credentials come from a command that takes a
    moment the first time, and tells `started` of it."""
    found = yaml.safe_load(Path(path).read_text())
    version = "client.authentication.k8s.io/v1"
    answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {"token": "slow"}})
    arguments = [
        "-c",
        f"[ -e '{target}.seen' ] || {{ : > '{target}.seen'; echo > '{started}'; sleep 0.3; }}; echo '{answer}'",
    ]
    found["users"][0]["user"] = {"exec": {"apiVersion": version, "command": "sh", "args": arguments}}
    target.write_text(yaml.safe_dump(found))
    return str(target)


def in_a_child(check: Callable[[], bool]) -> bool:
    """Whether `check` holds in a forked child, which gets twenty seconds for it."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        good = False
        try:
            good = check()
        finally:
            os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0
