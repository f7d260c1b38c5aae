"""Reading templates, always as somebody (contract A.3, A.7)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Q, QuerySet

from secflow.projects.access import is_member, member_projects
from templates_app.kinds import KINDS, AnyTemplate, TemplateKind
from templates_app.models import Template
from workflows.domain.actors import Actor, Right
from workflows.domain.errors import Forbidden, NotFound

GLOBAL, PROJECT = Template.Scope.GLOBAL, Template.Scope.PROJECT


def visible_to(actor: Actor) -> Q:
    """Global templates, the actor's own, and those of the actor's projects; everything for administrators, operators
    and auditors.
    """
    if actor.has_everywhere(Right.READ):
        return Q()
    return Q(scope=GLOBAL) | Q(created_by=actor.id) | Q(project_id__in=member_projects(actor))


def list_templates(
    kind: TemplateKind, *, actor: Actor, project_id: str | None = None, scope: str | None = None
) -> QuerySet[Any]:
    """What the actor may read, newest first; with a project its own templates and all global ones. One query."""
    rows = kind.model.objects.filter(visible_to(actor))
    if project_id is not None:
        rows = rows.filter(Q(scope=GLOBAL) | Q(project_id=project_id))
    if scope is not None:
        rows = rows.filter(scope=scope)
    return rows.order_by("-created_at", "id")


def count_templates(kind: TemplateKind, *, actor: Actor, project_id: str | None = None) -> int:
    """How many `list_templates` would give (contract D.10). One query."""
    return list_templates(kind, actor=actor, project_id=project_id).order_by().count()


def get_visible_template(kind: TemplateKind, *, actor: Actor, template_id: str) -> AnyTemplate:
    """The template. Raises NotFound when there is none and Forbidden when the actor may not read it. At most two
    queries.
    """
    found: AnyTemplate | None = kind.model.objects.filter(pk=template_id).first()
    if found is None:
        raise NotFound(kind.resource, template_id)
    if not _is_visible(found, actor):
        raise _hidden(kind, template_id)
    return found


def usable_templates(
    *, actor: Actor, project_id: str, wanted: Collection[tuple[str, str]], lock: bool = True
) -> dict[tuple[str, str], AnyTemplate]:
    """The templates for nodes of an instance of this project, by `(node type, template id)`; all of `wanted` or an
    error.

    Raises NotFound for a missing one, and Forbidden for a project template of another project or one that the actor
    may not
    read (A.3). With `lock` they cannot be deleted before the transaction ends. One query per kind and one for
    membership.
    """
    found: dict[tuple[str, str], AnyTemplate] = {}
    for word in sorted({word for word, _ in wanted}):
        kind = KINDS[word]
        ids = sorted({template_id for asked, template_id in wanted if asked == word})
        found |= {(word, row.pk): row for row in _rows(kind, ids, lock=lock)}
    missing = next((pair for pair in wanted if pair not in found), None)
    if missing is not None:
        raise NotFound(KINDS[missing[0]].resource, missing[1])
    of_projects = {pair: row for pair, row in found.items() if row.scope != GLOBAL}
    for (word, template_id), row in of_projects.items():
        if row.project_id != project_id:
            raise Forbidden(
                f"{KINDS[word].label.lower()} {template_id} is of another project and cannot be used in {project_id}",
                {"resource": KINDS[word].resource, "id": template_id},
            )
    foreign = next((pair for pair, row in of_projects.items() if row.created_by != actor.id), None)
    if foreign is not None and not actor.is_admin and not is_member(actor, project_id):
        raise _hidden(KINDS[foreign[0]], foreign[1])
    return found


def _rows(kind: TemplateKind, ids: list[str], *, lock: bool) -> list[AnyTemplate]:
    if not lock:
        return list(kind.model.objects.filter(pk__in=ids))
    # A key share lock stops only deletion: two authors who use one template do not wait for each other. Django has no
    # word for it.
    table = kind.model._meta.db_table
    query = f'SELECT * FROM "{table}" WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE'  # noqa: S608  the name is a constant of the model
    return list(kind.model.objects.raw(query, [ids]))


def _is_visible(template: AnyTemplate, actor: Actor) -> bool:
    if template.scope == GLOBAL or actor.has_everywhere(Right.READ) or template.created_by == actor.id:
        return True
    return is_member(actor, template.project_id)


def _hidden(kind: TemplateKind, template_id: str) -> Forbidden:
    return Forbidden(
        f"{kind.label.lower()} {template_id} is visible only inside its project; ask one of its managers to add you",
        {"resource": kind.resource, "id": template_id},
    )
