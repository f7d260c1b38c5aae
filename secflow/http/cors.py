"""Calls from pages of other origins: off unless CORS_ALLOWED_ORIGINS lists them (contract A.1, M.42)."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

ALLOWED_HEADERS = ", ".join(
    (
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "Last-Event-ID",
        "X-Request-ID",
        "X-SecFlow-Status-Dialect",
        "X-Trigger-Token",
    )
)
ALLOWED_METHODS = "GET, POST, PUT, DELETE, OPTIONS"
EXPOSED_HEADERS = "X-Request-ID, Retry-After"
PREFLIGHT_SECONDS = 600


class CorsMiddleware:
    """Adds CORS headers for listed origins to answers below /api/ and answers their preflights.

    Cookies are never allowed: the API knows only bearer tokens, so no page can act with the console's session.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        allowed = settings.SECFLOW.cors_allowed_origins
        if not allowed or not request.path.startswith("/api/"):
            return self.get_response(request)
        origin = request.headers.get("Origin", "")
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        listed = origin in allowed
        response = HttpResponse(status=204) if preflight and listed else self.get_response(request)
        patch_vary_headers(response, ["Origin"])
        if listed:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        if listed and preflight:
            response["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response["Access-Control-Allow-Methods"] = ALLOWED_METHODS
            response["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response
