"""The API as the commands use it: answers are decoded, refusals are errors with a hint, tokens are kept fresh."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from secflow.cli.errors import Unreachable
from secflow.cli.refusals import details_of, refusal
from secflow.cli.routes import LIST_INSTANCES, READ_EVENTS, Route
from secflow.cli.transport import Answer, Transport

if TYPE_CHECKING:
    import httpx

Json = dict[str, Any]
Query = Mapping[str, str | int | bool | None]
PAGE = 100


class Credentials(Protocol):
    """Who calls."""

    def token(self) -> str:
        """The access token. Raises NotLoggedIn."""

    def another(self, refused: str) -> str | None:
        """A newer token than the one that was refused, or None when there is none to be had."""


class Client:
    """Calls of one user to one server."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials
        self.url = transport.server.url

    def get(self, route: Route, *, query: Query | None = None, **ids: str) -> Any:
        """The decoded answer of a read."""
        return self._decoded(self._call(route, ids, query=query, may_repeat=True), route)

    def text(self, route: Route, *, accept: str, **ids: str) -> str:
        """The answer of a read as text."""
        return self._call(route, ids, may_repeat=True, headers={"Accept": accept}).content.decode("utf-8", "replace")

    def act(
        self,
        route: Route,
        *,
        body: Json | None = None,
        key: str | None = None,
        is_final: Callable[[Any], bool] | None = None,
        **ids: str,
    ) -> Any:
        """The decoded answer of a verb. A lost answer is asked for again: with the same `key` nothing happens twice, and the verbs
        without one find what they did; `Refused.after_lost_answer` then tells. An outage whose details are `is_final` is not.
        """
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        content = None if body is None else json.dumps(body).encode()
        return self._decoded(
            self._call(route, ids, headers=headers, content=content, may_repeat=True, is_final=is_final), route
        )

    def send(self, route: Route, content: bytes, *, content_type: str, query: Query | None = None) -> Any:
        """The decoded answer to a document, which may be sent twice."""
        headers = {"Content-Type": content_type}
        return self._decoded(
            self._call(route, {}, query=query, headers=headers, content=content, may_repeat=True), route
        )

    def instances(self, *, limit: int | None = None, **filters: str | None) -> tuple[list[Json], int]:
        """Instances, newest first, at most `limit`, and how many there are in all."""
        found: list[Json] = []
        page = 1
        while True:
            size = PAGE if limit is None else min(PAGE, limit)
            answer = self.get(LIST_INSTANCES, query={**filters, "page": page, "page_size": size})
            found += answer["items"]
            if len(found) >= (answer["total"] if limit is None else min(limit, answer["total"])) or not answer["items"]:
                return found[:limit], answer["total"]
            page += 1

    @contextmanager
    def event_stream(self, *, query: Query, last_id: str, silence: float) -> Iterator[httpx.Response]:
        """The stream of events; its status is not looked at."""
        headers = self._headers({"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {}))
        with self._transport.stream(READ_EVENTS.at(), headers=headers, query=_words(query), silence=silence) as found:
            yield found

    def _call(
        self,
        route: Route,
        ids: Mapping[str, str],
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        may_repeat: bool,
        is_final: Callable[[Any], bool] | None = None,
    ) -> Answer:
        path = route.at(**ids)

        def once(all_headers: Mapping[str, str]) -> Answer:
            return self._transport.send(
                route.method,
                path,
                headers=all_headers,
                query=_words(query),
                content=content,
                may_repeat=may_repeat,
                is_final=lambda answer: is_final is not None and is_final(details_of(answer)),
            )

        sent = self._headers(headers or {})
        answer = once(sent)
        if answer.status == 401:
            newer = self._credentials.another(sent["Authorization"].removeprefix("Bearer "))
            if newer is not None:
                answer = once({**sent, "Authorization": f"Bearer {newer}"})
        if answer.status >= 300:
            raise refusal(answer, what=f"{route.method} {path}", url=self.url)
        return answer

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        # The words of the life cycle, whatever the server's own setting is.
        fixed = {"Authorization": f"Bearer {self._credentials.token()}", "X-SecFlow-Status-Dialect": "seed"}
        return {**fixed, **headers}

    def _decoded(self, answer: Answer, route: Route) -> Any:
        return decoded(answer, what=f"{route.method} {route.path}", url=self.url)


def decoded(answer: Answer, *, what: str, url: str) -> Any:
    """The JSON of an answer. Raises Unreachable when it is none: something else answers there."""
    try:
        return json.loads(answer.content)
    except ValueError as err:
        raise Unreachable(
            f"{url} answers to {what}, but not as SecFlow does", hint="Is the address right? See `secflow version`."
        ) from err


def new_key() -> str:
    """An idempotency key that nobody used before."""
    return str(uuid.uuid4())


def _words(query: Query | None) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
