"""Reads of nodes with what their templates add to them (contract C.8). Whoever calls has checked the actor's right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from django.db.models import OuterRef, QuerySet, Subquery

from templates_app.models import AppTemplate, JobTemplate
from workflows.domain.errors import NotFound
from workflows.domain.inputs import TemplateView
from workflows.domain.statuses import NodeStatus
from workflows.models import NodeRun, WorkflowNode

_COLUMNS: Final = (
    "id",
    "instance_id",
    "node_type",
    "template_id",
    "name",
    "status",
    "k8s_resource_name",
    "k8s_resource_type",
    "service_name",
    "requested_service_name",
    "position",
    "env_vars",
    "volume_mounts",
    "input_env_vars",
    "input_volume_mounts",
    "resources",
    "depends_on",
    "downstream_node_ids",
    "timeout_seconds",
    "create_service",
    "service_ports",
    "service_type",
    "create_ingress",
    "ingress_type",
    "ingress_host",
    "ingress_ip",
    "started_at",
    "finished_at",
    "message",
    "created_at",
)
_MAY_BE_TROUBLED: Final = frozenset({NodeStatus.PENDING, NodeStatus.RUNNING, NodeStatus.FAILED})
_SERVICE_COLUMNS: Final = ("create_service", "service_name", "service_ports", "service_type")

Rows = list[dict[str, Any]]


def node_rows(instance_ids: Collection[str]) -> dict[str, Rows]:
    """The columns of every node of these instances, oldest first, by instance id.

    One query, and one more when some node is in trouble: such a node has its `diagnosis` too.
    """
    found: dict[str, Rows] = defaultdict(list)
    if instance_ids:
        nodes = WorkflowNode.objects.filter(instance_id__in=instance_ids).order_by("created_at", "id")
        rows = list(nodes.values(*_COLUMNS))
        _add_diagnoses(rows)
        for row in rows:
            found[row["instance_id"]].append(row)
    return found


def node_row(*, instance_id: str, node_id: str) -> dict[str, Any]:
    """The columns of one node. Raises NotFound, also for a node of another instance (contract D.5)."""
    row = WorkflowNode.objects.filter(pk=node_id, instance_id=instance_id).values(*_COLUMNS).first()
    if row is None:
        raise NotFound("workflow_node", node_id)
    _add_diagnoses([row])
    return row


def _add_diagnoses(rows: Rows) -> None:
    """Gives nodes that failed or do not get on what their newest record says about it."""
    troubled = {row["id"]: row for row in rows if row["message"] and row["status"] in _MAY_BE_TROUBLED}
    if not troubled:
        return
    # By instance: the newest records of an instance are those of its nodes, however many runs there were.
    records = NodeRun.objects.filter(instance_id=OuterRef("instance_id"), node_id=OuterRef("pk")).order_by("-id")
    nodes = WorkflowNode.objects.filter(pk__in=troubled).values_list("pk", Subquery(records.values("diagnosis")[:1]))
    for node_id, diagnosis in nodes:
        if diagnosis:
            troubled[node_id]["diagnosis"] = diagnosis


def get_node(*, instance_id: str, node_id: str) -> WorkflowNode:
    """The node with its instance. Raises NotFound, also for a node of another instance (contract D.5)."""
    node = WorkflowNode.objects.select_related("instance").filter(pk=node_id, instance_id=instance_id).first()
    if node is None:
        raise NotFound("workflow_node", node_id)
    return node


def node_type_of(*, instance_id: str, node_id: str) -> str:
    """The type of a node, one query. Raises NotFound unless the node is one of the instance's."""
    found = WorkflowNode.objects.filter(pk=node_id, instance_id=instance_id).values_list("node_type", flat=True).first()
    if found is None:
        raise NotFound("workflow_node", node_id)
    return str(found)


def has_inputs(node: Mapping[str, Any]) -> bool:
    """Whether the node takes anything from upstream nodes, so that showing it means resolving them."""
    return bool(node["input_env_vars"] or node["input_volume_mounts"])


def template_views(nodes: Sequence[dict[str, Any]]) -> dict[str, TemplateView]:
    """The templates of these nodes by id; at most one query per kind.

    Containers, the heavy part, are read only when some node has inputs to resolve. Otherwise they are empty, and job
    templates, which have nothing else to show, are not read at all.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        wanted[node["node_type"]].add(node["template_id"])
    with_containers = any(map(has_inputs, nodes))
    views: dict[str, TemplateView] = {}
    if wanted["app"]:
        apps = AppTemplate.objects.filter(pk__in=wanted["app"])
        views |= _views("app", apps, _SERVICE_COLUMNS, with_containers)
    if wanted["job"] and with_containers:
        views |= _views("job", JobTemplate.objects.filter(pk__in=wanted["job"]), (), with_containers)
    return views


def _views(
    kind: str, templates: QuerySet[Any], columns: tuple[str, ...], with_containers: bool
) -> dict[str, TemplateView]:
    asked = ("id", *columns, "containers") if with_containers else ("id", *columns)
    return {row["id"]: TemplateView(kind=kind, **{"containers": [], **row}) for row in templates.values(*asked)}
