"""Following the journal: a stream of server-sent events, or portions for those who ask again and again (docs/events.md)."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.request import Request

from secflow.http.openapi import ErrorOutput, documented, query_parameter
from secflow.http.views import ApiView
from workflows.api import examples
from workflows.api.schemas import EventsOutput
from workflows.feed import answers
from workflows.selectors.events import MOST

_TOO_MANY = OpenApiExample("Too many", value=answers.TOO_MANY, status_codes=["503"])
_STREAM = OpenApiExample(
    "Stream", value=examples.EVENT_MESSAGE, media_type=answers.STREAM_TYPE, status_codes=["200"], response_only=True
)


class EventsView(ApiView):
    @documented(
        "Follow events",
        "What happened to the instances that the caller may read, in one order, each event exactly once. With `Accept:"
        " text/event-stream` the answer goes on as server-sent events; otherwise it is a portion, to be asked for again with its"
        " `cursor` as `after`. Events of one instance come by `sequence` without a gap.",
        tag="Events",
        operation_id="list_events",
        answer=EventsOutput,
        errors=(400,),
        example={"items": [examples.EVENT], "cursor": examples.EVENT["cursor"]},
        parameters=[
            query_parameter("after", "The cursor to go on from; `0` is the beginning. Not given: from now on."),
            query_parameter("project_id", "Only this project. `all` means every project."),
            query_parameter("instance_id", "Only this instance."),
            query_parameter(
                "limit", "Most events of a portion.", kind={"type": "integer", "minimum": 1, "maximum": MOST}
            ),
            query_parameter(
                "wait",
                "Seconds that a portion without events may be waited for.",
                kind={"type": "integer", "minimum": 0, "maximum": answers.LONGEST_WAIT},
            ),
            OpenApiParameter(
                answers.LAST_EVENT_ID,
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="The cursor to go on from; wins over `after`. Browsers send it when they reconnect.",
            ),
        ],
        answers={
            (200, answers.STREAM_TYPE): OpenApiResponse(
                OpenApiTypes.STR, description="Server-sent events.", examples=[_STREAM]
            ),
            503: OpenApiResponse(
                ErrorOutput,
                description="Streams only: no place is free; `Retry-After` says when to ask again.",
                examples=[_TOO_MANY],
            ),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        return answers.answer(self, request)
