"""The public HTTP API as a user calls it, with nothing but the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from secflow.runtime.errors import StandError

_TIMEOUT = 60.0
_PREFIX = "/api/workflow"


class ApiError(StandError):
    """The API refused a call; `status` is the HTTP status."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiClient:
    """Calls with one user's token. Paths are relative to /api/workflow; ids in them are quoted."""

    def __init__(self, url: str, *, username: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._token = ""
        try:
            answer = self._send("POST", "/api/token/", {"username": username, "password": password})
        except ApiError as err:
            if err.status != 401:
                raise
            raise StandError(
                f"The API does not accept the password of {username}: set DJANGO_SUPERUSER_PASSWORD to the right one."
            ) from err
        self._token = answer["access"]

    def get(self, *path: str, **query: str) -> Any:
        """GET; returns the decoded answer. Raises ApiError."""
        tail = f"?{urlencode(query)}" if query else ""
        return self._send("GET", _PREFIX + _joined(path) + tail, None)

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST."""
        return self._send("POST", _PREFIX + _joined(path), body)

    def put(self, *path: str, body: Mapping[str, Any]) -> Any:
        """PUT."""
        return self._send("PUT", _PREFIX + _joined(path), body)

    def delete(self, *path: str) -> Any:
        """DELETE."""
        return self._send("DELETE", _PREFIX + _joined(path), None)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        request = urllib.request.Request(  # noqa: S310  the address is our own
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as err:
            with err:
                text = err.read(4096).decode("utf-8", "replace")
            raise ApiError(f"{method} {path} answered {err.code}: {text}", status=err.code) from err
        except (urllib.error.URLError, TimeoutError, ConnectionError) as err:
            reason = getattr(err, "reason", err)
            raise StandError(f"{self._url} does not answer ({reason}): is SecFlow running?") from err


def _joined(path: tuple[str, ...]) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in path)
