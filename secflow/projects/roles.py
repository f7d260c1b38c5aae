"""What each role may open and do in the console, as groups of Django permissions that SecFlow keeps up to date.

A permission decides which pages and buttons somebody has; on which rows they work is decided row by row, by the rules of the
API (`secflow.console.roles`).
"""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import AbstractUser, Group, Permission
from django.db import transaction
from django.db.models import Q

from secflow.http.roles import Role

_APPS: Final = ("workflows", "templates_app", "projects", "auth", "admin")
_ENGINE: Final = Q(content_type__app_label="workflows", codename__startswith="view_")
_TEMPLATES: Final = Q(content_type__app_label="templates_app")
_VIEW: Final = Q(codename__startswith="view_")
_OPERATE: Final = Q(content_type__app_label="workflows", codename="operate_workflowinstance")
_WRITE: Final = Q(
    content_type__app_label="workflows",
    codename__in=[
        f"{verb}_{model}" for verb in ("add", "change", "delete") for model in ("workflowinstance", "workflownode")
    ],
)
_MEMBERS: Final = Q(content_type__app_label="projects", codename="view_projectmember")

PERMISSIONS: Final[dict[Role, Q]] = {
    Role.ADMINISTRATOR: Q(content_type__app_label__in=_APPS),
    Role.OPERATOR: _ENGINE | (_TEMPLATES & _VIEW) | _MEMBERS | _OPERATE,
    Role.AUDITOR: Q(content_type__app_label__in=_APPS) & _VIEW,
    Role.MEMBER: _ENGINE | _TEMPLATES | _MEMBERS | _OPERATE | _WRITE,
}
EFFECTS: Final[dict[Role, str]] = {
    Role.ADMINISTRATOR: "everything, users and project members included",
    Role.OPERATOR: "sees all workflows and runs them (initialize, start, stop, trigger ...); edits and deletes nothing",
    Role.AUDITOR: "sees everything, users and journal included; changes nothing",
    Role.MEMBER: "builds and runs the workflows of their own projects; sees nothing of others but global templates",
}


def ensure_roles(**_: Any) -> None:
    """Makes the groups, and gives each exactly the permissions of its role. Repeatable; other groups are left alone."""
    for label in _APPS:
        # After a migration Django makes permissions app by app; those of later apps are wanted now.
        create_permissions(apps.get_app_config(label), verbosity=0)
    with transaction.atomic():
        for role, wanted in PERMISSIONS.items():
            group, _created = Group.objects.get_or_create(name=role.value)
            group.permissions.set(Permission.objects.filter(wanted))


def roles_of_user(user: AbstractUser) -> list[Role]:
    """The roles that a user has by groups, in the order of the enumeration. One query."""
    names = set(user.groups.values_list("name", flat=True))
    return [role for role in Role if role.value in names]


def give_roles(user: AbstractUser, roles: list[Role]) -> None:
    """Makes these the user's roles. Whoever has a role may sign in to the console; other groups are left alone."""
    names = [role.value for role in Role]
    with transaction.atomic():
        user.groups.remove(*Group.objects.filter(name__in=names).exclude(name__in=[role.value for role in roles]))
        user.groups.add(*Group.objects.filter(name__in=[role.value for role in roles]))
        if roles and not user.is_staff:
            user.is_staff = True
            user.save(update_fields=["is_staff"])
