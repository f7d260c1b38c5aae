"""The feed over HTTP, whoever authenticated the caller: parameters in, a stream or a portion out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.errors import envelope
from secflow.http.query import query_int, query_text
from secflow.http.users import actor_of
from secflow.http.views import ApiView
from workflows.feed.reader import TooManyListeners, give_connection_back, reader
from workflows.feed.streams import LOOK, Access, EventStream, has_left, read_portion
from workflows.selectors.events import MOST, Position, Wanted, newest_position, parse_cursor, read_events, scope_of

LIMIT: Final = 200
LONGEST_WAIT: Final = 20  # seconds
STREAM_TYPE: Final = "text/event-stream"
LAST_EVENT_ID: Final = "Last-Event-ID"
RETRY_AFTER: Final = 5  # seconds
TOO_MANY: Final = envelope(
    "TOO_MANY_STREAMS",
    "this process holds as many streams of events as it may; ask again later, or ask without a stream",
    {"retry_after": RETRY_AFTER},
)


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks of the feed. Without `after` it is asked for what comes from now on."""

    after: Position | None
    wanted: Wanted
    limit: int
    wait: int


def answer(view: ApiView, request: Request) -> HttpResponseBase:
    """The whole answer to a caller whom the view authenticated; whether it still is who it was is asked by the same means."""
    question = _question(request)
    access = Access(lambda: scope_of(actor_of(Request(request._request, authenticators=view.get_authenticators()))))
    if not _wants_stream(request):
        return Response(_poll(request, question, access))
    try:
        return _stream(request, question, access)
    except TooManyListeners:
        return Response(TOO_MANY, status=503, headers={"Retry-After": str(RETRY_AFTER)})


def places() -> int:
    """How many may listen in one process."""
    config = settings.SECFLOW
    return config.web_threads // 2 if config.event_streams is None else int(config.event_streams)


def _question(request: Request) -> Question:
    header = request.headers.get(LAST_EVENT_ID, "").strip()
    after = query_text(request, "after")
    position = None if after is None else parse_cursor(after, field="after")
    return Question(
        # A browser that reconnects says in the header where it is, and repeats the address as it was.
        after=parse_cursor(header, field=LAST_EVENT_ID) if header else position,
        wanted=Wanted(
            project_id=query_text(request, "project_id", absent={"all"}),
            instance_id=query_text(request, "instance_id"),
        ),
        limit=query_int(request, "limit", low=1, high=MOST) or LIMIT,
        wait=query_int(request, "wait", low=0, high=LONGEST_WAIT) or 0,
    )


def _wants_stream(request: Request) -> bool:
    return request.method == "GET" and STREAM_TYPE in request.headers.get("Accept", "").lower()


def _stream(request: Request, question: Question, access: Access) -> StreamingHttpResponse:
    if question.after is None:
        after = newest_position()
    else:
        # What this database did not hand out is refused while there still can be an answer that says so.
        read_events(question.after, limit=1)
        after = question.after
    body = EventStream(
        reader,
        after,
        wanted=question.wanted,
        access=access,
        places=places(),
        connection=request.META.get("gunicorn.socket"),
    )
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(body, content_type=STREAM_TYPE, headers=headers)


def _poll(request: Request, question: Question, access: Access) -> dict[str, Any]:
    if question.after is None:
        return {"items": [], "cursor": str(newest_position())}
    portion = read_portion(question.after, wanted=question.wanted, access=access, limit=question.limit)
    end = time.monotonic() + question.wait
    if not portion.events and portion.is_all and question.wait:
        try:
            with reader.listening(places=places()):
                while not portion.events and portion.is_all and not _is_over(request, end):
                    give_connection_back()
                    reader.wait(portion.position, min(LOOK, end - time.monotonic()))
                    access.renew()
                    if (news := reader.since(portion.position)) is not None and not news.events:
                        continue
                    portion = read_portion(
                        portion.position, wanted=question.wanted, access=access, limit=question.limit
                    )
        except TooManyListeners:
            pass  # an answer without waiting is right as well, and asks for less
    return {"items": [event.output for event in portion.events], "cursor": str(portion.position)}


def _is_over(request: Request, end: float) -> bool:
    return time.monotonic() >= end or reader.is_stopping() or has_left(request.META.get("gunicorn.socket"))
