"""A reverse proxy before the real server, which loses answers, is busy, speaks TLS, or goes away, as proxies do."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_OUTAGE = b'{"code": "INTERNAL_ERROR", "message": "the database is not usable at the moment", "details": {}}'
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host"})


@dataclass(frozen=True)
class Call:
    """A request that came to the front."""

    method: str
    path: str
    headers: dict[str, str]


class Front(ThreadingHTTPServer):
    """Forwards everything to `upstream` until it is told otherwise. `calls` are those that came, in order."""

    daemon_threads = True

    def __init__(self, upstream: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.calls: list[Call] = []
        self._open: set[socket.socket] = set()
        self.losing: list[Callable[[Call], bool]] = []
        self.failing: list[Callable[[Call], bool]] = []
        self.busy: list[Callable[[Call], bool]] = []
        self.missing: Callable[[Call], bool] = lambda call: False
        self.retry_after = "1"
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}"

    def lose_answer(self, is_it: Callable[[Call], bool]) -> None:
        """The next such request is carried out, and the connection breaks before its answer."""
        self.losing.append(is_it)

    def fail_after(self, is_it: Callable[[Call], bool]) -> None:
        """The next such request is carried out, and an outage comes before its answer."""
        self.failing.append(is_it)

    def be_busy(self, is_it: Callable[[Call], bool], *, times: int = 1, retry_after: str = "1") -> None:
        """The next such requests are answered 503."""
        self.retry_after = retry_after
        self.busy += [is_it] * times

    def cut(self) -> None:
        """Breaks every connection that is open, as a proxy that is restarted does."""
        for link in list(self._open):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def handle_one(self) -> None:
        call = Call(self.command, self.path, dict(self.headers))
        self.server.calls.append(call)
        if self.server.missing(call):
            self._answer(
                404, b'{"code": "NOT_FOUND", "message": "there is no route", "details": {"resource": "route"}}'
            )
        elif _takes(self.server.busy, call):
            self._answer(503, b"busy", {"Retry-After": self.server.retry_after, "Content-Type": "text/plain"})
        else:
            self._forward(call)

    do_GET = do_POST = do_PUT = do_DELETE = handle_one

    def _forward(self, call: Call) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=120)
        try:
            headers = {name: value for name, value in call.headers.items() if name.lower() not in _HOP}
            connection.request(call.method, call.path, body or None, headers)
            answer = connection.getresponse()
            if _takes(self.server.losing, call):
                answer.read()
                return
            if _takes(self.server.failing, call):
                answer.read()
                self._answer(500, _OUTAGE, {"Retry-After": "1"})
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.end_headers()
            while chunk := answer.read1(65536):
                self.wfile.write(chunk)
                self.wfile.flush()
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            **(headers or {}),
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


def _takes(waiting: list[Callable[[Call], bool]], call: Call) -> bool:
    """Whether the call is one that is waited for; then it is not waited for any more."""
    for is_it in waiting:
        if is_it(call):
            waiting.remove(is_it)
            return True
    return False


@contextmanager
def front_of(upstream: int, tls: ssl.SSLContext | None = None) -> Iterator[Front]:
    """A front that serves meanwhile."""
    with Front(upstream, tls) as front:
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield front
        finally:
            with suppress(OSError):
                front.shutdown()
            thread.join()
