"""Guessing passwords is slow: failed sign-ins are counted per user name and client."""

from __future__ import annotations

import hashlib
import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.request import Request

from workflows.domain.errors import RateLimited

WINDOW_SECONDS = 60
FAILURES_PER_NAME = 10
FAILURES_PER_CLIENT = 60


class FailureLimit:
    """At most 10 failed sign-ins a minute for one name from one client, and 60 of one client for all names.

    Tries at the API and at the console count together. Counts are kept per web process and forgotten when it ends. A
    sign-in that works is never counted.
    """

    def __init__(self, request: HttpRequest | Request, username: str) -> None:
        client = client_address(request)
        digest = hashlib.sha256(f"{client}\n{username.casefold()}".encode()).hexdigest()
        self._limits = {f"signin:{digest}": FAILURES_PER_NAME, f"signin-client:{client}": FAILURES_PER_CLIENT}

    def seconds_to_wait(self, *, now: float | None = None) -> int:
        """The seconds until the next try is looked at; 0 when it is looked at now."""
        window, wait = self._window(now)
        reached = any(cache.get(f"{key}:{window}", 0) >= limit for key, limit in self._limits.items())
        return wait if reached else 0

    def refuse_if_reached(self, *, now: float | None = None) -> None:
        """Raises RateLimited with the seconds until the next try is looked at."""
        if wait := self.seconds_to_wait(now=now):
            raise RateLimited(f"too many failed sign-ins; try again in {wait} seconds", {"retry_after": wait})

    def note_failure(self, *, now: float | None = None) -> None:
        """Counts one failed sign-in."""
        window, _ = self._window(now)
        for key in self._limits:
            cache.add(f"{key}:{window}", 0, WINDOW_SECONDS)
            cache.incr(f"{key}:{window}")

    @staticmethod
    def _window(now: float | None) -> tuple[int, int]:
        moment = int(time.time() if now is None else now)
        return moment // WINDOW_SECONDS, WINDOW_SECONDS - moment % WINDOW_SECONDS


def client_address(request: HttpRequest | Request) -> str:
    """The caller's address: what the proxy in front noted last, when there is one (HTTPS is set), else the peer.

    An X-Forwarded-For header without a proxy is the caller's own invention and is not read.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.HTTPS else ""
    return forwarded.rpartition(",")[2].strip()[:64] or str(request.META.get("REMOTE_ADDR", ""))
