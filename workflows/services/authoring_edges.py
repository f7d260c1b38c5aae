"""Writes of edges, only in drafts (contract F). The relations of the nodes follow in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from workflows.domain.actors import Actor
from workflows.domain.edges import (
    Edge,
    check_meaning,
    check_unique,
    edges_changed,
    edges_with,
    edges_without,
    relations,
)
from workflows.domain.transitions import Verb
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.authoring_rules import MAX_EDGES, open_draft, refuse_too_many
from workflows.services.journal import Entry, append


def add_edge(*, instance_id: str, actor: Actor, edge: Edge) -> None:
    """Adds an edge of the form of contract C.9 (F.2).

    Raises NotFound, WrongStatus, Invalid for an unknown node or a self loop, CycleFound, and Conflict when the id is
    used or the two nodes are connected already.
    """
    with transaction.atomic():
        instance = open_draft(instance_id, Verb.EDIT_GRAPH)
        refuse_too_many("edges", len(instance.edges) + 1, MAX_EDGES)
        _write(instance, edges_with(_node_ids(instance), instance.edges, edge), actor, "add", [edge["edge_id"]])


def update_edge(*, instance_id: str, actor: Actor, edge_id: str, changes: Mapping[str, Any]) -> None:
    """Changes `source`, `target` or `shared_pvc` of an edge (F.2).

    Raises NotFound for an unknown `edge_id`, else as `add_edge`.
    """
    with transaction.atomic():
        instance = open_draft(instance_id, Verb.EDIT_GRAPH)
        edges = edges_changed(_node_ids(instance), instance.edges, edge_id, changes)
        _write(instance, edges, actor, "update", [edge_id])


def delete_edge(*, instance_id: str, actor: Actor, edge_id: str) -> None:
    """Removes an edge (F.2). One that does not exist is no error: clients delete edges that went with their node."""
    with transaction.atomic():
        instance = open_draft(instance_id, Verb.EDIT_GRAPH)
        _write(instance, edges_without(instance.edges, edge_id), actor, "delete", [edge_id])


def replace_edges(instance: WorkflowInstance, edges: Sequence[Edge], *, actor: Actor) -> None:
    """Gives the locked draft another set of edges (contract D.4, update). Raises Invalid, CycleFound or Conflict."""
    refuse_too_many("edges", len(edges), MAX_EDGES)
    check_meaning(_node_ids(instance), edges)
    check_unique(edges)
    _write(instance, list(edges), actor, "replace", [edge["edge_id"] for edge in edges])


def write_edges(instance: WorkflowInstance, edges: list[Edge]) -> None:
    """Stores the checked edges of the locked instance and makes the relations of its nodes agree (contract F.1)."""
    touched = {end for pair in _pairs(instance.edges) ^ _pairs(edges) for end in pair}
    instance.edges = edges
    instance.save(update_fields=["edges", "updated_at"])
    upstream, downstream = relations(edges)
    changed = []
    nodes = WorkflowNode.objects.filter(instance=instance, pk__in=touched)
    for node in nodes.only("id", "depends_on", "downstream_node_ids"):
        wanted = (upstream.get(node.pk, []), downstream.get(node.pk, []))
        if (node.depends_on, node.downstream_node_ids) != wanted:
            node.depends_on, node.downstream_node_ids = wanted
            changed.append(node)
    WorkflowNode.objects.bulk_update(changed, ["depends_on", "downstream_node_ids"], batch_size=500)


def _write(instance: WorkflowInstance, edges: list[Edge], actor: Actor, action: str, edge_ids: list[str]) -> None:
    if edges == instance.edges:
        return
    write_edges(instance, edges)
    append(instance, Entry("edges.changed", actor.id, data={"action": action, "edge_ids": edge_ids}))


def _pairs(edges: list[Edge]) -> set[tuple[str, str]]:
    return {(edge["source"], edge["target"]) for edge in edges}


def _node_ids(instance: WorkflowInstance) -> frozenset[str]:
    return frozenset(WorkflowNode.objects.filter(instance=instance).values_list("pk", flat=True))
