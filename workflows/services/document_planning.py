"""What applying a workflow file would do, as rows that are not saved, and everything that stands against it. Writes nothing."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from templates_app.kinds import KINDS
from templates_app.models import Template
from templates_app.selectors import usable_templates
from workflows.domain.actors import Actor
from workflows.domain.edges import Edge
from workflows.domain.errors import DomainError
from workflows.domain.findings import Finding, Path, Severity
from workflows.domain.ids import INSTANCE, NODE
from workflows.domain.inputs import NodeView, unmet_inputs
from workflows.domain.statuses import RunMode
from workflows.domain.transitions import Verb
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.models.node import origin
from workflows.services.authoring_nodes import id_text, new_node
from workflows.services.authoring_rules import (
    new_ids,
    refuse_deleting,
    refuse_incomplete_ingress,
    refuse_taken_service_names,
)
from workflows.services.building import node_view
from workflows.services.document_forms import Form, node_form, spec_form
from workflows.services.document_templates import CREATED, UNCHANGED, UPDATED, PlannedTemplate, plan_templates
from workflows.services.moves import require

_CHANGEABLE = ("description", "trigger_enabled")
_FIXED = ("run_mode", "trigger_type")
_EDGE_ID_LIMIT = 240  # room for a number


@dataclass(slots=True)
class PlannedNode:
    """A node as it will be. `before` is the row that it is now, None for a new one; `changed` are the columns that differ."""

    row: WorkflowNode
    handle: str | None  # of the file's template, None when it names one by id
    called: str
    before: WorkflowNode | None = None
    changed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """The instance as it will be, with all that belongs to it."""

    instance: WorkflowInstance
    before: WorkflowInstance | None
    templates: dict[str, PlannedTemplate]
    nodes: list[PlannedNode] = field(default_factory=list)
    gone: list[WorkflowNode] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # fields of the instance
    edges_change: bool = False
    foreign: dict[str, Template] = field(default_factory=dict)  # templates that nodes name by id
    findings: list[Finding] = field(default_factory=list)

    @property
    def graph_changes(self) -> bool:
        nodes = any(node.before is None or node.changed for node in self.nodes)
        return nodes or bool(self.gone) or self.edges_change

    @property
    def action(self) -> str:
        if self.before is None:
            return CREATED
        return UPDATED if self.changed or self.graph_changes else UNCHANGED

    def template_of(self, node: PlannedNode) -> Template | None:
        if node.handle is not None:
            planned = self.templates.get(node.handle)
            return planned.row if planned else None
        return self.foreign.get(node.row.template_id)

    def refuse(self, path: Path, message: str, node: WorkflowNode | None = None) -> None:
        self.findings.append(Finding(Severity.ERROR, path, message, node=node.name if node else None))


def make_plan(actor: Actor, values: Mapping[str, Any], before: WorkflowInstance | None) -> Plan:
    """The plan for a file of good form. `before` is the instance that the file is about, locked if the plan is carried out."""
    metadata, spec = values["metadata"], values["spec"]
    templates, findings = plan_templates(actor, metadata["project"], spec["templates"])
    plan = Plan(_instance(actor, values, before), before, templates, findings=findings)
    existing = [] if before is None else list(before.node_set.order_by("created_at", "id"))
    _add_foreign_templates(plan, actor, spec["nodes"])
    _add_nodes(plan, spec["nodes"], existing)
    _add_edges(plan, spec["edges"])
    _compare(plan)
    _check_nodes(plan)
    _check_state(plan)
    used = {node.handle for node in plan.nodes}
    for handle in spec["templates"]:
        if handle not in used:
            path: Path = ("spec", "templates", handle)
            plan.findings.append(Finding(Severity.WARNING, path, "no node uses this template"))
    return plan


def _instance(actor: Actor, values: Mapping[str, Any], before: WorkflowInstance | None) -> WorkflowInstance:
    metadata, spec = values["metadata"], values["spec"]
    wanted = {"name": metadata["name"], **{key: spec[key] for key in (*_CHANGEABLE, *_FIXED)}}
    if before is None:
        id = new_ids(WorkflowInstance, INSTANCE, [metadata["name"]])[0]
        return WorkflowInstance(id=id, project_id=metadata["project"], created_by=actor.id, **wanted)
    instance = copy.copy(before)
    for key, value in wanted.items():
        setattr(instance, key, value)
    return instance


def _add_foreign_templates(plan: Plan, actor: Actor, entries: Sequence[Mapping[str, Any]]) -> None:
    """Reads the templates that nodes name by id, and locks all that exist against deletion."""
    ids = {entry["template_id"] for entry in entries if entry["template_id"]}
    kinds = {
        pk: word
        for word, kind in KINDS.items()
        if ids
        for pk in kind.model.objects.filter(pk__in=ids).values_list("pk", flat=True)
    }
    project_id = plan.instance.project_id
    wanted = {(kinds[pk], pk) for pk in ids if pk in kinds}
    wanted |= {(planned.kind.word, planned.row.pk) for planned in plan.templates.values() if planned.action != CREATED}
    found: dict[tuple[str, str], Any] = {}
    refusals: dict[str, str] = {pk: f"template {pk} does not exist" for pk in ids - kinds.keys()}
    try:
        found = usable_templates(actor=actor, project_id=project_id, wanted=wanted)
    except DomainError:
        for pair in sorted(wanted):
            try:
                found |= usable_templates(actor=actor, project_id=project_id, wanted=[pair])
            except DomainError as err:
                refusals[pair[1]] = err.message
    plan.foreign = {pk: row for (_, pk), row in found.items() if pk in ids}
    for place, entry in enumerate(entries):
        id, kind = entry["template_id"], kinds.get(entry["template_id"])
        if id in refusals:
            path: Path = ("spec", "nodes", place, "template_id")
            plan.findings.append(Finding(Severity.ERROR, path, refusals[id], node=entry["name"]))
        elif id and entry["node_type"] not in (None, kind):
            message = f"is {kind}, because the template {id} is"
            path = ("spec", "nodes", place, "node_type")
            plan.findings.append(Finding(Severity.ERROR, path, message, node=entry["name"]))


def _add_nodes(plan: Plan, entries: Sequence[Mapping[str, Any]], existing: Sequence[WorkflowNode]) -> None:
    """Pairs the nodes of the file with those that exist: by name, and in order where several have it. A node whose template
    changes is a new one (contract C.8).
    """
    waiting: dict[str, list[WorkflowNode]] = defaultdict(list)
    for node in existing:
        waiting[node.name].append(node)
    pairs: list[tuple[Mapping[str, Any], Template, str, WorkflowNode | None]] = []
    for place, entry in enumerate(entries):
        template, kind = _template_of(plan, entry)
        before = waiting[entry["name"]].pop(0) if waiting[entry["name"]] else None
        if template is None:
            plan.gone += [before] if before else []
            continue
        if before is not None and (before.template_id, before.node_type) != (template.pk, kind):
            message = "is made anew with another id, because its template changes"
            path: Path = ("spec", "nodes", place)
            plan.findings.append(Finding(Severity.INFO, path, message, node=entry["name"], node_id=before.pk))
            plan.gone.append(before)
            before = None
        pairs.append((entry, template, kind, before))
    plan.gone += [node for group in waiting.values() for node in group]
    new = [entry for entry, _, _, before in pairs if before is None]
    ids = iter(new_ids(WorkflowNode, NODE, [id_text(plan.instance, entry) for entry in new]))
    words = Counter(entry["name"] for entry, _, _, _ in pairs)
    for entry, template, kind, before in pairs:
        config = {
            **entry,
            "node_type": kind,
            "template_id": template.pk,
            "position": entry["position"] or (before.position if before else origin()),
        }
        row = new_node(plan.instance, config, template, id=before.pk if before else next(ids))
        called = entry["ref"] or (entry["name"] if words[entry["name"]] == 1 else row.pk)
        plan.nodes.append(PlannedNode(row, entry["template"] or None, called, before))
    _resolve_sources(plan)


def _template_of(plan: Plan, entry: Mapping[str, Any]) -> tuple[Template | None, str]:
    if entry["template"]:
        planned = plan.templates.get(entry["template"])
        return (planned.row, planned.kind.word) if planned else (None, "")
    row = plan.foreign.get(entry["template_id"])
    word = next((word for word, kind in KINDS.items() if isinstance(row, kind.model)), "")
    return row, word


def _ids_by_name(plan: Plan) -> dict[str, str]:
    """Node ids by what the file calls the nodes: a ref wins over a name."""
    by_name = {node.row.name: node.row.pk for node in plan.nodes}
    return by_name | {node.called: node.row.pk for node in plan.nodes}


def _resolve_sources(plan: Plan) -> None:
    ids = _ids_by_name(plan)
    for node in plan.nodes:
        for key in ("input_env_vars", "input_volume_mounts"):
            made = []
            for entry in getattr(node.row, key):
                kept = {name: value for name, value in entry.items() if name != "source_node"}
                made.append({**kept, "source_node_id": ids.get(entry["source_node"], entry["source_node"])})
            setattr(node.row, key, made)


def _add_edges(plan: Plan, entries: Sequence[Mapping[str, Any]]) -> None:
    """Edges between the planned nodes. One that connects the same two nodes as before keeps its id."""
    ids = _ids_by_name(plan)
    before = {(edge["source"], edge["target"]): edge for edge in (plan.before.edges if plan.before else ())}
    kept = {edge["edge_id"] for edge in before.values()}
    for entry in entries:
        source, target = ids.get(entry["from"]), ids.get(entry["to"])
        if source is None or target is None:
            continue  # its node could not be planned, which is among the findings
        known = before.get((source, target))
        edge_id = known["edge_id"] if known else _free_edge_id(f"{entry['from']}-{entry['to']}", kept)
        plan.edges.append({"edge_id": edge_id, "source": source, "target": target, "shared_pvc": entry["shared_pvc"]})
    plan.instance.edges = plan.edges


def _free_edge_id(word: str, taken: set[str]) -> str:
    word = word[:_EDGE_ID_LIMIT]
    number, found = 2, word
    while found in taken:
        number, found = number + 1, f"{word}-{number}"
    taken.add(found)
    return found


def _compare(plan: Plan) -> None:
    """Finds out what differs from what is there, by the form that a file has for both."""
    before = plan.before
    if before is None:
        return
    if plan.instance.name != before.name:
        plan.changed.append("name")
    old, new = spec_form(before), spec_form(plan.instance)
    for key in (*_CHANGEABLE, *_FIXED):
        if old.get(key) != new.get(key):
            plan.changed.append(key)
    for node in plan.nodes:
        if node.before is not None:
            # Both with the template as it will be, and sources by their ids: a node of the same name may be a new one.
            template = plan.template_of(node)
            node.changed = _differing(node_form(node.before, template, {}), node_form(node.row, template, {}))
    plan.edges_change = _as_set(before.edges) != _as_set(plan.edges)
    if not plan.edges_change:
        plan.instance.edges = plan.edges = before.edges


def _differing(old: Form, new: Form) -> list[str]:
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def _as_set(edges: Sequence[Edge]) -> set[tuple[str, str, str | None]]:
    return {(edge["source"], edge["target"], edge.get("shared_pvc")) for edge in edges}


def _check_nodes(plan: Plan) -> None:
    """The rules of the API for nodes, each for each node (contract C.7, G.4, H.2)."""
    views: list[NodeView] = []
    for place, node in enumerate(plan.nodes):
        template = plan.template_of(node)
        assert template is not None
        view = node_view(node.row, template)
        views.append(view)
        path: Path = ("spec", "nodes", place)
        for item in unmet_inputs(view):
            plan.refuse(path, f"container {item['container']}: {item['message']}", node.row)
        for message, inner in _refusal(partial(refuse_incomplete_ingress, node.row, view)):
            plan.refuse((*path, *inner), message, node.row)
    for message, _ in _refusal(lambda: refuse_taken_service_names(views, instance_id=plan.instance.pk)):
        plan.refuse(("spec", "nodes"), message)


def _check_state(plan: Plan) -> None:
    """Whether the instance may be changed as it is now (contract D.2)."""
    before = plan.before
    if before is None or plan.action == UNCHANGED:
        return
    path: Path = ("metadata", "name")
    for key in _FIXED:
        if key in plan.changed:
            was = getattr(before, key)
            plan.refuse(("spec", key), f"is {was} and cannot be changed; give the workflow of this file another name")
    if "trigger_enabled" in plan.changed and plan.instance.run_mode != RunMode.PERSISTENT:
        message = f"can only be changed in run mode persistent, this is {before.run_mode}"
        plan.refuse(("spec", "trigger_enabled"), message)
    verb = Verb.EDIT_GRAPH if plan.graph_changes else Verb.UPDATE
    for message, _ in (*_refusal(lambda: require(before, verb)), *_refusal(lambda: refuse_deleting(before))):
        plan.refuse(path, message)


def _refusal(check: Callable[[], None]) -> list[tuple[str, Path]]:
    """What a rule of the authoring services says: its messages, with the fields that it names."""
    try:
        check()
    except DomainError as err:
        fields = err.details.get("fields", ()) if isinstance(err.details, dict) else ()
        return [(item["message"], (item["field"],)) for item in fields] or [(err.message, ())]
    return []
