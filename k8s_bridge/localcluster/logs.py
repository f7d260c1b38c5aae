"""`pods/log`: the options of the request, and the stream of what a container has written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from k8s_bridge.localcluster.calls import Target, flag, number
from k8s_bridge.localcluster.errors import StoreError, bad_request
from k8s_bridge.localcluster.store import Store

# A follower of a silent pod still gets its headers soon, an error of the first read still gets its own status.
FIRST_CHUNK_SECONDS: Final = 0.5


@dataclass(frozen=True)
class LogOptions:
    """What of a log is asked for. `container` None = the only one; times in seconds or as a moment, never both."""

    container: str | None
    follow: bool
    previous: bool
    timestamps: bool
    tail_lines: int | None
    limit_bytes: int | None
    since_seconds: int | None
    since_time: datetime | None


LogSource = Callable[[dict[str, Any], LogOptions], AsyncIterator[bytes]]
"""Gives the log of a stored pod in chunks; raises StoreError 400 or 404 before the first one."""


def read_options(request: web.Request) -> LogOptions:
    query = request.query
    since, moment = number(query, "sinceSeconds"), query.get("sinceTime")
    if since is not None and moment:
        raise StoreError(422, "Invalid", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    limit = number(query, "limitBytes")
    if limit == 0 or since == 0:
        raise StoreError(422, "Invalid", "limitBytes and sinceSeconds must be greater than 0")
    try:
        since_time = datetime.fromisoformat(moment) if moment else None
    except ValueError as err:
        raise bad_request(f"sinceTime: {moment!r} is not an RFC 3339 time such as 2030-01-31T12:00:00Z") from err
    if since_time is not None and since_time.tzinfo is None:
        raise bad_request(f"sinceTime: {moment!r} has no time zone: write 2030-01-31T12:00:00Z")
    return LogOptions(
        container=query.get("container") or None,
        follow=flag(query, "follow"),
        previous=flag(query, "previous"),
        timestamps=flag(query, "timestamps"),
        tail_lines=number(query, "tailLines"),
        limit_bytes=limit,
        since_seconds=since,
        since_time=since_time,
    )


class Logs:
    """The log handler; without a `source` there is no runtime and so no log."""

    def __init__(self, store: Store, source: LogSource | None) -> None:
        self._store = store
        self._source = source

    async def log(self, request: web.Request, target: Target) -> web.StreamResponse:
        pod = self._store.get("Pod", target.namespace, target.name or "")
        options = read_options(request)
        if self._source is None:
            raise bad_request("this server runs no pods, so there are no logs")
        chunks = self._source(pod, options)
        first = asyncio.ensure_future(_first(chunks))
        response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
        try:
            done, _ = await asyncio.wait({first}, timeout=FIRST_CHUNK_SECONDS)
            if done:
                first.result()
            response.enable_chunked_encoding()
            await response.prepare(request)
            await response.write(await first)
            async for chunk in chunks:
                await response.write(chunk)
        finally:
            # A generator can only be closed when nobody waits in it any more.
            first.cancel()
            await asyncio.wait({first})
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        return response


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    return await anext(chunks, b"")
