"""Watch streams: one JSON object a line, until the client goes, the time is up or the history has moved on."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from k8s_bridge.localcluster import selectors
from k8s_bridge.localcluster.calls import Target, flag, number
from k8s_bridge.localcluster.errors import StoreError, bad_request
from k8s_bridge.localcluster.history import StoreEvent, Watch, encode
from k8s_bridge.localcluster.negotiation import Form, wanted_form
from k8s_bridge.localcluster.store import Store
from k8s_bridge.localcluster.tables import partial, table

Object = dict[str, Any]

BOOKMARK_SECONDS: Final = 60.0
LEAST_SECONDS: Final = 1800
INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


@dataclass
class _Stream:
    """What one watcher sees: its part of the events, in its form."""

    target: Target
    form: Form
    test: selectors.Predicate | None
    include: str
    clock: Callable[[], datetime]
    header: bool = True

    def line(self, event: StoreEvent) -> bytes | None:
        """The event as this watcher sees it, None when it does not: with a selector, an object that starts to match is
        ADDED and one that stops is DELETED."""
        namespace = self.target.namespace
        if namespace is not None and event.obj["metadata"].get("namespace") != namespace:
            return None
        kind = event.type
        if self.test is not None:
            now = event.type != "DELETED" and self.test(event.obj)
            before = event.previous is not None and self.test(event.previous)
            if not now and not before:
                return None
            kind = "DELETED" if not now else "MODIFIED" if before else "ADDED"
        if self.form is Form.OBJECT:
            return event.line(kind)
        return encode({"type": kind, "object": self._shaped(event.obj)}) + b"\n"

    def _shaped(self, obj: Object) -> Object:
        if self.form is Form.PARTIAL:
            return partial(obj)
        # Only the first table of a stream names its columns.
        header, self.header = self.header, False
        shaped = table(self.target.resource.kind, [obj], self.clock(), include=self.include, header=header)
        return {**shaped, "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}}

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        resource = self.target.resource
        meta: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial_end:
            meta["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        if self.form is not Form.OBJECT:
            shaped = partial(obj)
            if self.form is Form.TABLE:
                row = {"cells": [], "object": shaped}
                shaped = {
                    "kind": "Table",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": meta,
                    "columnDefinitions": [],
                    "rows": [row],
                }
            obj = shaped
        return encode({"type": "BOOKMARK", "object": obj}) + b"\n"


class Watches:
    """The watch handler over one store."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        form = wanted_form(request)
        query = request.query
        test = selectors.predicate(target.resource.kind, query.get("labelSelector"), query.get("fieldSelector"))
        stream = _Stream(target, form, test, query.get("includeObject", "Metadata"), self._clock)
        seconds = number(query, "timeoutSeconds") or LEAST_SECONDS + secrets.randbelow(LEAST_SECONDS)
        bookmarks = flag(query, "allowWatchBookmarks")
        initial = _wants_initial(request)
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        try:
            watch = self._open(target, query.get("resourceVersion", ""), initial)
        except StoreError as error:
            if error.status != 410:
                raise
            # A version that is gone is told inside the stream, as clients expect it.
            await response.prepare(request)
            await response.write(_error_line(error))
            return response
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            await self._send(response, stream, watch, seconds, bookmarks=bookmarks, initial=bool(initial))
        except StoreError as error:
            await response.write(_error_line(error))
        return response

    def _open(self, target: Target, version: str, initial: bool | None) -> Watch:
        if version and not version.isdecimal():
            raise bad_request(f"resourceVersion: {version!r} is not a version of this server")
        kind = target.resource.kind
        if initial:
            return self._store.watch(kind, None)
        if version in ("", "0"):
            return self._store.watch(kind, None if initial is None else self._store.resource_version)
        return self._store.watch(kind, int(version))

    async def _send(
        self,
        response: web.StreamResponse,
        stream: _Stream,
        watch: Watch,
        seconds: float,
        *,
        bookmarks: bool,
        initial: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        next_bookmark = loop.time() + BOOKMARK_SECONDS
        if initial:
            await _write(response, stream, watch.ready())
            if bookmarks:
                await response.write(stream.bookmark(watch.resource_version, initial_end=True))
        while not watch.ended and (now := loop.time()) < end:
            await _write(response, stream, await watch.batch(min(end, next_bookmark) - now))
            if loop.time() >= next_bookmark:
                next_bookmark = loop.time() + BOOKMARK_SECONDS
                if bookmarks:
                    await response.write(stream.bookmark(watch.resource_version))
        if bookmarks and not watch.ended:
            await response.write(stream.bookmark(watch.resource_version))


async def _write(response: web.StreamResponse, stream: _Stream, events: list[StoreEvent]) -> None:
    lines = b"".join(filter(None, map(stream.line, events)))
    if lines:
        await response.write(lines)


def _wants_initial(request: web.Request) -> bool | None:
    """`sendInitialEvents`; None when it is not said, which leaves it to the resourceVersion."""
    query = request.query
    match = query.get("resourceVersionMatch", "")
    if "sendInitialEvents" not in query:
        if match:
            raise _invalid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        return None
    if match != "NotOlderThan":
        raise _invalid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    return flag(query, "sendInitialEvents")


def _invalid(message: str) -> StoreError:
    return StoreError(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {message}')


def _error_line(error: StoreError) -> bytes:
    return encode({"type": "ERROR", "object": error.as_status()}) + b"\n"
