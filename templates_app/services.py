"""Writing templates (contract A.3, D.3). Values come in the stored form, with every default filled in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Right

from secflow.projects.access import is_manager, join_or_refuse
from templates_app.facts import note
from templates_app.kinds import KINDS, AnyTemplate, TemplateKind
from templates_app.models import Template
from templates_app.references import instances_using
from templates_app.selectors import get_visible_template
from templates_app.specs import privileged_containers
from workflows.domain import ids
from workflows.domain.actors import Actor
from workflows.domain.errors import Conflict, Forbidden, Invalid, NotFound

GLOBAL, PROJECT = Template.Scope.GLOBAL, Template.Scope.PROJECT

_OWN_TO_EACH = frozenset({"id", "created_by", "created_at", "updated_at"})
_NAME_LIMIT = 128
_COPY = " (copy)"


def create_template(kind: TemplateKind, *, actor: Actor, values: Mapping[str, Any]) -> AnyTemplate:
    """A new template. Raises Invalid without the project that its scope demands, Forbidden by A.3 or for privileged
    containers.

    The first to create in an open project becomes its manager.
    """
    refuse_global(actor, values.get("scope"))
    refuse_privileged(values)
    template = kind.model(**values, created_by=actor.id)
    _demand_project(template)
    with transaction.atomic():
        if template.scope == PROJECT:
            join_or_refuse(actor, str(template.project_id))
        template.pk = _new_id(template.name)
        template.save(force_insert=True)
        note("created", template=template, node_type=kind.word, actor_id=actor.id)
    return template


def update_template(kind: TemplateKind, *, actor: Actor, template_id: str, changes: Mapping[str, Any]) -> AnyTemplate:
    """The template with the changed fields; what is absent stays. Nodes made from it use the new values from their
    next start.

    Raises NotFound, Forbidden, Invalid, and Conflict when instances of another project than its new one use it; nothing is
    written then.
    """
    with transaction.atomic():
        # The lock keeps new nodes from referring to it between the question for them and the end.
        template = _locked(kind, template_id)
        check_may_change(actor, template)
        if changes.get("scope", template.scope) != template.scope:
            refuse_global(actor, changes["scope"])
        refuse_privileged(changes)
        owner_before = (template.scope, template.project_id)
        changed = [field for field, value in changes.items() if getattr(template, field) != value]
        for field, value in changes.items():
            setattr(template, field, value)
        _demand_project(template)
        if template.scope == PROJECT and owner_before != (template.scope, template.project_id):
            join_or_refuse(actor, str(template.project_id))
            _refuse_users(kind, template, outside=template.project_id)
        if changes:
            template.save(update_fields=[*changes, "updated_at"])
        if changed:
            note("updated", template=template, node_type=kind.word, actor_id=actor.id, fields=changed)
    return template


def copy_template(
    kind: TemplateKind, *, actor: Actor, template_id: str, name: str | None = None, project_id: str | None = None
) -> AnyTemplate:
    """A new template with the same content. `name`: else the old one with "(copy)". With a project it belongs to that one, else
    it has the scope and project of the old one.

    Raises NotFound or Forbidden for the old one, and what `create_template` raises.
    """
    old = get_visible_template(kind, actor=actor, template_id=template_id)
    values = {
        field.name: getattr(old, field.name)
        for field in kind.model._meta.concrete_fields
        if field.name not in _OWN_TO_EACH
    }
    values["name"] = name or f"{old.name[: _NAME_LIMIT - len(_COPY)]}{_COPY}"
    if project_id is not None:
        values |= {"scope": PROJECT, "project_id": project_id}
    return create_template(kind, actor=actor, values=values)


def delete_template(kind: TemplateKind, *, actor: Actor, template_id: str) -> None:
    """Removes a template that no node refers to. Raises NotFound, Forbidden, and Conflict with `details.instances`."""
    with transaction.atomic():
        # The lock keeps new nodes from referring to it between the question and the deletion.
        template = _locked(kind, template_id)
        check_may_change(actor, template)
        _refuse_users(kind, template)
        note("deleted", template=template, node_type=kind.word, actor_id=actor.id)
        template.delete()


def may_change(actor: Actor, template: AnyTemplate) -> bool:
    """Whether the actor made the template, manages its project, or is an administrator (A.3). At most one query."""
    if actor.is_admin or template.created_by == actor.id:
        return True
    return template.scope == PROJECT and is_manager(actor, template.project_id)


def check_may_change(actor: Actor, template: AnyTemplate) -> None:
    """Raises Forbidden unless the actor made the template, manages its project, or is an administrator (A.3)."""
    if may_change(actor, template):
        return
    raise Forbidden(
        f"template {template.pk} can be changed only by its creator, a manager of its project or an administrator",
        {"id": template.pk},
    )


def refuse_global(actor: Actor, scope: object) -> None:
    """Raises Forbidden when somebody else than an administrator asks for a global template."""
    if scope == GLOBAL and not actor.is_admin:
        raise Forbidden("only administrators may make a template global; use the scope project", {"scope": GLOBAL})


def refuse_privileged(values: Mapping[str, Any], *, template_id: str | None = None) -> None:
    """Raises Forbidden for privileged containers where the installation does not allow them. `template_id`: of a template
    that may have been written when it did.
    """
    asking = privileged_containers(values.get("containers") or [])
    if asking and not settings.SECFLOW.allow_privileged:
        where = f" (template {template_id})" if template_id else ""
        raise Forbidden(
            f"privileged containers are not allowed in this installation: {', '.join(asking)}{where}",
            {"containers": asking},
        )


def _refuse_users(kind: TemplateKind, template: AnyTemplate, *, outside: str | None = None) -> None:
    users = instances_using(template.pk, outside=outside)
    if users:
        count = "1 instance" if len(users) == 1 else f"{len(users)} instances"
        where = "" if outside is None else " of other projects"
        raise Conflict(
            f"{kind.label.lower()} {template.pk} is used by {count}{where}; remove its nodes there first",
            {"instances": users},
        )


def _demand_project(template: AnyTemplate) -> None:
    if template.scope == PROJECT and not template.project_id:
        raise Invalid.field("project_id", "is required for a template with the scope project")


def _locked(kind: TemplateKind, template_id: str) -> AnyTemplate:
    found: AnyTemplate | None = kind.model.objects.select_for_update().filter(pk=template_id).first()
    if found is None:
        raise NotFound(kind.resource, template_id)
    return found


def _new_id(name: str) -> str:
    # Ids are unique over both kinds, and so is the suffix by itself (A.8).
    while True:
        suffix = ids.new_suffix(secrets.choice)
        taken = any(
            kind.model.objects.annotate(suffix=Right("id", ids.SUFFIX_LENGTH)).filter(suffix=suffix).exists()
            for kind in KINDS.values()
        )
        if not taken:
            return ids.make_id(ids.TEMPLATE, name, suffix)
