"""Which rows somebody sees in the console, and on which of them they may act: what the API says to the same user.

Django's permissions decide which pages and buttons a user has (`secflow.projects.roles`); these functions decide about rows.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from secflow.http.users import actor_of_user
from secflow.projects.access import member_projects
from workflows.domain.actors import Actor, Right

_KEPT = "_secflow_access"


class Access:
    """What one request's user may see and do. Everything is asked at most once per request."""

    def __init__(self, user: Any) -> None:
        self.user = user

    @cached_property
    def actor(self) -> Actor:
        """The user as the services see it, the same as behind a token of this user."""
        return actor_of_user(self.user) if isinstance(self.user, AbstractUser) else Actor(id="")

    @cached_property
    def projects(self) -> frozenset[str]:
        """The ids of the projects that the user is a member or manager of."""
        return frozenset(member_projects(self.actor))

    def has(self, right: Right, *, project_id: str | None, created_by: str | None) -> bool:
        """Whether the user has the right on a row of this project and creator (contract A.3)."""
        actor = self.actor
        return actor.has_everywhere(right) or created_by == actor.id or project_id in self.projects

    def scope(self, right: Right, project_field: str, creator_field: str | None) -> Q | None:
        """The rows on which the user has the right, as a condition. None: on all."""
        if self.actor.has_everywhere(right):
            return None
        shown = Q(**{f"{project_field}__in": sorted(self.projects)})
        return shown | Q(**{creator_field: self.actor.id}) if creator_field else shown


def access_of(request: HttpRequest) -> Access:
    """What this request's user may see and do."""
    kept: Access | None = getattr(request, _KEPT, None)
    if kept is None or kept.user is not request.user:
        kept = Access(request.user)
        setattr(request, _KEPT, kept)
    return kept


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in user as the services see one."""
    return access_of(request).actor


def visible(
    request: HttpRequest, rows: QuerySet[Any], project_field: str, creator_field: str | None = None
) -> QuerySet[Any]:
    """The rows that the user may read, by the columns with their project's id and, if there is one, their creator's."""
    shown = access_of(request).scope(Right.READ, project_field, creator_field)
    return rows if shown is None else rows.filter(shown)


def visible_instances(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    """The instances that the user may read."""
    return visible(request, rows, "project_id", "created_by")


def visible_by_instance(request: HttpRequest, rows: QuerySet[Any], instance: str = "instance") -> QuerySet[Any]:
    """Rows that belong to an instance which the user may read."""
    return visible(request, rows, f"{instance}__project_id", f"{instance}__created_by")
