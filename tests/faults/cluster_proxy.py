"""A real HTTP server before the API server of a kubeconfig: passes requests on, and lets some of them go wrong."""

from __future__ import annotations

import http.client
import json
import queue
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import yaml

from k8s_bridge.kinds import describe_call
from tests.faults.cluster_faults import Fault, FaultPlan, Kind, Request
from tests.faults.cluster_upstream import Upstream
from tests.faults.watch_faults import Cut, Disturber, History

LONGEST_ANSWER = 60.0  # seconds for the API server; also how long a client without an answer is kept waiting
IDLE = 1.0  # seconds after which a connection to the API server is not used again
TICK = 0.1
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "host", "authorization"})


@dataclass(frozen=True)
class Passed:
    """One request that came to the proxy. `status` is the API server's answer, 0 when it was not asked."""

    at: float
    request: Request
    status: int


class ClusterProxy:
    """Serves the cluster of `kubeconfig` on a port of this machine; `self.kubeconfig` is the one that leads there.

    Use as a context manager. The faults of `plan` apply to whoever comes through here.
    """

    def __init__(self, kubeconfig: str | Path, folder: Path, *, seed: int, say: Callable[[str], None] = print) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.plan = FaultPlan(seed, say)
        self.upstream = Upstream.of(kubeconfig, folder)
        self.history = History()
        self.is_down = threading.Event()
        self._lock = threading.Lock()
        self._passed: list[Passed] = []
        self._clients: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(_kubeconfig(f"http://127.0.0.1:{self._server.server_address[1]}"))

    def __enter__(self) -> ClusterProxy:
        threading.Thread(target=self._server.serve_forever, args=(TICK,), name="cluster-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.cut()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Inside the block the cluster cannot be reached: what is open breaks, what is new is refused."""
        self.is_down.set()
        self.cut()
        try:
            yield
        finally:
            self.is_down.clear()

    def cut(self) -> None:
        """Breaks every connection that is open."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def requests(self, verb: str, resource: str, *, within: str = "", since: float = 0.0) -> list[Passed]:
        """What came, also what then went wrong, since a moment of the monotonic clock."""
        with self._lock:
            passed = list(self._passed)
        return [
            one
            for one in passed
            if (one.request.verb, one.request.resource) == (verb, resource)
            and within in one.request.where
            and one.at >= since
        ]

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Requests by verb and resource."""
        with self._lock:
            return Counter((one.request.verb, one.request.resource) for one in self._passed)

    def created(self, resource: str, *, within: str = "") -> list[str]:
        """The paths of the objects that the API server really made, one entry for each time."""
        return [one.request.where for one in self.requests("create", resource, within=within) if one.status == 201]

    def note(self, request: Request, status: int) -> None:
        with self._lock:
            self._passed.append(Passed(time.monotonic(), request, status))

    def hold(self, client: socket.socket, *, is_open: bool) -> None:
        with self._lock:
            (self._clients.add if is_open else self._clients.discard)(client)


def _kubeconfig(server: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "proxy", "user": {}}],
        }
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    proxy: ClusterProxy

    def handle_error(self, *_: object) -> None:
        """A connection that breaks is the normal case here: nobody is to be told."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.proxy = self.server.proxy
        self.backend: http.client.HTTPConnection | None = None
        self.used_at = 0.0
        self.proxy.hold(self.connection, is_open=True)

    def finish(self) -> None:
        self.proxy.hold(self.connection, is_open=False)
        if self.backend is not None:
            self.backend.close()
        with suppress(OSError):
            super().finish()

    def handle_one_request(self) -> None:
        if self.proxy.is_down.is_set():
            self._reset()
            return
        super().handle_one_request()

    def log_message(self, *_: object) -> None:
        """The ledger keeps what tests ask for."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        verb, resource = describe_call(self.command, url.path, dict(parse_qsl(url.query)))
        made = _name_in(body) if verb == "create" else ""
        request = Request(verb, resource, f"{url.path}/{made}" if made else url.path)
        fault = self.proxy.plan.decide(request)
        if self.proxy.is_down.is_set() or (fault is not None and fault.kind is Kind.RESET):
            self.proxy.note(request, 0)
            self._reset()
            return
        if fault is not None and fault.kind is Kind.STATUS:
            self.proxy.note(request, 0)
            self._refuse(fault)
            return
        if fault is not None and fault.kind is Kind.DELAY:
            time.sleep(fault.seconds)
        answer = self._ask(body)
        if verb == "watch" and answer.status == 200:
            self.proxy.note(request, 200)
            self._relay(answer, resource)
            return
        content = answer.read()
        self.proxy.note(request, answer.status)
        match fault.kind if fault is not None else None:
            case Kind.LOST_ANSWER:
                self._reset()
            case Kind.NO_ANSWER:
                self._keep_waiting()
            case Kind.TRUNCATED:
                self._answer(answer, content, most=len(content) // 2)
            case _:
                self._answer(answer, content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _ask(self, body: bytes) -> http.client.HTTPResponse:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        if self.proxy.upstream.token:
            headers["Authorization"] = f"Bearer {self.proxy.upstream.token}"
        # A connection that was idle for long may be one that the API server is closing at this moment.
        if self.backend is not None and time.monotonic() - self.used_at > IDLE:
            self.backend.close()
            self.backend = None
        if self.backend is None:
            self.backend = self.proxy.upstream.connect(LONGEST_ANSWER)
        self.backend.request(self.command, self.path, body or None, headers)
        answer = self.backend.getresponse()
        self.used_at = time.monotonic()
        return answer

    def _answer(self, answer: http.client.HTTPResponse, content: bytes, *, most: int | None = None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:most])
        self.close_connection |= most is not None

    def _refuse(self, fault: Fault) -> None:
        content = fault.answer()
        self.send_response_only(fault.status)
        self.send_header("Content-Type", "application/json")
        if fault.retry_after is not None:
            self.send_header("Retry-After", str(fault.retry_after))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _relay(self, answer: http.client.HTTPResponse, resource: str) -> None:
        """Passes a watch on line by line, until one of both sides ends it."""
        plan = self.proxy.plan
        disturber = Disturber(resource, self.proxy.history, plan.watch_fault, plan.chance)
        lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_read_lines, args=(answer, lines), name=f"watch-{resource}", daemon=True).start()
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        try:
            while not self._is_gone():
                with suppress(queue.Empty):
                    line = lines.get(timeout=TICK)
                    if not line:
                        self._send_chunk(b"")
                        break
                    self._send_lines(disturber.take(line))
                self._send_lines(disturber.tick() if lines.empty() else [])
        except Cut:
            self._reset()
        finally:
            self.close_connection = True
            self._drop_backend()

    def _drop_backend(self) -> None:
        """Ends the watch of the API server: its reader is woken by the end of the connection."""
        if self.backend is not None and self.backend.sock is not None:
            with suppress(OSError):
                self.backend.sock.shutdown(socket.SHUT_RDWR)

    def _send_lines(self, lines: list[bytes]) -> None:
        for line in lines:
            self._send_chunk(line)

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _keep_waiting(self) -> None:
        end = time.monotonic() + LONGEST_ANSWER
        while time.monotonic() < end and not self._is_gone():
            time.sleep(TICK)
        self._reset()

    def _is_gone(self) -> bool:
        """The client has closed its side, or the connection was broken here."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _reset(self) -> None:
        """Breaks the connection with a RST, as a machine or a load balancer that dies does."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _read_lines(answer: http.client.HTTPResponse, lines: queue.Queue[bytes]) -> None:
    """Puts every line of a watch into the queue, and an empty one when there are no more."""
    with suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
        while line := answer.readline():
            if line.strip():
                lines.put(line)
    lines.put(b"")


def _name_in(body: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["metadata"]["name"])
    return ""
