"""Signing in with SecFlow's own users (contract A.2). These four paths end with a slash, as the contract writes
them.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import AbstractUser
from django.db import transaction
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, UntypedToken

from secflow.http.attempts import FailureLimit
from secflow.http.authentication import active_user_of, own_user
from secflow.http.fields import TextField
from secflow.http.openapi import documented
from secflow.http.serializers import Input, read_body
from secflow.http.users import roles_of
from secflow.http.views import PublicView
from workflows.domain.errors import NotFound, Unauthenticated

TAG = "Tokens"
_SAMPLE = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiMSJ9.c2lnbmF0dXJl"


class SignInInput(Input):
    """User name and password."""

    username = TextField(max_length=150, trim_whitespace=False)
    password = TextField(max_length=1024, verbatim=True)


class RefreshInput(Input):
    """A refresh token."""

    refresh = TextField(max_length=8192)


class VerifyInput(Input):
    """A token of either kind."""

    token = TextField(max_length=8192)


class TokenPairOutput(serializers.Serializer[Any]):
    """An access token for the API and a refresh token for the next pair."""

    access = serializers.CharField()
    refresh = serializers.CharField()


class TokenView(PublicView):
    """Only with AUTH_MODE=own: otherwise somebody else issues the tokens, and these routes do not exist."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if settings.SECFLOW.auth_mode != "own":
            raise NotFound("route", request.path)
        super().initial(request, *args, **kwargs)


class TokenPairView(TokenView):
    @documented(
        "Sign in",
        "Gives an access and a refresh token for a name and password. Failed tries are limited per name and client.",
        tag=TAG,
        operation_id="create_token",
        request=SignInInput,
        answer=TokenPairOutput,
        errors=(401, 404, 429),
        public=True,
        example={"access": _SAMPLE, "refresh": _SAMPLE},
        request_example={"username": "ada", "password": "correct horse battery staple"},
    )
    def post(self, request: Request) -> Response:
        body = read_body(request, SignInInput)
        limit = FailureLimit(request, body["username"])
        limit.refuse_if_reached()
        user = authenticate(request, username=body["username"], password=body["password"])
        if not isinstance(user, AbstractUser):
            limit.note_failure()
            raise Unauthenticated("no active user has this name and password")
        return Response(token_pair(user))


class TokenRefreshView(TokenView):
    @documented(
        "Refresh",
        "Gives a new pair for a refresh token, which can be used only once.",
        tag=TAG,
        operation_id="refresh_token",
        request=RefreshInput,
        answer=TokenPairOutput,
        errors=(401, 404),
        public=True,
        example={"access": _SAMPLE, "refresh": _SAMPLE},
        request_example={"refresh": _SAMPLE},
    )
    def post(self, request: Request) -> Response:
        token = _refresh_token(read_body(request, RefreshInput)["refresh"])
        user = active_user_of(token)
        with transaction.atomic():
            _use_up(token)
            return Response(token_pair(user))


class TokenVerifyView(TokenView):
    @documented(
        "Verify",
        "Answers `{}` for a valid access or refresh token of an active user.",
        tag=TAG,
        operation_id="verify_token",
        request=VerifyInput,
        answer=OpenApiTypes.OBJECT,
        errors=(401, 404),
        public=True,
        example={},
        request_example={"token": _SAMPLE},
    )
    def post(self, request: Request) -> Response:
        raw = read_body(request, VerifyInput)["token"]
        try:
            kind = UntypedToken(raw).get("token_type")
        except TokenError as err:
            raise Unauthenticated("the token is invalid or has expired") from err
        own_user(raw, RefreshToken if kind == RefreshToken.token_type else AccessToken)
        return Response({})


class TokenBlacklistView(TokenView):
    @documented(
        "Sign out",
        "Makes a refresh token unusable.",
        tag=TAG,
        operation_id="blacklist_token",
        request=RefreshInput,
        answer=OpenApiTypes.OBJECT,
        errors=(401, 404),
        public=True,
        example={},
        request_example={"refresh": _SAMPLE},
    )
    def post(self, request: Request) -> Response:
        _use_up(_refresh_token(read_body(request, RefreshInput)["refresh"]))
        return Response({})


def token_pair(user: AbstractUser) -> dict[str, str]:
    """`access` and `refresh` for a user. The claim `role` is a list of words, with `admin` for administrators (A.2)."""
    refresh = RefreshToken.for_user(user)
    refresh["username"] = user.get_username()
    refresh["role"] = roles_of(user)
    return {"access": str(refresh.access_token), "refresh": str(refresh)}


def _refresh_token(raw: str) -> RefreshToken:
    try:
        return RefreshToken(raw)  # type: ignore[arg-type]
    except TokenError as err:
        raise Unauthenticated("the refresh token is invalid, has expired or was used already; sign in again") from err


def _use_up(token: RefreshToken) -> None:
    # Two calls with the same token at once: the row decides which one was first.
    written: Any = token.blacklist()
    if not written[1]:
        raise Unauthenticated("the refresh token was used already; sign in again")
