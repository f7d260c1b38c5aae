"""A client that never believes more than it was told: an answer is a promise, and no answer means to look and to ask again."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

BASE = "/api/workflow"
ANSWER_SECONDS = 60.0  # for one request
GIVE_UP_SECONDS = 240.0  # no fault lasts nearly as long
PAUSE_SECONDS = 0.5


class Broken(Exception):
    """A promise was broken, in words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the API."""

    status: int
    body: Any

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_trouble(self) -> bool:
        """It says nothing about the request, which may have been carried out."""
        return self.status >= 500 or self.status in (408, 429)


class Counts:
    """Requests of all threads, and how many of them found no good answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        self.failed: dict[str, int] = {}

    def add(self, failure: str | None) -> None:
        with self._lock:
            self.requests += 1
            if failure:
                self.failed[failure] = self.failed.get(failure, 0) + 1


class Client:
    """Calls as the admin, for one thread."""

    def __init__(self, port: int, password: str, counts: Counts) -> None:
        self._port = port
        self._password = password
        self._counts = counts
        self._token = ""

    def ask(self, method: str, path: str, body: Any = None, *, public: bool = False, key: str = "") -> Answer | None:
        """One request. None: there was no answer, or one that says nothing."""
        extra = {"Idempotency-Key": key} if key else {}
        if public:
            return self._send(method, BASE + path, body, extra)
        if self._token:
            answer = self._send(method, BASE + path, body, {"Authorization": f"Bearer {self._token}", **extra})
            if answer is None or answer.status != 401:
                return answer
        # A token lives for some minutes only.
        login = self._send("POST", "/api/token/", {"username": "admin", "password": self._password}, {})
        if login is None or not login.is_good:
            return None
        self._token = login.body["access"]
        return self._send(method, BASE + path, body, {"Authorization": f"Bearer {self._token}", **extra})

    def _send(self, method: str, path: str, body: Any, headers: Json) -> Answer | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            answer = Answer(response.status, json.loads(response.read()))
        except (OSError, http.client.HTTPException, ValueError) as err:
            self._counts.add(type(err).__name__)
            return None
        finally:
            connection.close()
        self._counts.add(f"HTTP {answer.status}" if answer.is_trouble else None)
        return None if answer.is_trouble else answer

    def settle(
        self,
        what: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        is_done: Callable[[], object] = lambda: False,
        public: bool = False,
        key: str = "",
    ) -> Answer:
        """Asks until there is an answer. After a request without one, `is_done` tells whether it was carried out all the same.

        A refusal that comes after that is asked again as well: what was carried out may still be on its way.
        """
        end = time.monotonic() + GIVE_UP_SECONDS
        is_doubtful = False
        while True:
            answer = self.ask(method, path, body, public=public, key=key)
            if answer is not None and (answer.is_good or not is_doubtful):
                return answer
            is_doubtful = method != "GET"
            if done := is_done():
                return Answer(200, done)
            if time.monotonic() > end:
                raise Broken(f"{what} did not get through within {GIVE_UP_SECONDS:g} s: {answer}")
            time.sleep(PAUSE_SECONDS)

    def read(self, instance_id: str) -> Json | None:
        """The instance; None when it does not exist."""
        answer = self.settle(f"reading {instance_id}", "GET", f"/workflow-instances/{instance_id}")
        if answer.status == 404:
            return None
        if not answer.is_good:
            raise Broken(f"reading {instance_id} was refused: {answer}")
        found: Json = answer.body
        return found
