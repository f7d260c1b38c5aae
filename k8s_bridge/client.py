"""The one door to the official Kubernetes client: its configuration, its authentication and its connection pool.

Answers are raw JSON. The typed models cost several times as much time and memory, and SecFlow reads few of their
fields.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import orjson
import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning, NewConnectionError
from urllib3.exceptions import TimeoutError as Urllib3Timeout
from urllib3.util.ssl_ import create_urllib3_context

from k8s_bridge.errors import (
    ClusterError,
    NotAllowed,
    NotConfigured,
    Rejected,
    ServerTrouble,
    Unreachable,
    error_from_answer,
)
from k8s_bridge.kinds import describe_call

logger = logging.getLogger(__name__)

BODY_LIMIT = 1024 * 1024  # bytes; etcd refuses objects above 1.5 MiB, and a manifest near that is a mistake
ERROR_BODY_LIMIT = 64 * 1024

Json = dict[str, Any]

# One for all clients of the process: the official loader keeps the certificates of all of them in one table, and names
# a file there before it has written it. A fork waits for it, so that a child finds neither half a file nor a lock that
# nobody will give back.
_lock = threading.RLock()
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class ClusterClient:
    """Sends requests to one cluster and gives raw JSON back. Safe for many threads, and for processes forked at any
    time.

    `kubeconfig` is a path; None means the service account of the pod we run in. All failures are ClusterErrors. Nothing
    is retried in here. Credentials that the kubeconfig refreshes are followed; after a 401, or when the server is not
    reachable and the file has changed, the configuration is read anew for the next call.
    """

    def __init__(
        self,
        kubeconfig: str | None,
        *,
        context: str | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        pool_size: int = 16,
    ) -> None:
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self._kubeconfig = kubeconfig
        self._context = context
        self._pool_size = pool_size
        self._connection: _Connection | None = None
        self._counts: Counter[str] = Counter()
        self._pid = os.getpid()

    @property
    def counts(self) -> dict[str, int]:
        """How many requests this process has sent, by "verb resource"."""
        with _lock:
            return dict(self._counts)

    @property
    def server(self) -> str:
        """The address of the API server. Raises NotConfigured."""
        return self._connected().host

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        timeout: float | None = None,
    ) -> Json:
        """The JSON object that the server answers. `timeout` in seconds replaces the read timeout, here and at the
        server.
        """
        seconds = self.read_timeout if timeout is None else timeout
        # The server gives up when we do: it must not go on with a call nobody waits for.
        asked = {**(query or {}), "timeout": f"{max(1, round(seconds))}s"}
        data = self._read(method, path, asked, body, seconds)
        try:
            answer = orjson.loads(data)
        except ValueError as err:
            raise ServerTrouble(f"The answer to {method} {path} is not JSON: {data[:200]!r}") from err
        if not isinstance(answer, dict):
            raise ServerTrouble(f"The answer to {method} {path} is not a JSON object.")
        return answer

    def read_text(self, path: str, *, query: Mapping[str, str] | None = None, most: int | None = None) -> str:
        """The text at `path`, or of one with more than `most` bytes the end, from the beginning of a line if one begins
        in its first half. Bytes that are no UTF-8 are replaced.
        """
        response = self._send("GET", path, query or {}, None, self.read_timeout)
        try:
            return (response.read() if most is None else _end(response, most)).decode("utf-8", "replace")
        except (HTTPError, OSError) as err:
            raise _no_answer(err, f"{self.server}{path}") from err
        finally:
            response.release_conn()

    def stream(self, path: str, *, query: Mapping[str, str], silence: float, longest: int | None = None) -> Stream:
        """The lines at `path` as they come. No byte for `silence` seconds ends the stream with Unreachable.

        Of a line with more than `longest` bytes the rest is left out.
        """
        response = self._send("GET", path, query, None, silence)
        return Stream(response, f"{self.server}{path}", longest=longest)

    def close(self) -> None:
        """Drops all connections. The client stays usable: the next call opens new ones."""
        with _lock:
            connection, self._connection = self._connection, None
        if connection is not None and connection.pid == os.getpid():
            connection.pool.clear()

    def _read(self, method: str, path: str, query: Mapping[str, str], body: Json | None, seconds: float) -> bytes:
        response = self._send(method, path, query, body, seconds)
        try:
            return response.read()
        except (HTTPError, OSError) as err:
            raise _no_answer(err, f"{self.server}{path}") from err
        finally:
            response.release_conn()

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Json | None, seconds: float
    ) -> urllib3.BaseHTTPResponse:
        payload = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        if payload is not None and len(payload) > BODY_LIMIT:
            raise Rejected(
                f"The object is {len(payload)} bytes of JSON, a cluster takes at most {BODY_LIMIT}: make it smaller."
            )
        connection = self._connected()
        verb, resource = describe_call(method, path, query)
        with _lock:
            self._counts[f"{verb} {resource}"] += 1
            headers = {**connection.authentication(), "Accept": "application/json", "User-Agent": "secflow"}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = connection.pool.request(
                method,
                connection.host + path + _encoded(query),
                body=payload,
                headers=headers,
                timeout=urllib3.Timeout(connect=self.connect_timeout, read=seconds),
                retries=False,
                preload_content=False,
            )
        except (HTTPError, OSError) as err:
            self._forget(connection, only_if_changed=True)
            raise _no_answer(err, connection.host) from err
        if 200 <= response.status < 300:
            return response
        raise self._refusal(response, connection, verb, resource)

    def _refusal(
        self, response: urllib3.BaseHTTPResponse, connection: _Connection, verb: str, resource: str
    ) -> ClusterError:
        try:
            body = response.read(ERROR_BODY_LIMIT)
        except (HTTPError, OSError) as err:
            return _no_answer(err, connection.host)
        finally:
            response.close()
        error = error_from_answer(
            response.status, body, verb=verb, resource=resource, retry_after=response.headers.get("Retry-After")
        )
        if isinstance(error, NotAllowed) and response.status == 401:
            self._forget(connection, only_if_changed=False)
        return error

    def _connected(self) -> _Connection:
        with _lock:
            # A forked child must not write into its parent's sockets.
            if self._connection is None or self._connection.pid != os.getpid():
                if self._pid != os.getpid():
                    self._pid, self._counts = os.getpid(), Counter()
                self._connection = _connect(self._kubeconfig, self._context, self._pool_size)
            return self._connection

    def _forget(self, connection: _Connection, *, only_if_changed: bool) -> None:
        if only_if_changed and connection.stamp == _stamp(self._kubeconfig):
            return
        with _lock:
            if self._connection is connection:
                self._connection = None


class Stream:
    """Lines of one answer, as bytes, as they arrive. Ends when the server ends it; a broken connection raises
    Unreachable.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, address: str, *, longest: int | None = None) -> None:
        self._response = response
        self._address = address
        self._longest = longest

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        try:
            for chunk in self._chunks():
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line[: self._longest] for line in lines if line.strip())
                # One byte more than is shown, so that a line is not taken for complete; nothing grows without end.
                if self._longest is not None:
                    rest = rest[: self._longest + 1]
        except (HTTPError, OSError, ValueError, AttributeError) as err:
            # ValueError and AttributeError: the buffers were taken away by `interrupt` while this thread read.
            raise _no_answer(err, self._address) from err
        if rest.strip():
            yield rest[: self._longest]
        self._response.release_conn()

    def _chunks(self) -> Iterator[bytes]:
        if self._response.chunked:
            yield from self._response.stream(2**16)
            return
        while data := cast(Any, self._response).read1(2**16):
            yield data

    def interrupt(self) -> None:
        """Wakes a thread that waits for the next line. May be called from any thread, at any time."""
        try:
            cast(Any, self._response).shutdown()
        except (RuntimeError, ValueError, OSError):
            return  # finished already: there is nobody to wake

    def close(self) -> None:
        """Gives the connection up. Call it from the thread that reads."""
        self._response.close()


@dataclass(frozen=True, slots=True)
class _Connection:
    """The official client's parts for one process."""

    pid: int
    host: str
    pool: urllib3.PoolManager
    api_client: Any
    stamp: tuple[int, int] | None = field(compare=False)

    def authentication(self) -> dict[str, str]:
        """The headers that identify us, refreshed by the official client when they are due."""
        headers: dict[str, str] = {}
        self.api_client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        return headers


def _connect(kubeconfig: str | None, context: str | None, pool_size: int) -> _Connection:
    # Imported here: it takes the better part of a second, and most importers of this package never talk to a cluster.
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration

    stamp = _stamp(kubeconfig)
    configuration = Configuration()
    loaders: Any = config  # untyped
    try:
        if kubeconfig is None:
            loaders.load_incluster_config(client_configuration=configuration)
        else:
            loaders.load_kube_config(kubeconfig, context, configuration, persist_config=False)
        configuration.connection_pool_maxsize = pool_size
        api_client = ApiClient(configuration)
        pool = api_client.rest_client.pool_manager
        _pin_tls(pool)
        if not configuration.verify_ssl:
            # Said once here instead of at every request.
            logger.warning("the kubeconfig turns off the check of the certificate of %s", configuration.host)
            urllib3.disable_warnings(InsecureRequestWarning)
    except Exception as err:
        # The loader raises anything from KeyError to yaml errors for a file it cannot use; all mean the same here.
        where = "the pod's service account" if kubeconfig is None else f"the kubeconfig {kubeconfig}"
        raise NotConfigured(f"No cluster can be used: {where} cannot be loaded: {err}") from err
    return _Connection(os.getpid(), configuration.host.rstrip("/"), pool, api_client, stamp)


def _pin_tls(pool: urllib3.PoolManager) -> None:
    """Loads the certificates now instead of at every new connection.

    The kubeconfig loader writes them into temporary files and removes those when a process ends; a forked child that
    ends would take them away from its parent.
    """
    options = pool.connection_pool_kw
    taken = {key: options.pop(key, None) for key in ("ca_certs", "ca_cert_data", "cert_file", "key_file")}
    context = create_urllib3_context(cert_reqs=options["cert_reqs"])
    if taken["ca_certs"] or taken["ca_cert_data"]:
        context.load_verify_locations(cafile=taken["ca_certs"], cadata=taken["ca_cert_data"])
    else:
        context.load_default_certs()
    if taken["cert_file"]:
        context.load_cert_chain(taken["cert_file"], taken["key_file"])
    options["ssl_context"] = context


def _end(response: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """The last bytes of an answer, of which never much more is held in memory."""
    end = bytearray()
    for part in response.stream(2**16):
        end += part
        if len(end) > 2 * most + 2**16:
            del end[: -most - 1]
    if len(end) > most:
        # One byte more tells whether the cut is at the beginning of a line.
        del end[: -most - 1]
        begin = end.find(b"\n", 0, most // 2 + 1) + 1
        del end[: begin or 1]
    return bytes(end)


def _stamp(kubeconfig: str | None) -> tuple[int, int] | None:
    """Tells one content of the file from the next."""
    try:
        found = Path(kubeconfig).stat() if kubeconfig else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None


def _encoded(query: Mapping[str, str]) -> str:
    return f"?{urlencode(query)}" if query else ""


def _no_answer(err: Exception, address: str) -> Unreachable:
    # For urllib3 a refused connection is a kind of timeout; for people it is not.
    if isinstance(err, (Urllib3Timeout, TimeoutError)) and not isinstance(err, NewConnectionError):
        return Unreachable(f"The cluster at {address} did not answer in time: {err}")
    return Unreachable(f"The cluster at {address} cannot be reached: {err}")
