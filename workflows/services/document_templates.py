"""What a workflow file does to templates: which exist, which are made or changed, and what stands against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q

from templates_app import services
from templates_app.kinds import KINDS, AnyTemplate, TemplateKind
from templates_app.models import Template
from templates_app.references import instances_using
from templates_app.selectors import visible_to
from workflows.domain.actors import Actor
from workflows.domain.errors import DomainError
from workflows.domain.findings import Finding, Path, Severity
from workflows.services.document_forms import template_fields, template_form

GLOBAL, PROJECT = Template.Scope.GLOBAL, Template.Scope.PROJECT
CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
_NAMED: Final = 5  # workflows in one sentence


@dataclass(slots=True)
class PlannedTemplate:
    """One template of the file: the row as it will be, and what is done to get there.

    A template that is made has the id `new:<handle>` until it is written.
    """

    handle: str
    kind: TemplateKind
    row: AnyTemplate
    action: str
    is_reference: bool
    changes: dict[str, Any]


def plan_templates(
    actor: Actor, project_id: str, entries: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, PlannedTemplate], list[Finding]]:
    """The templates by handle, without those that cannot be, and what there is to say. Writes nothing; two queries, and one or
    two for each template that changes.
    """
    planned: dict[str, PlannedTemplate] = {}
    findings: list[Finding] = []
    candidates = _Candidates(actor, project_id, entries)
    meant: dict[str, str] = {}  # id or identity -> handle
    for handle, entry in entries.items():
        path: Path = ("spec", "templates", handle)
        found, problem = candidates.of(handle, entry)
        if problem:
            findings.append(Finding(Severity.ERROR, path, problem))
            continue
        key = found.pk if found else f"{entry['kind']}/{entry['scope']}/{entry.get('name') or handle}"
        if key in meant:
            message = f"is the same template as {meant[key]}; keep one of them, or give it another name"
            findings.append(Finding(Severity.ERROR, path, message))
            continue
        meant[key] = handle
        made = _planned(actor, project_id, handle, entry, found)
        findings += _refusals(actor, made, found, path)
        if made.action == UPDATED:
            findings += _others_that_change(made.row.pk, path)
        planned[handle] = made
    return planned, findings


def write_template(actor: Actor, planned: PlannedTemplate) -> None:
    """Makes or changes the template by the services of the API; afterwards `row` has its real id. Raises DomainError."""
    if planned.action == CREATED:
        row = planned.row
        values = {field: getattr(row, field) for field in ("name", "project_id", *template_fields(row))}
        planned.row = services.create_template(planned.kind, actor=actor, values=values)
    elif planned.action == UPDATED:
        planned.row = services.update_template(
            planned.kind, actor=actor, template_id=planned.row.pk, changes=planned.changes
        )


class _Candidates:
    """The templates that the entries may mean, read at once."""

    def __init__(self, actor: Actor, project_id: str, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self._by_identity: dict[tuple[str, str, str], list[AnyTemplate]] = {}
        self._by_id: dict[str, AnyTemplate] = {}
        self._project_id = project_id
        for word, kind in KINDS.items():
            mine = {handle: entry for handle, entry in entries.items() if entry["kind"] == word}
            names = {entry.get("name") or handle for handle, entry in mine.items()}
            if not names:
                continue
            in_reach = Q(scope=GLOBAL) | Q(scope=PROJECT, project_id=project_id)
            rows = kind.model.objects.filter(in_reach, visible_to(actor), name__in=names).order_by("created_at", "id")
            for row in rows:
                self._by_identity.setdefault((word, row.scope, row.name), []).append(row)
                self._by_id[row.pk] = row

    def of(self, handle: str, entry: Mapping[str, Any]) -> tuple[AnyTemplate | None, str | None]:
        """The template that the entry means, None when there is none yet; or why that cannot be said."""
        name = entry.get("name") or handle
        found = self._by_identity.get((entry["kind"], entry["scope"], name), [])
        where = "global" if entry["scope"] == GLOBAL else f"project {self._project_id}'s"
        label = f"{where} {entry['kind']} template called {name}"
        if entry["id"]:
            chosen = next((row for row in found if row.pk == entry["id"]), None)
            return chosen, None if chosen else f"no {label} has the id {entry['id']}; take the id out to go by the name"
        if len(found) > 1:
            ids = ", ".join(row.pk for row in found)
            return None, f"{len(found)} templates could be meant, {ids}; choose one by its id"
        if not found and entry["containers"] is None:
            return None, f"there is no {label}; give its containers to make one"
        return (found[0] if found else None), None


def _planned(
    actor: Actor, project_id: str, handle: str, entry: Mapping[str, Any], found: AnyTemplate | None
) -> PlannedTemplate:
    kind = KINDS[entry["kind"]]
    if entry["containers"] is None:
        assert found is not None
        return PlannedTemplate(handle, kind, found, UNCHANGED, is_reference=True, changes={})
    values = {key: value for key, value in entry.items() if key not in ("kind", "id")}
    values["name"] = entry.get("name") or handle
    # A global template may belong to a project that is not this one; that is no matter of the file.
    values["project_id"] = found.project_id if found else (project_id if entry["scope"] == PROJECT else None)
    row = kind.model(**values, created_by=found.created_by if found else actor.id)
    row.pk = found.pk if found else f"new:{handle}"
    if found is None:
        return PlannedTemplate(handle, kind, row, CREATED, is_reference=False, changes={})
    if template_form(row) == template_form(found):
        return PlannedTemplate(handle, kind, found, UNCHANGED, is_reference=False, changes={})
    changes = {
        field: getattr(row, field) for field in template_fields(row) if getattr(row, field) != getattr(found, field)
    }
    return PlannedTemplate(handle, kind, row, UPDATED, is_reference=False, changes=changes)


def _refusals(actor: Actor, made: PlannedTemplate, found: AnyTemplate | None, path: Path) -> list[Finding]:
    """What the services would refuse, all of it."""
    if made.action == UNCHANGED:
        return []
    containers = made.row.containers if made.action == CREATED else made.changes.get("containers") or []
    checks: list[Callable[[], None]] = [lambda: services.refuse_privileged({"containers": containers})]
    if found is None:
        checks.append(lambda: services.refuse_global(actor, made.row.scope))
    else:
        checks.append(lambda: services.check_may_change(actor, found))
    findings = []
    for check in checks:
        try:
            check()
        except DomainError as err:
            hint = "" if found is None else "; to use it as it is, name it without its containers"
            findings.append(Finding(Severity.ERROR, path, f"{err.message}{hint}"))
    return findings


def _others_that_change(template_id: str, path: Path) -> list[Finding]:
    users = instances_using(template_id)
    if len(users) < 2:
        return []
    names = ", ".join(users[:_NAMED]) + (" and others" if len(users) > _NAMED else "")
    message = f"changes for all {len(users)} workflows that use it, from their next start: {names}"
    return [Finding(Severity.INFO, path, message)]
