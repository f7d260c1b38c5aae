"""Writes of nodes, only in drafts (contract D.5). Each service is one transaction that holds the instance's lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from templates_app.models import AppTemplate, Template
from templates_app.selectors import usable_templates
from workflows.domain.actors import Actor
from workflows.domain.edges import edges_off
from workflows.domain.errors import Invalid, NotFound
from workflows.domain.ids import NODE, suffix_of
from workflows.domain.inputs import NodeView, check_sources
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.transitions import Verb
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.authoring_edges import write_edges
from workflows.services.authoring_rules import (
    MAX_NODES,
    new_ids,
    open_draft,
    refuse_incomplete_ingress,
    refuse_taken_service_names,
    refuse_too_many,
    refuse_unmet,
)
from workflows.services.building import node_view, service_of
from workflows.services.journal import Entry, append
from workflows.services.preflight import templates_of

PLAIN_FIELDS: Final = (
    "name",
    "position",
    "env_vars",
    "volume_mounts",
    "input_env_vars",
    "input_volume_mounts",
    "resources",
    "timeout_seconds",
)
INPUT_FIELDS: Final = frozenset({"env_vars", "volume_mounts", "input_env_vars", "input_volume_mounts"})
SOURCE_FIELDS: Final = ("input_env_vars", "input_volume_mounts")
# Field of the contract -> column. They mean something only where a node type has a Service (contract C.7).
SERVICE_FIELDS: Final = {
    "create_service": "create_service",
    "service_name": "requested_service_name",
    "service_ports": "service_ports",
    "service_type": "service_type",
    "create_ingress": "create_ingress",
    "ingress_type": "ingress_type",
    "ingress_host": "ingress_host",
    "ingress_ip": "ingress_ip",
}
_NO_INGRESS: Final[dict[str, Any]] = {
    "create_ingress": False,
    "ingress_type": None,
    "ingress_host": None,
    "ingress_ip": None,
}


def create_node(*, instance_id: str, actor: Actor, config: Mapping[str, Any]) -> str:
    """Adds a node to a draft and returns its id (contract C.7, D.5). `config` has the validated fields of C.7.

    Raises NotFound, WrongStatus, Forbidden for the template, Invalid, UnmetInputs, Conflict; nothing is written then.
    """
    with transaction.atomic():
        instance = open_draft(instance_id, Verb.EDIT_GRAPH)
        wanted = (config["node_type"], config["template_id"])
        template = usable_templates(actor=actor, project_id=instance.project_id, wanted=[wanted])[wanted]
        others = frozenset(WorkflowNode.objects.filter(instance=instance).values_list("pk", flat=True))
        refuse_too_many("nodes", len(others) + 1, MAX_NODES)
        check_sources(others, {field: config.get(field) or () for field in SOURCE_FIELDS})
        node = new_node(instance, config, template, id=new_ids(WorkflowNode, NODE, [id_text(instance, config)])[0])
        view = node_view(node, template)
        refuse_incomplete_ingress(node, view)
        refuse_unmet([view], name_node=False)
        _refuse_rivals(instance, view)
        node.save(force_insert=True)
        append(instance, created_entry(node, actor))
        return node.pk


def update_node(*, instance_id: str, node_id: str, actor: Actor, changes: Mapping[str, Any]) -> None:
    """Changes the given fields of a node of a draft (contract D.5); what is absent stays. No changes: nothing happens.

    `changes` may repeat `node_type` and `template_id`, but not with other values: Invalid. Else as `create_node`.
    """
    if not changes:
        return
    with transaction.atomic():
        instance = open_draft(instance_id, Verb.EDIT_GRAPH)
        node = _node_of(instance, node_id)
        template = templates_of([node]).get(node.template_id)
        if template is None:
            raise NotFound(f"{node.node_type}_template", node.template_id)
        for field in ("node_type", "template_id"):
            if changes.get(field, getattr(node, field)) != getattr(node, field):
                raise Invalid.field(field, f"is {getattr(node, field)} and cannot be changed; make a new node instead")
        changed = _apply(node, changes, template)
        if not changed:
            return
        _check_sources(instance, node, changes)
        view = node_view(node, template)
        if not changed.isdisjoint(SERVICE_FIELDS.values()):
            refuse_incomplete_ingress(node, view)
        if not changed.isdisjoint(INPUT_FIELDS):
            refuse_unmet([view], name_node=False)
        if not changed.isdisjoint(SERVICE_FIELDS.values()):
            _refuse_rivals(instance, view)
        node.save(update_fields=sorted(changed))
        append(instance, Entry("node.updated", actor.id, node_id=node.pk, data={"fields": sorted(changed)}))


def delete_node(*, instance_id: str, node_id: str, actor: Actor) -> None:
    """Removes a node of a draft with its edges; other nodes forget it as neighbour and as source (contract D.5).

    Raises NotFound, WrongStatus, Conflict.
    """
    with transaction.atomic():
        instance = open_draft(instance_id, Verb.EDIT_GRAPH)
        node = _node_of(instance, node_id)
        name = node.name
        node.delete()
        _forget_source(instance, node_id)
        left = edges_off(instance.edges, node_id)
        gone = [edge["edge_id"] for edge in instance.edges if node_id in (edge["source"], edge["target"])]
        if gone:
            write_edges(instance, left)
        append(instance, Entry("node.deleted", actor.id, node_id=node_id, data={"name": name, "edge_ids": gone}))


def new_node(instance: WorkflowInstance, config: Mapping[str, Any], template: Template, *, id: str) -> WorkflowNode:
    """A node that is not saved yet. Service fields of a type without a Service are dropped (contract C.7)."""
    node = WorkflowNode(
        id=id,
        node_id=id,
        instance=instance,
        node_type=config["node_type"],
        template_id=config["template_id"],
        **{field: config[field] for field in PLAIN_FIELDS if field in config},
    )
    if get_node_type(node.node_type).has_service:
        for field, column in SERVICE_FIELDS.items():
            setattr(node, column, config.get(field))
        if node.create_service is False:
            node.requested_service_name = None
    node.volume_mounts = with_declared_access(node.volume_mounts, template)
    return node


def id_text(instance: WorkflowInstance, config: Mapping[str, Any]) -> str:
    """The text that a node's id is made readable with (contract A.8)."""
    return f"{instance.name} {config['name']}"


def created_entry(node: WorkflowNode, actor: Actor) -> Entry:
    """The journal's entry for a new node."""
    data = {"name": node.name, "node_type": node.node_type, "template_id": node.template_id}
    return Entry("node.created", actor.id, node_id=node.pk, data=data)


def with_declared_access(mounts: list[dict[str, Any]], template: Template) -> list[dict[str, Any]]:
    """The mounts, those without `read_only` with what the template's containers declare for the path (contract G.2).

    Where containers declare different things it stays open, and each gets its own.
    """
    declared: dict[str, set[bool]] = {}
    for container in template.containers:
        for entry in container.get("input_volume_mounts") or ():
            declared.setdefault(entry["mount_path"], set()).add(entry.get("read_only") is not False)
    made = []
    for mount in mounts:
        wanted = declared.get(mount["mount_path"], {False})
        is_open = mount.get("read_only") is None and len(wanted) == 1
        made.append({**mount, "read_only": next(iter(wanted))} if is_open else mount)
    return made


def _node_of(instance: WorkflowInstance, node_id: str) -> WorkflowNode:
    node = WorkflowNode.objects.filter(instance=instance, pk=node_id).first()
    if node is None:
        raise NotFound("workflow_node", node_id)
    return node


def _apply(node: WorkflowNode, changes: Mapping[str, Any], template: Template) -> set[str]:
    """Writes the changes into the object and returns the columns that differ now."""
    values = {field: changes[field] for field in PLAIN_FIELDS if field in changes}
    if "volume_mounts" in values:
        values["volume_mounts"] = with_declared_access(values["volume_mounts"], template)
    if get_node_type(node.node_type).has_service:
        values |= {column: changes[field] for field, column in SERVICE_FIELDS.items() if field in changes}
        if changes.get("create_service") is False:
            values |= {"requested_service_name": None, "service_ports": [], **_NO_INGRESS}
        elif changes.get("create_ingress") is False:
            values |= _NO_INGRESS
    changed = {column for column, value in values.items() if getattr(node, column) != value}
    for column in changed:
        setattr(node, column, values[column])
    return changed


def _check_sources(instance: WorkflowInstance, node: WorkflowNode, changes: Mapping[str, Any]) -> None:
    entries = {field: changes[field] for field in SOURCE_FIELDS if changes.get(field)}
    if entries:
        others = WorkflowNode.objects.filter(instance=instance).exclude(pk=node.pk)
        check_sources(frozenset(others.values_list("pk", flat=True)), entries)


def _refuse_rivals(instance: WorkflowInstance, view: NodeView) -> None:
    """Raises Conflict when another node of the instance has chosen this node's Service name (contract H.2)."""
    names = {service_of(view, instance_id=instance.pk).name, view.requested_service_name} - {None}
    rivals = list(_who_may_hold(instance, names - {None}).exclude(pk=view.id)) if names else []
    templates = templates_of(rivals)
    views = [node_view(node, templates[node.template_id]) for node in rivals if node.template_id in templates]
    refuse_taken_service_names([*views, view], instance_id=instance.pk)


def _who_may_hold(instance: WorkflowInstance, names: Collection[str | None]) -> Any:
    """Nodes that have one of the names from themselves, from their template, or made up out of their id."""
    by_template = AppTemplate.objects.filter(service_name__in=names).values("pk")
    generated = Q()
    for name in names:
        generated |= Q(pk__endswith=f"-{suffix_of(str(name))}")
    chosen = Q(requested_service_name__in=names) | Q(requested_service_name=None, template_id__in=by_template)
    return WorkflowNode.objects.filter(chosen | generated, instance=instance)


def _forget_source(instance: WorkflowInstance, node_id: str) -> None:
    """Drops the entries of other nodes that point to a node which is gone."""
    changed = []
    pointing = Q(input_env_vars__contains=[{"source_node_id": node_id}])
    pointing |= Q(input_volume_mounts__contains=[{"source_node_id": node_id}])
    for node in WorkflowNode.objects.filter(pointing, instance=instance):
        for field in SOURCE_FIELDS:
            entries = getattr(node, field)
            setattr(node, field, [entry for entry in entries if entry["source_node_id"] != node_id])
        changed.append(node)
    WorkflowNode.objects.bulk_update(changed, SOURCE_FIELDS)
