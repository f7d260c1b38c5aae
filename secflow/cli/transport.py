"""One HTTP connection to one server: TLS by the system's store, bounded waits, repeats of what may be repeated."""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from secflow.cli.errors import Unreachable, UsageProblem

if TYPE_CHECKING:
    import ssl

    import httpx

TRIES = 5
CONNECT_TRIES = 3  # nobody listens: that seldom heals, and people wait for the answer
LONGEST_PAUSE = 30.0
_BUSY = frozenset({429, 503})  # nothing was done
# It may have been carried out: an outage may come after it (500), and a proxy in between does not know what became of it.
_LOST = frozenset({500, 502, 504})
_SENDABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_SOURCES = {"Authorization": "the token", "Idempotency-Key": "the key"}


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is and how it is trusted."""

    url: str
    ca_file: str = ""
    insecure: bool = False
    timeout: float = 30.0

    @property
    def is_local(self) -> bool:
        """Whether what is sent to it does not leave this machine."""
        return (urlsplit(self.url).hostname or "") in ("localhost", "127.0.0.1", "::1")


def server_url(text: str) -> str:
    """`text` as the address of a server, without a path at its end. Raises UsageProblem."""
    given = text.strip()
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise _no_address(given) from None
    if not is_good or re.search(r"\s", given) or parts.username or parts.password or parts.query or parts.fragment:
        raise _no_address(given)
    path = parts.path.rstrip("/").removesuffix("/api/workflow").removesuffix("/admin")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def _no_address(given: str) -> UsageProblem:
    return UsageProblem(
        f"{given!r} is no address of a server", hint="Write it as https://secflow.example.org, without a user."
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `after_lost_answer`: an earlier try of this request may have been carried out."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    after_lost_answer: bool = False


class Transport:
    """Sends requests to one server, each at most `tries` times. Redirects are not followed: a token goes to nobody else."""

    def __init__(self, server: Server, *, tries: int = TRIES) -> None:
        self.server = server
        self._tries = tries

    @cached_property
    def _http(self) -> httpx.Client:
        # Half of the start of a short command would be this import.
        import httpx

        try:
            return httpx.Client(
                base_url=self.server.url,
                verify=self._trust(),
                timeout=httpx.Timeout(self.server.timeout, connect=min(10.0, self.server.timeout)),
                follow_redirects=False,
                trust_env=not self.server.is_local,  # no proxy between two processes of one machine
                headers={"User-Agent": "secflow-cli", "Accept": "application/json"},
            )
        except httpx.InvalidURL as err:
            raise _no_address(self.server.url) from err

    def _trust(self) -> ssl.SSLContext | bool:
        if self.server.url.startswith("http://"):
            return False
        import ssl

        trusted = ssl.create_default_context()
        if self.server.insecure:
            trusted.check_hostname = False
            trusted.verify_mode = ssl.CERT_NONE
        elif self.server.ca_file:
            try:
                trusted.load_verify_locations(cafile=self.server.ca_file)
            except (OSError, ssl.SSLError) as err:
                reason = err.strerror if isinstance(err, OSError) and err.strerror else "it is no certificate"
                raise UsageProblem(
                    f"the CA file {self.server.ca_file} cannot be used: {reason}", hint="Give a file in PEM form."
                ) from err
        return trusted

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        may_repeat: bool,
        tries: int = TRIES,
        is_final: Callable[[Answer], bool] = lambda answer: False,
    ) -> Answer:
        """The answer, of whatever status. What was certainly not carried out is sent again; with `may_repeat` also what may have
        been, unless the answer `is_final`. Raises Unreachable, and UsageProblem for a header that HTTP does not allow.
        """
        import httpx

        _demand_sendable(headers)
        tries = min(tries, self._tries)
        lost = False
        for attempt in range(1, tries + 1):
            try:
                found = self._http.request(method, path, params=query, content=content, headers=dict(headers))
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as err:
                if attempt >= min(tries, CONNECT_TRIES) or _is_hopeless(err):
                    raise unreachable(self.server, err) from err
                pause = _pause(attempt)
            except httpx.LocalProtocolError:
                raise  # a fault of this command, which the network does not heal
            except httpx.TransportError as err:
                lost = True
                if not may_repeat or attempt == tries:
                    raise unreachable(self.server, err) from err
                pause = _pause(attempt)
            else:
                answer = Answer(found.status_code, found.headers, found.content, lost)
                wanted = _asked_pause(found.headers)
                lost = lost or answer.status in _LOST
                heals = _heals(answer.status, wanted, may_repeat) and (wanted or 0) <= LONGEST_PAUSE
                if attempt == tries or not heals or is_final(answer):
                    return answer
                pause = _pause(attempt) if wanted is None else wanted
            _wait(pause)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str], query: Mapping[str, str], silence: float
    ) -> Iterator[httpx.Response]:
        """An answer that goes on. A server that says nothing for `silence` seconds is given up.

        Raises Unreachable, and UsageProblem for a header that HTTP does not allow.
        """
        import httpx

        _demand_sendable(headers)
        timeout = httpx.Timeout(self.server.timeout, connect=10.0, read=silence)
        try:
            with self._http.stream("GET", path, params=query, headers=dict(headers), timeout=timeout) as found:
                yield found
        except httpx.LocalProtocolError:
            raise
        except httpx.TransportError as err:
            raise unreachable(self.server, err) from err


def _heals(status: int, asked: float | None, may_repeat: bool) -> bool:
    """Whether the same request may succeed in a moment."""
    if status in _BUSY:
        return True
    # A 500 without a pause is no outage, but a fault that stays.
    return may_repeat and status in _LOST and (status != 500 or asked is not None)


def _demand_sendable(headers: Mapping[str, str]) -> None:
    """Raises UsageProblem for a value that no header may have. It does not show the value: it may be a token."""
    for name, value in headers.items():
        if not _SENDABLE.fullmatch(value):
            raise UsageProblem(
                f"{_SOURCES.get(name, name)} has characters that HTTP does not allow",
                hint="Give visible ASCII characters, in one line.",
            )


def _asked_pause(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def _pause(attempt: int) -> float:
    return min(4.0, 0.2 * 2 ** (attempt - 1)) * random.uniform(0.8, 1.2)  # noqa: S311  spreads clients, hides nothing


def _wait(pause: float) -> None:
    if pause >= 2 and sys.stderr.isatty():
        sys.stderr.write(f"The server is busy; trying again in {pause:.0f} s.\n")
    time.sleep(pause)


def _is_hopeless(error: Exception) -> bool:
    return "CERTIFICATE" in str(error).upper() or "SSL" in str(error).upper()


def unreachable(server: Server, error: Exception) -> Unreachable:
    """What a failed connection means, and what helps."""
    text = str(error)
    where = server.url
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.rpartition("CERTIFICATE_VERIFY_FAILED]")[2].partition("(_ssl")[0]
        return Unreachable(
            f"the certificate of {where} is not trusted:{reason.rstrip()}",
            hint="Give the certificate of its authority with --ca-file FILE; --insecure is for a try-out on your own network.",
        )
    if _is_hopeless(error):
        return Unreachable(
            f"{where} does not speak TLS as it should ({text})",
            hint="Is it http:// instead of https://, or another port?",
        )
    if type(error).__name__ in ("ReadTimeout", "WriteTimeout", "ConnectTimeout", "PoolTimeout"):
        return Unreachable(
            f"{where} does not answer in time",
            hint="Try again, or give it longer with --request-timeout 60; `make doctor` on the server checks its parts.",
        )
    local = (
        "Start a server with `make quickstart`, or"
        if server.is_local
        else "See that it runs and that you can reach it, or"
    )
    return Unreachable(
        f"no server answers at {where} ({text or type(error).__name__})",
        hint=f"{local} name another one with --url or SECFLOW_URL.",
    )
