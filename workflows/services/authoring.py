"""Writes of instances as drafts (contract D.4). Each service is one transaction: all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import transaction

from secflow.projects.access import join_or_refuse
from templates_app.models import Template
from templates_app.selectors import usable_templates
from workflows.domain.actors import Actor
from workflows.domain.drafts import Handles
from workflows.domain.edges import Edge, check_meaning, check_unique, relations
from workflows.domain.errors import Invalid
from workflows.domain.ids import INSTANCE, NODE
from workflows.domain.statuses import RunMode
from workflows.domain.transitions import Verb
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.authoring_edges import replace_edges
from workflows.services.authoring_nodes import created_entry, id_text, new_node
from workflows.services.authoring_rules import (
    MAX_EDGES,
    MAX_NODES,
    new_ids,
    open_draft,
    refuse_incomplete_ingress,
    refuse_taken_service_names,
    refuse_too_many,
    refuse_unmet,
)
from workflows.services.building import node_view
from workflows.services.journal import Entry, append
from workflows.services.moves import require

FLAGS: Final = ("trigger_enabled", "is_active")


def create_instance(*, actor: Actor, values: Mapping[str, Any]) -> str:
    """Makes a draft with its nodes and edges and returns its id (contract D.4, F.3).

    `values`: `name`, `description`, `project_id`, `run_mode`, `trigger_type`, `trigger_enabled`, `nodes` (fields of C.7
    each) and `edges` (C.9), all validated. Edges and input sources name nodes by `ref`, or by a name that only one has.

    Raises Forbidden for the project or a template, NotFound for a template, Invalid, CycleFound, UnmetInputs, Conflict.
    """
    configs, edges = values["nodes"], values["edges"]
    with transaction.atomic():
        join_or_refuse(actor, values["project_id"])
        wanted = [(config["node_type"], config["template_id"]) for config in configs]
        templates = usable_templates(actor=actor, project_id=values["project_id"], wanted=wanted)
        refuse_too_many("nodes", len(configs), MAX_NODES)
        refuse_too_many("edges", len(edges), MAX_EDGES)
        handles = Handles(configs)
        # Checked under the caller's own words: the generated ids mean nothing to it before they are stored.
        edges = handles.resolved_edges(edges)
        check_meaning(handles.all, edges)
        configs = handles.resolved_sources(configs)
        instance = _new_instance(actor, values)
        nodes = _new_nodes(instance, configs, [templates[pair] for pair in wanted])
        views = [node_view(node, templates[pair]) for node, pair in zip(nodes, wanted, strict=True)]
        for place, (node, view) in enumerate(zip(nodes, views, strict=True)):
            refuse_incomplete_ingress(node, view, prefix=f"nodes.{place}.")
        refuse_unmet(views, name_node=len(views) > 1)
        check_unique(edges)
        refuse_taken_service_names(views, instance_id=instance.pk)
        _connect(instance, nodes, handles.all, edges)
        instance.save(force_insert=True)
        WorkflowNode.objects.bulk_create(nodes, batch_size=500)
        data = {"nodes": len(nodes), "edges": len(edges)}
        append(
            instance,
            Entry("instance.created", actor.id, data=data),
            *(created_entry(node, actor) for node in nodes),
        )
        return instance.pk


def update_instance(*, instance_id: str, actor: Actor, changes: Mapping[str, Any]) -> None:
    """Changes `name`, `description`, `trigger_enabled`, `is_active` or `edges`, whatever is given (contract D.4).

    No changes: nothing happens, in any status. Raises NotFound, WrongStatus, Conflict, Invalid for a flag outside
    `persistent` mode, and for edges as contract F.2 says.
    """
    if not changes:
        return
    with transaction.atomic():
        instance = open_draft(instance_id, Verb.UPDATE)
        if "edges" in changes:
            require(instance, Verb.EDIT_GRAPH)
        for flag in FLAGS:
            if flag in changes and instance.run_mode != RunMode.PERSISTENT:
                raise Invalid.field(flag, f"can only be changed in run mode persistent, this is {instance.run_mode}")
        values = {field: value for field, value in changes.items() if field != "edges"}
        changed = sorted(field for field, value in values.items() if getattr(instance, field) != value)
        if "edges" in changes:
            replace_edges(instance, changes["edges"], actor=actor)
        if changed:
            for field in changed:
                setattr(instance, field, values[field])
            instance.save(update_fields=[*changed, "updated_at"])
            append(instance, Entry("instance.updated", actor.id, data={"fields": changed}))


def _new_instance(actor: Actor, values: Mapping[str, Any]) -> WorkflowInstance:
    return WorkflowInstance(
        id=new_ids(WorkflowInstance, INSTANCE, [values["name"]])[0],
        name=values["name"],
        description=values["description"],
        project_id=values["project_id"],
        run_mode=values["run_mode"],
        trigger_type=values["trigger_type"],
        trigger_enabled=values["trigger_enabled"],
        created_by=actor.id,
    )


def _new_nodes(
    instance: WorkflowInstance, configs: Sequence[Mapping[str, Any]], templates: Sequence[Template]
) -> list[WorkflowNode]:
    ids = new_ids(WorkflowNode, NODE, [id_text(instance, config) for config in configs])
    return [
        new_node(instance, config, template, id=id)
        for id, config, template in zip(ids, configs, templates, strict=True)
    ]


def _connect(
    instance: WorkflowInstance, nodes: Sequence[WorkflowNode], handles: Sequence[str], edges: Sequence[Edge]
) -> None:
    """Writes edges, relations and input sources under the ids that the nodes got."""
    id_of = {handle: node.pk for handle, node in zip(handles, nodes, strict=True)}
    instance.edges = [edge | {end: id_of[edge[end]] for end in ("source", "target")} for edge in edges]
    upstream, downstream = relations(instance.edges)
    for node in nodes:
        node.depends_on = upstream.get(node.pk, [])
        node.downstream_node_ids = downstream.get(node.pk, [])
        for entry in [*node.input_env_vars, *node.input_volume_mounts]:
            entry["source_node_id"] = id_of[entry["source_node_id"]]
