"""The caller behind a token, whatever issued it, as the engine's Actor (contract A.2, A.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractUser
from rest_framework.request import Request

from secflow.http.roles import ADMIN_WORD, Role, actor_with
from workflows.domain.actors import Actor
from workflows.domain.errors import Unauthenticated

ADMIN_PLATFORM_ROLE = "super_admin"


@dataclass(frozen=True, slots=True)
class PlatformUser:
    """A user of the platform, known only by its token. It stands where Django expects a user."""

    id: str
    username: str
    role: tuple[str, ...] = ()
    platform_role: str = ""
    is_active: bool = True
    is_authenticated: bool = True
    is_anonymous: bool = False

    @property
    def pk(self) -> str:
        return self.id

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any], *, id_names: tuple[str, ...]) -> PlatformUser:
        """The user that a token's claims or the auth service's answer describe; the first of `id_names` that is given
        is the id.

        Raises Unauthenticated when it has no usable id or is inactive.
        """
        found = next((claims[name] for name in id_names if claims.get(name) not in (None, "")), None)
        if not isinstance(found, str | int) or isinstance(found, bool) or not 1 <= len(str(found)) <= 64:
            raise Unauthenticated("the token names no user with a usable id; sign in again")
        if claims.get("is_active", True) is not True:
            raise Unauthenticated("the user of this token is inactive")
        username = claims.get("username") or claims.get("preferred_username") or claims.get("name") or found
        return cls(
            id=str(found),
            username=str(username),
            role=_words(claims.get("role")) + _words(claims.get("roles")),
            platform_role=str(claims.get("platform_role") or ""),
        )


def roles_of(user: AbstractUser) -> list[str]:
    """The role words of one of SecFlow's own users: group names of staff, and `admin` for superusers and the group of
    administrators.
    """
    if user.is_superuser:
        return [ADMIN_WORD]
    names = sorted(user.groups.values_list("name", flat=True)) if user.is_staff else []
    return [ADMIN_WORD, *names] if Role.ADMINISTRATOR in names else names


def actor_of_user(user: AbstractUser) -> Actor:
    """One of SecFlow's own users as an actor: the same one for a token and for a session of the console."""
    return actor_with(id=str(user.pk), name=user.get_username(), words=roles_of(user))


def actor_of(request: Request) -> Actor:
    """The authenticated caller of a request. Raises Unauthenticated when there is none."""
    user = request.user
    if isinstance(user, PlatformUser):
        is_admin = user.platform_role == ADMIN_PLATFORM_ROLE
        return actor_with(id=user.id, name=user.username, words=user.role, is_admin=is_admin)
    if isinstance(user, AbstractUser):
        return actor_of_user(user)
    raise Unauthenticated("authentication is required; send a bearer token")


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
