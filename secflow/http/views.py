"""The base of every view of the API: parse, find what the actor may see, call, render."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework.request import Request
from rest_framework.views import APIView

from secflow.http.errors import WHOLE_BODY, field_error
from secflow.http.users import actor_of
from secflow.transactions import retried
from workflows.domain.actors import Actor


class ApiView(APIView):
    """A view with a bearer token. `self.actor` is the caller; errors become envelopes (`secflow.http.errors`)."""

    request: Request
    # No OPTIONS: preflights are answered by the middleware, and the routes are in the OpenAPI document.
    http_method_names = ("get", "head", "post", "put", "delete")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A handler holds one transaction, whose loss to another one is nothing that a client should hear of.
        for name in cls.http_method_names:
            if name in vars(cls):
                setattr(cls, name, retried(vars(cls)[name]))

    @property
    def actor(self) -> Actor:
        """The authenticated caller, read once per request."""
        if not hasattr(self, "_actor"):
            self._actor = actor_of(self.request)
        return self._actor

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # No id has such a character, and the database refuses to compare a NUL.
        if any(isinstance(part, str) and "\x00" in part for part in kwargs.values()):
            raise Http404
        # A body of unknown length would be read as none, and `force` in it would be lost without a word.
        if request.META.get("HTTP_TRANSFER_ENCODING") and not request.META.get("CONTENT_LENGTH"):
            raise field_error(WHOLE_BODY, "must be sent with a Content-Length header")


class PublicView(ApiView):
    """A view without authentication (contract A.2). A bad token in the header is not even looked at."""

    authentication_classes = ()
    permission_classes = ()
