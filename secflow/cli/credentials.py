"""Tokens: got by name and password, kept in the context file, refreshed before they expire."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

from secflow.cli.contexts import Context, ContextFile
from secflow.cli.errors import NotLoggedIn, UsageProblem
from secflow.cli.refusals import LOG_IN, refusal
from secflow.cli.routes import BLACKLIST_TOKEN, CREATE_TOKEN, REFRESH_TOKEN, Route
from secflow.cli.transport import Answer, Transport

_EARLY = 30.0  # an access token is renewed this long before its end
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)  # RFC 6750, as the server reads it


def checked_token(token: str, *, source: str) -> str:
    """The token. Raises UsageProblem, which does not show it, when no server can take it for one."""
    if not _TOKEN.fullmatch(token):
        raise UsageProblem(
            f"{source} holds no token",
            hint="A token is one word of letters, digits and - . _ ~ + /; was something else copied with it?",
        )
    return token


class GivenToken:
    """A token out of SECFLOW_TOKEN: used as it is. Raises UsageProblem when it cannot be one."""

    def __init__(self, token: str) -> None:
        self._token = checked_token(token, source="SECFLOW_TOKEN")

    def token(self) -> str:
        return self._token

    def another(self, refused: str) -> str | None:
        return None


class NoToken:
    """Nobody is logged in there."""

    def __init__(self, url: str) -> None:
        self._url = url

    def token(self) -> str:
        raise NotLoggedIn(f"you are not logged in at {self._url}", hint=LOG_IN)

    def another(self, refused: str) -> str | None:
        return None


class KeptTokens:
    """The pair of one context. Commands that run at the same time share each refresh: the token for it works only once."""

    def __init__(self, file: ContextFile, name: str, transport: Transport) -> None:
        self._file = file
        self._name = name
        self._transport = transport
        self._kept = file.read().known[name]

    def token(self) -> str:
        if self._kept.access and not _is_over(self._kept.access):
            return self._kept.access
        if not self._kept.access:
            raise NotLoggedIn(f"you are not logged in at {self._kept.url}", hint=LOG_IN)
        return self._renewed(self._kept.access) or self._kept.access

    def another(self, refused: str) -> str | None:
        return self._renewed(refused)

    def _renewed(self, old: str) -> str | None:
        with self._file.locked():
            self._kept = self._file.read().known.get(self._name, Context(url=self._kept.url))
            if self._kept.access and self._kept.access != old:
                return self._kept.access  # another command was quicker
            if not self._kept.refresh or _is_over(self._kept.refresh, early=0):
                return None
            answer = post(self._transport, REFRESH_TOKEN, {"refresh": self._kept.refresh})
            if answer.status == 401:
                return None
            pair = _pair(answer, REFRESH_TOKEN, self._transport)
            self._file.change(self._name, **pair)
            self._kept = self._file.read().known[self._name]
            return pair["access"]


def log_in(transport: Transport, username: str, password: str) -> dict[str, str]:
    """A new pair, as fields of a context. Raises NotLoggedIn when name and password do not fit."""
    answer = post(transport, CREATE_TOKEN, {"username": username, "password": password})
    if answer.status == 401:
        raise NotLoggedIn(
            f"{transport.server.url} does not accept this name and password",
            hint="Try again; an administrator can set a new password in the console.",
        )
    if answer.status == 404:
        raise NotLoggedIn(
            f"{transport.server.url} takes the tokens of another service",
            hint="Get a token there and give it: `secflow login --token-stdin`, or SECFLOW_TOKEN.",
        )
    return _pair(answer, CREATE_TOKEN, transport)


def log_out(transport: Transport, refresh: str) -> None:
    """Makes the refresh token worthless, if the server still knows it."""
    answer = post(transport, BLACKLIST_TOKEN, {"refresh": refresh})
    if answer.status not in (200, 401, 404):
        raise refusal(answer, what="POST", url=transport.server.url)


def post(transport: Transport, route: Route, body: dict[str, str]) -> Answer:
    """One request without a token."""
    headers = {"Content-Type": "application/json"}
    content = json.dumps(body).encode()
    # A second use of a refresh token is refused, so a lost answer is not asked for again.
    return transport.send(
        route.method, route.at(), headers=headers, content=content, may_repeat=route is CREATE_TOKEN, tries=3
    )


def _pair(answer: Answer, route: Route, transport: Transport) -> dict[str, str]:
    if answer.status >= 300:
        raise refusal(answer, what=f"{route.method} {route.path}", url=transport.server.url)
    try:
        body = json.loads(answer.content)
        return {"access": str(body["access"]), "refresh": str(body["refresh"])}
    except (ValueError, KeyError, TypeError):
        foreign = Answer(502, answer.headers, b"")
        raise refusal(foreign, what=route.path, url=transport.server.url) from None


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified; {} when it is none."""
    try:
        middle = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_over(token: str, *, early: float = _EARLY) -> bool:
    end = claims_of(token).get("exp")
    return isinstance(end, int | float) and time.time() >= end - early
