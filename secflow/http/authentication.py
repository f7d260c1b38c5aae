"""Bearer tokens: SecFlow's own, JWTs of another issuer, or what the platform's auth service says (contract A.2).

401 is only ever said about a token; an issuer that cannot be asked is an outage (500), so that nobody is signed out
by it.
"""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings as jwt_settings
from rest_framework_simplejwt.tokens import AccessToken, Token
from rest_framework_simplejwt.utils import get_md5_hash_password

from secflow.http.errors import CHALLENGE
from secflow.http.platform import user_by_jwt, user_by_service
from secflow.http.users import PlatformUser
from workflows.domain.errors import Unauthenticated

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)


class BearerAuthentication(BaseAuthentication):
    """The only way in: `Authorization: Bearer <token>`, the scheme in any case. `request.user` is a Django or
    PlatformUser.
    """

    def authenticate(self, request: Request) -> tuple[AbstractUser | PlatformUser, str] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "").strip()
        if not header:
            return None
        found = _BEARER.fullmatch(header)
        if found is None:
            raise Unauthenticated("the Authorization header must read: Bearer <token>")
        return user_of_token(found[1]), found[1]

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def user_of_token(raw: str) -> AbstractUser | PlatformUser:
    """The active user of a token by AUTH_MODE. Raises Unauthenticated for a bad token, Unavailable for an outage."""
    config = settings.SECFLOW
    match config.auth_mode:
        case "jwt":
            return user_by_jwt(raw, config)
        case "service":
            return user_by_service(raw, config)
        case _:
            return own_user(raw, AccessToken)


def own_user(raw: str, kind: type[Token]) -> AbstractUser:
    """The active user of a token that SecFlow issued itself. `kind` is the class of token that is acceptable here.

    Raises Unauthenticated when it is not one, has expired or was revoked (blacklisted, or the password was changed
    since).
    """
    try:
        token = kind(raw)  # type: ignore[arg-type]
    except TokenError as err:
        raise Unauthenticated("the token is invalid or has expired; sign in again") from err
    return active_user_of(token)


def active_user_of(token: Token) -> AbstractUser:
    """The user of a verified token. Raises Unauthenticated for an unknown or inactive one, and after a change of
    password.
    """
    user_id: Any = token.get(jwt_settings.USER_ID_CLAIM)
    if not str(user_id).isdecimal():
        raise Unauthenticated("the token names no user; sign in again")
    user = get_user_model().objects.filter(pk=int(user_id)).first()
    if user is None:
        raise Unauthenticated("the user of this token does not exist any more")
    if not user.is_active:
        raise Unauthenticated("the user of this token is inactive")
    if token.get(jwt_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
        raise Unauthenticated("the password was changed since this token was issued; sign in again")
    return user
