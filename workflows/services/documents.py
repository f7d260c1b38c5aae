"""Workflow files: checking one, applying one, and writing one for a workflow that exists.

What a file says is all of a workflow: applying it twice changes nothing the second time, and what `export_document` gives can be
applied with the outcome `unchanged`. A workflow is found again by project and name, a template by project (or global), kind and
name, a node by its name: it keeps its id, its journal and its history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from secflow.projects.access import join_or_refuse
from secflow.yaml_text import write_yaml
from templates_app.models import Template
from workflows.domain.actors import Actor, Right
from workflows.domain.errors import DomainError, Invalid
from workflows.domain.findings import Finding, Severity, has_errors, in_order, sentence
from workflows.domain.statuses import CleanupGoal
from workflows.locks import find_and_lock
from workflows.models import Cleanup, WorkflowInstance, WorkflowNode
from workflows.selectors.instances import get_visible_instance, visible_instances
from workflows.services.cluster import installation_uid
from workflows.services.document_export import instance_file
from workflows.services.document_planning import Plan, make_plan
from workflows.services.document_reading import ReadFile, Source, read_file
from workflows.services.document_templates import CREATED
from workflows.services.document_writing import carry_out
from workflows.services.previews import Manifest, Preview, preview_of

_HEADER = (
    "# A workflow of SecFlow. Apply it with `secflow apply -f FILE`, or send it to POST /api/workflow/documents.\n"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What applying the file did or would do. `action` is None when it cannot be said because of errors."""

    dry_run: bool
    instance_id: str | None
    instance_name: str | None
    action: str | None
    templates: list[dict[str, Any]]
    findings: list[Finding]
    manifests: list[Manifest]

    @property
    def is_good(self) -> bool:
        return not has_errors(self.findings)


class FileRefused(Invalid):
    """A workflow file has errors. `details.findings` holds all that was found, warnings too."""


def check_document(*, actor: Actor, source: Source) -> Outcome:
    """What applying the file would do; nothing is written. `source`: YAML or JSON text, or the value itself.

    Raises Forbidden when the actor may not work in the project at all; everything else stands in the findings.
    """
    read = read_file(source)
    if read.values is None:
        return _unread(read)
    installation_uid()  # made once per database, and not to be undone with the rest
    with transaction.atomic():
        plan = _plan(actor, read, lock=False)
        outcome = _outcome(plan, read, dry_run=True)
        # Nothing was changed, but whoever is first in a project would have become its manager.
        transaction.set_rollback(True)
    return outcome


def apply_document(*, actor: Actor, source: Source) -> Outcome:
    """Makes or changes the workflow and its templates as the file says, all or nothing. What is the same already is not written.

    Raises Forbidden as `check_document`, and FileRefused with the findings when there is an error among them.
    """
    read = read_file(source)
    if read.values is None:
        raise _refused(read.findings)
    installation_uid()
    with transaction.atomic():
        plan = _plan(actor, read, lock=True)
        if has_errors(plan.findings):
            raise _refused([*read.findings, *map(read.placed, plan.findings)])
        action = plan.action
        try:
            instance_id = carry_out(actor, plan, read.values)
        except DomainError as err:
            raise _refused([*read.findings, Finding(Severity.ERROR, (), err.message)]) from err
        plan.instance = WorkflowInstance.objects.get(pk=instance_id)
        if action == CREATED:
            _take_real_nodes(plan)
        return _outcome(plan, read, dry_run=False, action=action)


def export_document(*, actor: Actor, instance_id: str) -> dict[str, Any]:
    """The file of an instance, as a value; `apply_document` of it says `unchanged`. Raises NotFound or Forbidden."""
    get_visible_instance(actor=actor, instance_id=instance_id)
    instance = WorkflowInstance.objects.get(pk=instance_id)
    rivals = _not_deleting().filter(project_id=instance.project_id, name=instance.name).exclude(pk=instance.pk)
    return instance_file(actor, instance, has_rivals=rivals.exists())


def export_text(*, actor: Actor, instance_id: str) -> str:
    """As `export_document`, in YAML."""
    return _HEADER + write_yaml(export_document(actor=actor, instance_id=instance_id))


def outcome_output(outcome: Outcome) -> dict[str, Any]:
    """The outcome as the API shows it."""
    instance = {"id": outcome.instance_id, "name": outcome.instance_name, "action": outcome.action}
    return {
        "dry_run": outcome.dry_run,
        "instance": instance,
        "templates": outcome.templates,
        "findings": [finding.output() for finding in outcome.findings],
        "manifests": [manifest.output() for manifest in outcome.manifests],
    }


def _plan(actor: Actor, read: ReadFile, *, lock: bool) -> Plan:
    """Raises Forbidden, and FileRefused when it cannot be said which instance is meant."""
    assert read.values is not None
    project_id = read.values["metadata"]["project"]
    if lock:
        _take_turns(read.values)
    before = _find_instance(actor, read.values["metadata"])
    if isinstance(before, Finding):
        before = read.placed(before)
        return Plan(WorkflowInstance(project_id=project_id), None, {}, findings=[before])
    if before is None:
        join_or_refuse(actor, project_id)
    elif lock:
        before = find_and_lock(before.pk)
    return make_plan(actor, read.values, before)


def _take_turns(values: Mapping[str, Any]) -> None:
    """Files of one project are applied one after the other: two that make the same thing make it once."""
    scopes = {entry["scope"] for entry in values["spec"]["templates"].values() if entry["containers"] is not None}
    names = [f"files:{values['metadata']['project']}"]
    if Template.Scope.GLOBAL in scopes:
        names.append("files")  # always the second lock
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", [name])


def _find_instance(actor: Actor, metadata: Mapping[str, Any]) -> WorkflowInstance | Finding | None:
    """The instance that the file is about, None when it is to be made, or why that cannot be said."""
    project_id, name, id = metadata["project"], metadata["name"], metadata["id"]
    if id:
        try:
            get_visible_instance(actor=actor, instance_id=id, right=Right.EDIT)
        except DomainError as err:
            return Finding(Severity.ERROR, ("metadata", "id"), f"{err.message}; take the id out to go by the name")
        found = WorkflowInstance.objects.get(pk=id)
        if found.project_id != project_id:
            return Finding(Severity.ERROR, ("metadata", "project"), f"workflow {id} is in project {found.project_id}")
        return found
    rows = visible_instances(actor).filter(project_id=project_id, name=name)
    candidates = list(rows.exclude(cleanup__goal=CleanupGoal.DELETE).order_by("created_at", "id"))
    if len(candidates) > 1:
        ids = ", ".join(row.pk for row in candidates)
        message = (
            f"{len(candidates)} workflows of project {project_id} have this name; choose one in metadata.id: {ids}"
        )
        return Finding(Severity.ERROR, ("metadata", "name"), message)
    if not candidates:
        return None
    get_visible_instance(actor=actor, instance_id=candidates[0].pk, right=Right.EDIT)
    return candidates[0]


def _not_deleting() -> Any:
    return WorkflowInstance.objects.exclude(
        pk__in=Cleanup.objects.filter(goal=CleanupGoal.DELETE).values("instance_id")
    )


def _take_real_nodes(plan: Plan) -> None:
    """Replaces the planned nodes of a new instance by those that were made."""
    rows: dict[str, list[WorkflowNode]] = defaultdict(list)
    for row in plan.instance.node_set.order_by("created_at", "id"):
        rows[row.name].append(row)
    for node in plan.nodes:
        node.row = rows[node.row.name].pop(0)


def _outcome(plan: Plan, read: ReadFile, *, dry_run: bool, action: str | None = None) -> Outcome:
    preview = Preview([], [], [])
    if plan.nodes and not has_errors(plan.findings):
        preview = _preview(plan)
    findings = [*read.findings, *map(read.placed, [*plan.findings, *preview.findings])]
    is_good = not has_errors(findings)
    return Outcome(
        dry_run=dry_run,
        instance_id=plan.instance.pk if not dry_run or plan.before is not None else None,
        instance_name=plan.instance.name,
        action=(action or plan.action) if is_good else None,
        templates=[
            {
                "handle": planned.handle,
                "id": None if planned.row.pk.startswith("new:") else planned.row.pk,
                "kind": planned.kind.word,
                "name": planned.row.name,
                "action": planned.action,
            }
            for planned in plan.templates.values()
        ],
        findings=in_order(findings),
        manifests=preview.manifests,
    )


def _preview(plan: Plan) -> Preview:
    """Manifests and advice for the planned rows. What only a start would refuse is a warning: the file can be applied."""
    templates = {node.row.template_id: plan.template_of(node) for node in plan.nodes}
    handles = {
        planned.row.pk: ("spec", "templates", planned.handle)
        for planned in plan.templates.values()
        if not planned.is_reference
    }
    return preview_of(
        plan.instance,
        [node.row for node in plan.nodes],
        {id: template for id, template in templates.items() if template is not None},
        template_paths=handles,
        refused=Severity.WARNING,
    )


def _unread(read: ReadFile) -> Outcome:
    return Outcome(True, None, None, None, [], in_order(read.findings), [])


def _refused(findings: list[Finding]) -> FileRefused:
    ordered = in_order(findings)
    return FileRefused(
        f"the workflow file is refused: {sentence(ordered)}", {"findings": [finding.output() for finding in ordered]}
    )
