"""The program as a process of its own: start, refusals, restart, stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from kubernetes import client, config, watch

from k8s_bridge.localcluster import address_range
from k8s_bridge.localcluster.__main__ import main
from k8s_bridge.localcluster.tls import load_identity
from tests.localcluster.apistand import job

COMMAND = [sys.executable, "-m", "k8s_bridge.localcluster"]
ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the program and wait for its one line; it is killed after the test."""
    with ExitStack() as stack:

        def begin(data: Path, *args: str, **environment: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [*COMMAND, "--data", str(data), *args],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.communicate, timeout=20)
            stack.callback(process.kill)
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("local cluster ready: https://127.0.0.1:"), line
            return process

        yield begin


def _stop(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
    process.send_signal(how)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def _refused(*args: str, **environment: str) -> str:
    done = subprocess.run(
        [*COMMAND, *args],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return done.stderr


def _server(kubeconfig: Path) -> str:
    address: str = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return address


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_job_runs_and_a_signal_ends_it_cleanly(tmp_path: Path, start: Start, how: signal.Signals) -> None:
    process = start(tmp_path / "data", "--kubeconfig", str(tmp_path / "config"))
    api = config.new_client_from_config(str(tmp_path / "config"))
    batch, core = client.BatchV1Api(api), client.CoreV1Api(api)
    made = job("hello")
    made["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", "echo out of the pod"]
    batch.create_namespaced_job("default", made)

    for event in watch.Watch().stream(batch.list_namespaced_job, "default", timeout_seconds=20):
        if event["object"].status.succeeded:
            break
    name = core.list_namespaced_pod("default", label_selector="job-name=hello").items[0].metadata.name
    log = core.read_namespaced_pod_log(name, "default")
    code, out, err = _stop(process, how)

    assert log == "out of the pod\n"
    assert (code, out, err) == (0, "", "")
    assert stat.S_IMODE((tmp_path / "config").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data/pki/token").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data/state.db").stat().st_mode) == 0o600


def test_a_restart_keeps_objects_address_and_keys(tmp_path: Path, start: Start) -> None:
    first = start(tmp_path)
    before = (tmp_path / "kubeconfig").read_text()
    core = client.CoreV1Api(config.new_client_from_config(str(tmp_path / "kubeconfig")))
    core.create_namespaced_config_map("default", {"metadata": {"name": "kept"}, "data": {"a": "1"}})
    assert _stop(first)[0] == 0

    start(tmp_path)

    assert (tmp_path / "kubeconfig").read_text() == before
    again = client.CoreV1Api(config.new_client_from_config(str(tmp_path / "kubeconfig")))
    assert again.read_namespaced_config_map("kept", "default").data == {"a": "1"}


def test_a_taken_port_is_replaced_by_another(tmp_path: Path, start: Start) -> None:
    one = start(tmp_path / "one")
    port = _server(tmp_path / "one/kubeconfig").rpartition(":")[2]
    (tmp_path / "two").mkdir()
    (tmp_path / "two/port").write_text(f"{port}\n")

    start(tmp_path / "two")

    assert _server(tmp_path / "two/kubeconfig") != _server(tmp_path / "one/kubeconfig")
    assert f":{port} cannot be listened on" in _refused("--data", str(tmp_path / "three"), "--port", port)
    assert one.poll() is None


def test_one_data_directory_serves_one_process(tmp_path: Path, start: Start) -> None:
    first = start(tmp_path)

    said = _refused("--data", str(tmp_path))

    assert said == (
        f"A local cluster (process {first.pid}) is already running on {tmp_path}: use it, stop it, or give another "
        "--data.\n"
    )


def test_it_refuses_other_addresses_and_production(tmp_path: Path, start: Start) -> None:
    data = ["--data", str(tmp_path)]

    assert _refused(*data, "--host", "0.0.0.0").startswith("--host 0.0.0.0 is refused")
    assert _refused(*data, SECFLOW_DEBUG="False").startswith("SECFLOW_DEBUG is off")
    assert "--port must be between" in _refused(*data, "--port", "70000")
    assert _refused(*data, "--image-map", str(tmp_path / "none")).startswith("The image map")
    start(tmp_path, "--force", SECFLOW_DEBUG="false")


def test_it_says_so_when_its_objects_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database" * 100)

    assert "move the file away to start empty" in _refused("--data", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("port", b""),
        ("address-range", b"\xff"),
        ("links.json", b"{"),
        ("pki/ca.crt", b""),
        ("pki/server.crt", b"\0\0\0"),
    ],
)
def test_it_says_so_when_a_file_of_its_own_is_torn(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "pki").mkdir()
    load_identity(tmp_path / "pki", now=datetime.now(UTC))
    (tmp_path / name).write_bytes(content)

    said = _refused("--data", str(tmp_path))

    assert said.startswith(("The keys in ", str(tmp_path / name)))
    assert "remove" in said
    assert len(said.splitlines()) == 1


def test_it_says_so_when_all_addresses_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # On a port that decides nothing for other clusters of this machine.
    with ExitStack() as owners:
        port = 0
        for number in range(address_range._RANGES):
            owner = owners.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            owner.bind((f"127.{address_range._FIRST + 2 * number}.{address_range._OWNER_HOST}", port))
            port = owner.getsockname()[1]
        monkeypatch.setattr(address_range, "_OWNER_PORT", port)
        mask = os.umask(0o077)
        try:
            code = main(["--data", str(tmp_path)])
        finally:
            os.umask(mask)

    assert code == 2
    assert capsys.readouterr().err == "15 local clusters run on this machine already: stop one of them.\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process that its parent has ended")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    argv = [*COMMAND, "--data", str(tmp_path), "--die-with-parent"]
    script = (
        f"import subprocess; p = subprocess.Popen({argv!r}, stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid)"
    )

    parent = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    child = int(parent.stdout)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(20)
    assert not psutil.pid_exists(child)


def test_help_teaches() -> None:
    done = subprocess.run([*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)

    for word in ("kubectl apply", "--image-map", "SECFLOW_DEBUG", "k3s", "--sandbox"):
        assert word in done.stdout
