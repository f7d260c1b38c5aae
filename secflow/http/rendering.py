"""Answers are JSON, whatever the caller says it accepts (contract A.1: every reply is a JSON document)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class PlainJSONRenderer(BaseRenderer):
    """Plain dicts, lists and scalars to compact UTF-8 JSON. Anything else is a mistake of the view and raises
    TypeError.
    """

    media_type = "application/json"
    format = "json"
    charset = None  # RFC 8259: JSON is UTF-8, the parameter does not exist

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class AlwaysJSON(BaseContentNegotiation):
    """Picks the parser by Content-Type and the first renderer always: an odd Accept header must not cost the answer."""

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        media_type = request.content_type.partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == media_type), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        first = next(iter(renderers))
        return first, first.media_type


def iso(moment: datetime | None) -> str | None:
    """A time as the contract writes it: ISO 8601 in UTC without an offset, `2026-02-25T10:00:00.123456`, None kept
    (A.1).
    """
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()
