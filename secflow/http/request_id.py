"""Every request has an id: the caller's `X-Request-ID` when it is a sane one, else a new one. Logs and answers carry
it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from secflow.logs import request_id

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")


class RequestIdMiddleware:
    """Sets the id for the time of the request and echoes it in `X-Request-ID`. Anything but 1-128 plain characters is
    replaced.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(HEADER, "")
        chosen = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(chosen)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response[HEADER] = chosen
        return response
