"""The feed of events for the console's own scripts: the API's answers, for whoever is signed in here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from secflow.http.errors import CHALLENGE
from secflow.http.views import ApiView
from workflows.feed import answers


class ConsoleSession(BaseAuthentication):
    """A session of the console, looked up anew each time: a stream outlives the moment in which it was asked for."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        asked = HttpRequest()
        kept = request._request.session
        asked.session = type(kept)(kept.session_key)
        asked.user = get_user(asked)
        return (asked.user, None) if admin.site.has_permission(asked) else None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class ConsoleEventsView(ApiView):
    """`/admin/events`. Reads only, so it needs no token against forged requests."""

    authentication_classes = (ConsoleSession,)

    def get(self, request: Request) -> HttpResponseBase:
        return answers.answer(self, request)
