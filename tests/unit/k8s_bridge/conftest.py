"""A tiny HTTP server that plays a cluster by script, so that the library is tested over real sockets."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from k8s_bridge.client import ClusterClient
from k8s_bridge.gateway import Gateway
from k8s_bridge.specs import Container, Owner, WorkloadSpec
from tests.clock import Clock

Json = dict[str, Any]


@dataclass
class Call:
    """One request that came in, and the means to answer it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json | None
    handler: BaseHTTPRequestHandler = field(repr=False)
    closing: threading.Event = field(repr=False)

    def answer(self, status: int, body: Json | bytes, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.handler.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.handler.send_header(key.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(data)

    def refuse(self, status: int, reason: str, message: str = "no", **details: Any) -> None:
        answer = {"kind": "Status", "code": status, "reason": reason, "message": message, "details": details}
        self.answer(status, answer)

    def start_stream(self) -> None:
        self.handler.send_response(200)
        self.handler.send_header("Transfer-Encoding", "chunked")
        self.handler.end_headers()

    def chunk(self, data: bytes) -> None:
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.handler.wfile.flush()

    def event(self, happened: str, obj: Json) -> None:
        self.chunk(json.dumps({"type": happened, "object": obj}).encode() + b"\n")

    def end_stream(self) -> None:
        self.handler.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        self.handler.close_connection = True
        self.handler.connection.shutdown(2)

    def be_silent(self) -> None:
        self.closing.wait(30)
        self.handler.close_connection = True


class ScriptedCluster:
    """Answers each "METHOD path" with its script; the last step of a script is repeated."""

    def __init__(self, directory: Path) -> None:
        self.calls: list[Call] = []
        self.closing = threading.Event()
        self._scripts: dict[str, list[Callable[[Call], None]]] = {}
        self._lock = threading.Lock()
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _handle(self) -> None:
                url = urlsplit(self.path)
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                call = Call(
                    self.command,
                    url.path,
                    dict(parse_qsl(url.query)),
                    {key.lower(): value for key, value in self.headers.items()},
                    body,
                    self,
                    cluster.closing,
                )
                step = cluster.next_step(call)
                step(call)

            do_GET = do_POST = do_DELETE = _handle

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                # Some tests make the client give up; any other error belongs to the test.
                if not isinstance(error := sys.exc_info()[1], ConnectionError):
                    cluster.errors.append(error)

        self.errors: list[BaseException | None] = []
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.kubeconfig = str(directory / "kubeconfig")
        self.write_kubeconfig()

    def write_kubeconfig(self, *, token: str = "first", url: str | None = None) -> None:
        Path(self.kubeconfig).write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "it",
                    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                    "clusters": [{"name": "it", "cluster": {"server": url or self.url}}],
                    "users": [{"name": "it", "user": {"token": token}}],
                }
            )
        )

    def script(self, call: str, *steps: Callable[[Call], None]) -> None:
        """`call` is "METHOD path", with "?watch" behind it for a watch."""
        self._scripts[call] = list(steps)

    def next_step(self, call: Call) -> Callable[[Call], None]:
        key = f"{call.method} {call.path}{'?watch' if 'watch' in call.query else ''}"
        with self._lock:
            self.calls.append(call)
            steps = self._scripts.get(key)
            if not steps:
                return lambda it: it.refuse(404, "NotFound", f"no script for {key}")
            return steps.pop(0) if len(steps) > 1 else steps[0]

    def seen(self, method: str, *, watch: bool = False) -> list[Call]:
        with self._lock:
            return [call for call in self.calls if call.method == method and ("watch" in call.query) == watch]

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)
        assert self.errors == []


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ScriptedCluster]:
    made = ScriptedCluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
def owner() -> Owner:
    return Owner("inst-a", "p1", "wf-inst-nightly-x81m44zt", "wf-node-crawl-7h2k9q0d", run=2, attempt=7)


@pytest.fixture
def job() -> WorkloadSpec:
    return WorkloadSpec("Job", "secflow-p1", "wf-x81m44zt-7h2k9q0d", (Container("main", "busybox:latest"),))


@pytest.fixture
def patience_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which the gateway waits for old objects to go."""
    clock = Clock()
    monkeypatch.setattr("k8s_bridge.ensuring.time", clock)
    return clock


@pytest.fixture
def gateway(cluster: ScriptedCluster, patience_clock: Clock) -> Iterator[Gateway]:
    made = Gateway(ClusterClient(cluster.kubeconfig, read_timeout=10), installation="inst-a", replace_timeout=0.4)
    yield made
    made.close()
