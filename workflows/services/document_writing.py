"""Carrying out the plan of a workflow file, inside the transaction that holds its locks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from workflows.domain.actors import Actor
from workflows.domain.edges import check_unique, edges_off
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.authoring import create_instance
from workflows.services.authoring_edges import write_edges
from workflows.services.authoring_nodes import SERVICE_FIELDS, created_entry
from workflows.services.document_planning import Plan, PlannedNode
from workflows.services.document_templates import write_template
from workflows.services.journal import Entry, append

_BATCH: Final = 500


def carry_out(actor: Actor, plan: Plan, values: Mapping[str, Any]) -> str:
    """Writes what the plan changes and returns the id of the instance. A plan without changes writes nothing.

    New instances and all templates are made by the services of the API, which check once more. Raises DomainError.
    """
    for planned in plan.templates.values():
        write_template(actor, planned)
    for node in plan.nodes:
        if node.handle is not None:
            node.row.template_id = plan.templates[node.handle].row.pk
    if plan.before is None:
        return create_instance(actor=actor, values=_creation(plan, values))
    _update_instance(actor, plan, plan.before)
    return plan.before.pk


def _creation(plan: Plan, values: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the API that creates the instance: nodes name each other by `ref`."""
    spec, metadata = values["spec"], values["metadata"]
    called = {node.row.pk: node.called for node in plan.nodes}
    nodes = []
    for node, entry in zip(plan.nodes, spec["nodes"], strict=True):
        row = node.row
        config = {
            **entry,
            "ref": node.called,
            "node_type": row.node_type,
            "template_id": row.template_id,
            "position": row.position,
        }
        for key in ("input_env_vars", "input_volume_mounts"):
            config[key] = [
                {**source, "source_node_id": called[source["source_node_id"]]} for source in getattr(row, key)
            ]
        nodes.append(config)
    edges = [edge | {end: called[edge[end]] for end in ("source", "target")} for edge in plan.edges]
    return {**spec, "name": metadata["name"], "project_id": metadata["project"], "nodes": nodes, "edges": edges}


def _update_instance(actor: Actor, plan: Plan, before: WorkflowInstance) -> None:
    """Brings the locked instance to what the plan says; the nodes that stay keep their ids."""
    entries: list[Entry] = []
    if plan.changed:
        for key in plan.changed:
            setattr(before, key, getattr(plan.instance, key))
        before.save(update_fields=[*plan.changed, "updated_at"])
        entries.append(Entry("instance.updated", actor.id, data={"fields": sorted(plan.changed)}))
    entries += _update_nodes(actor, plan, before)
    append(before, *entries)


def _update_nodes(actor: Actor, plan: Plan, before: WorkflowInstance) -> list[Entry]:
    entries: list[Entry] = []
    left = before.edges
    for node in plan.gone:
        edge_ids = [edge["edge_id"] for edge in left if node.pk in (edge["source"], edge["target"])]
        left = edges_off(left, node.pk)
        data = {"name": node.name, "edge_ids": edge_ids}
        entries.append(Entry("node.deleted", actor.id, node_id=node.pk, data=data))
    WorkflowNode.objects.filter(pk__in=[node.pk for node in plan.gone]).delete()
    changed = [node for node in plan.nodes if node.before is not None and node.changed]
    _write_changed(changed)
    entries += [
        Entry("node.updated", actor.id, node_id=node.row.pk, data={"fields": columns_of(node)}) for node in changed
    ]
    new = [node.row for node in plan.nodes if node.before is None]
    for row in new:
        row.instance = before
    WorkflowNode.objects.bulk_create(new, batch_size=_BATCH)
    entries += [created_entry(row, actor) for row in new]
    if plan.edges_change:
        check_unique(plan.edges)
        write_edges(before, plan.edges)
        data = {"action": "replace", "edge_ids": [edge["edge_id"] for edge in plan.edges]}
        entries.append(Entry("edges.changed", actor.id, data=data))
    return entries


def columns_of(node: PlannedNode) -> list[str]:
    """The columns that hold what differs."""
    return sorted({SERVICE_FIELDS.get(key, key) for key in node.changed})


def _write_changed(nodes: list[PlannedNode]) -> None:
    """Writes the rows of these nodes. Names of Services are given up first, so that two nodes can exchange theirs."""
    if not nodes:
        return
    ids = [node.row.pk for node in nodes if "requested_service_name" in columns_of(node)]
    WorkflowNode.objects.filter(pk__in=ids).update(requested_service_name=None)
    columns = sorted({column for node in nodes for column in columns_of(node)})
    WorkflowNode.objects.bulk_update([_merged(node) for node in nodes], columns, batch_size=_BATCH)


def _merged(node: PlannedNode) -> WorkflowNode:
    """The row as it was, with what differs: the columns of one statement are those of all its rows."""
    assert node.before is not None
    for column in columns_of(node):
        setattr(node.before, column, getattr(node.row, column))
    return node.before
