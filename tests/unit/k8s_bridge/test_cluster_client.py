from __future__ import annotations

import gc
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from k8s_bridge import errors
from k8s_bridge.client import ClusterClient

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call, ScriptedCluster


@pytest.fixture
def client(cluster: ScriptedCluster) -> Iterator[ClusterClient]:
    made = ClusterClient(cluster.kubeconfig, connect_timeout=1, read_timeout=1)
    yield made
    made.close()


def ok(call: Call) -> None:
    call.answer(200, {"ok": True})


def test_a_request_carries_the_token_the_body_and_a_deadline(cluster: ScriptedCluster, client: ClusterClient) -> None:
    cluster.script("POST /apis/batch/v1/jobs", ok)

    answer = client.request("POST", "/apis/batch/v1/jobs", query={"dryRun": "All"}, body={"é": 1})

    call = cluster.calls[0]
    assert answer == {"ok": True}
    assert call.headers["authorization"] == "Bearer first"
    assert call.headers["content-type"] == "application/json"
    assert call.body == {"é": 1}
    assert call.query == {"dryRun": "All", "timeout": "1s"}


def broken_off(call: Call) -> None:
    call.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
    call.cut()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda call: call.cut(), errors.Unreachable),
        (lambda call: call.be_silent(), errors.Unreachable),
        (broken_off, errors.Unreachable),
        (lambda call: call.handler.wfile.write(b"SSH-2.0-hello\r\n\r\n") and call.cut(), errors.Unreachable),
        (lambda call: call.answer(200, b"<html>"), errors.ServerTrouble),
        (lambda call: call.answer(200, b"[]"), errors.ServerTrouble),
        (lambda call: call.answer(302, b"", Location="http://elsewhere.invalid/"), errors.ServerTrouble),
        (lambda call: call.refuse(503, "ServiceUnavailable"), errors.ServerTrouble),
        (lambda call: call.refuse(429, "TooManyRequests"), errors.Throttled),
        (lambda call: call.refuse(422, "Invalid"), errors.Rejected),
    ],
)
def test_every_failure_is_a_cluster_error(
    cluster: ScriptedCluster, client: ClusterClient, step: Callable[[Call], None], expected: type[errors.ClusterError]
) -> None:
    cluster.script("GET /version", step)

    with pytest.raises(errors.ClusterError) as caught:
        client.request("GET", "/version")

    assert type(caught.value) is expected
    assert len(cluster.calls) == 1


def test_the_cause_is_kept(cluster: ScriptedCluster, client: ClusterClient) -> None:
    cluster.script("GET /version", lambda call: call.cut())

    with pytest.raises(errors.Unreachable) as caught:
        client.request("GET", "/version")

    assert caught.value.__cause__ is not None
    assert type(caught.value.__cause__).__module__.startswith("urllib3")


def test_the_wish_for_a_pause_is_read_from_the_header(cluster: ScriptedCluster, client: ClusterClient) -> None:
    cluster.script("GET /version", lambda call: call.answer(429, {"message": "later"}, Retry_After="4"))

    with pytest.raises(errors.Throttled) as caught:
        client.request("GET", "/version")

    assert caught.value.retry_after == 4.0


def test_a_closed_port_is_unreachable(cluster: ScriptedCluster, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        cluster.write_kubeconfig(url=f"http://127.0.0.1:{closed.getsockname()[1]}")

        with pytest.raises(errors.Unreachable, match="cannot be reached"):
            ClusterClient(cluster.kubeconfig).request("GET", "/version")


@pytest.mark.parametrize("content", [None, "", "{", "kind: Config", "current-context: x"])
def test_an_unusable_kubeconfig_is_named_and_tried_again(
    cluster: ScriptedCluster, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "later"
    if content is not None:
        path.write_text(content)
    client = ClusterClient(str(path))

    with pytest.raises(errors.NotConfigured, match="later") as caught:
        client.request("GET", "/version")

    assert caught.value.retryable
    cluster.script("GET /version", ok)
    path.write_text(Path(cluster.kubeconfig).read_text())
    assert client.request("GET", "/version") == {"ok": True}


def test_outside_a_pod_there_is_no_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(errors.NotConfigured, match="service account"):
        ClusterClient(None).request("GET", "/version")


def test_after_a_401_the_credentials_are_read_anew(cluster: ScriptedCluster, client: ClusterClient) -> None:
    def guard(call: Call) -> None:
        if call.headers["authorization"] == "Bearer second":
            ok(call)
        else:
            call.refuse(401, "Unauthorized", "Unauthorized")

    cluster.script("GET /version", guard)
    with pytest.raises(errors.NotAllowed):
        client.request("GET", "/version")

    cluster.write_kubeconfig(token="second")

    assert client.request("GET", "/version") == {"ok": True}


def test_a_cluster_that_moved_is_found_again(cluster: ScriptedCluster) -> None:
    cluster.script("GET /version", ok)
    here = cluster.url
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        cluster.write_kubeconfig(url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        client = ClusterClient(cluster.kubeconfig, connect_timeout=1)
        with pytest.raises(errors.Unreachable):
            client.request("GET", "/version")

        cluster.write_kubeconfig(url=here)
        with pytest.raises(errors.Unreachable):
            client.request("GET", "/version")  # this failure is what makes it look at the file again

    assert client.request("GET", "/version") == {"ok": True}


def test_too_large_an_object_is_not_sent(cluster: ScriptedCluster, client: ClusterClient) -> None:
    with pytest.raises(errors.Rejected, match="make it smaller"):
        client.request("POST", "/apis/batch/v1/jobs", body={"x": "a" * 1024 * 1024})

    assert cluster.calls == []


def test_requests_are_counted_by_verb_and_resource(cluster: ScriptedCluster, client: ClusterClient) -> None:
    cluster.script("GET /apis/batch/v1/jobs", ok)

    for _ in range(3):
        client.request("GET", "/apis/batch/v1/jobs")
    with pytest.raises(errors.NotFound):
        client.request("DELETE", "/apis/batch/v1/namespaces/n/jobs/j")

    assert client.counts == {"list jobs": 3, "delete jobs": 1}


def test_threads_share_the_connections(cluster: ScriptedCluster, client: ClusterClient) -> None:
    ports: set[int] = set()

    def note(call: Call) -> None:
        ports.add(call.handler.client_address[1])
        ok(call)

    cluster.script("GET /version", note)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.request("GET", "/version"), range(200)))

    assert answers == [{"ok": True}] * 200
    assert len(ports) <= 4
    assert client.counts == {"get /version": 200}


def test_a_stream_gives_lines_as_they_come(cluster: ScriptedCluster, client: ClusterClient) -> None:
    go_on = threading.Event()

    def lines(call: Call) -> None:
        call.start_stream()
        call.chunk(b'{"a": 1}\n{"b"')
        go_on.wait(5)
        call.chunk(b": 2}\n\n")
        call.chunk(b'{"c": 3}')
        call.end_stream()

    cluster.script("GET /api/v1/pods?watch", lines)
    stream = iter(client.stream("/api/v1/pods", query={"watch": "1"}, silence=5))

    first = next(stream)
    go_on.set()

    assert first == b'{"a": 1}'
    assert list(stream) == [b'{"b": 2}', b'{"c": 3}']


def test_a_stream_that_is_cut_or_silent_is_unreachable(cluster: ScriptedCluster, client: ClusterClient) -> None:
    def cut(call: Call) -> None:
        call.start_stream()
        call.chunk(b'{"a": 1}\n{"b"')
        call.cut()

    def silent(call: Call) -> None:
        call.start_stream()
        call.chunk(b'{"a": 1}\n')
        call.be_silent()

    cluster.script("GET /api/v1/pods?watch", cut, silent)

    for _ in range(2):
        seen: list[bytes] = []
        with pytest.raises(errors.Unreachable):
            seen.extend(client.stream("/api/v1/pods", query={"watch": "1"}, silence=0.3))
        assert seen == [b'{"a": 1}']


def test_a_stream_is_woken_from_another_thread(cluster: ScriptedCluster, client: ClusterClient) -> None:
    def silent(call: Call) -> None:
        call.start_stream()
        call.chunk(b'{"a": 1}\n')
        call.be_silent()

    cluster.script("GET /api/v1/pods?watch", silent)
    stream = client.stream("/api/v1/pods", query={"watch": "1"}, silence=30)
    lines = iter(stream)
    next(lines)

    began = time.monotonic()
    threading.Timer(0.1, stream.interrupt).start()
    with pytest.raises(errors.Unreachable):
        next(lines)
    stream.close()
    stream.interrupt()  # nobody to wake any more: no error

    assert time.monotonic() - began < 2


def test_abandoned_answers_leave_no_sockets_open(cluster: ScriptedCluster, client: ClusterClient) -> None:
    cluster.script("GET /version", lambda call: call.refuse(503, "ServiceUnavailable"))

    def open_now() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def attempt() -> None:
        with pytest.raises(errors.ServerTrouble):
            client.request("GET", "/version")

    attempt()
    gc.collect()
    before = open_now()
    for _ in range(20):
        attempt()

    end = time.monotonic() + 10  # the server in this process closes its ends when its threads get their turn
    while open_now() > before + 2:
        assert time.monotonic() < end, f"{before} descriptors have become {open_now()}"
        time.sleep(0.01)


def test_importing_the_library_loads_neither_the_official_client_nor_django() -> None:
    modules = ("specs", "names", "errors", "diagnosis", "manifests", "observations", "gateway", "watcher", "client")
    code = (
        f"import sys, {', '.join(f'k8s_bridge.{module}' for module in modules)}\n"
        "sys.exit(', '.join({name.split('.')[0] for name in sys.modules} & {'kubernetes', 'django'}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        timeout=30,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.stderr.strip() == ""
