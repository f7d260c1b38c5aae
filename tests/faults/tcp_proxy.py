"""A real proxy before PostgreSQL or Valkey, whose connections break as a network breaks them."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 65536
# A simple query of PostgreSQL's protocol: type, length, text, NUL.
_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
_REMEMBERED = 200_000  # bytes of one transaction that are searched for the mark


class Proxy:
    """Forwards what comes to `port` to an address (host, port) or the path of a Unix socket, until it is told otherwise."""

    def __init__(self, upstream: tuple[str, int] | Path) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._commit_mark: bytes | None = None
        self.commits_lost = 0
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        threading.Thread(target=self._accept, args=(listener,), name="proxy", daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                _reset(client)
                continue
            link = _Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()

    def _connect(self) -> socket.socket:
        if isinstance(self._upstream, Path):
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._upstream))
            return server
        return socket.create_connection(self._upstream, timeout=None)

    def cut(self) -> int:
        """Resets every connection; new ones are taken. Returns how many there were."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens any more, and what was connected is reset."""
        # A close does not wake a thread that waits in accept.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        try:
            yield
        finally:
            self._listener = self._listen(self.port)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Half-open: every connection stays, also those that are made now, and not a byte comes through."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def stall_those_of_now(self, *, that_said: bytes = b"") -> int:
        """Half-open for good: the connections of now, over which `that_said` went from the client, carry nothing any more."""
        with self._lock:
            chosen = [link for link in self._links if that_said in link.said]
        for link in chosen:
            link.is_dead = True
        return len(chosen)

    def lose_answer_of_commit(self, mark: bytes) -> None:
        """The next transaction that sent `mark` is committed, and its connection breaks before the client hears of it."""
        self._commit_mark = mark

    def is_lost(self, said: bytes) -> bool:
        """Whether this is the end of the transaction whose answer is to be lost. Asked once for it."""
        with self._lock:
            mark = self._commit_mark
            if mark is None or not said.endswith(_COMMIT) or mark not in said:
                return False
            self._commit_mark = None
            return True

    def forget(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)

    def wait_flow(self) -> None:
        self._flowing.wait()

    def close(self) -> None:
        """Ends everything."""
        self._flowing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


class _Link:
    """One connection: two threads, one for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self.said = b""  # the newest of what the client sent
        self.is_dead = False
        self._loses_answer = False

    def start(self) -> None:
        for pump in (self._up, self._down):
            threading.Thread(target=pump, name="proxy-link", daemon=True).start()

    def _up(self) -> None:
        self._pump(self._client, self._server, self._look)

    def _down(self) -> None:
        self._pump(self._server, self._client, self._drop_if_lost)

    def _pump(self, source: socket.socket, target: socket.socket, look: object) -> None:
        assert callable(look)
        try:
            while data := source.recv(_CHUNK):
                self._proxy.wait_flow()
                if self.is_dead:
                    continue
                if look(data):
                    return
                target.sendall(data)
        except OSError:
            pass  # it was reset, from either side or by a test
        finally:
            if not self.is_dead:
                self.reset()

    def _look(self, data: bytes) -> bool:
        self.said = (self.said + data)[-_REMEMBERED:]
        if self._proxy.is_lost(self.said):
            self._loses_answer = True
        if self.said.endswith(_COMMIT):
            self.said = b""
        return False

    def _drop_if_lost(self, data: bytes) -> bool:
        if self._loses_answer:
            # The database has answered, so it has committed.
            self._proxy.commits_lost += 1
            self.reset()
        return self._loses_answer

    def reset(self) -> None:
        """RST to both ends."""
        self._proxy.forget(self)
        for end in (self._client, self._server):
            _reset(end)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
