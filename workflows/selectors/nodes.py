"""Reads of nodes with what their templates add to them (contract C.8). Whoever calls has checked the actor's right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from django.db.models import QuerySet

from templates_app.models import AppTemplate, JobTemplate
from workflows.domain.errors import NotFound
from workflows.domain.inputs import TemplateView
from workflows.models import WorkflowNode

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
_SERVICE_COLUMNS: Final = ("create_service", "service_name", "service_ports", "service_type")

Rows = list[dict[str, Any]]


def node_rows(instance_ids: Collection[str]) -> dict[str, Rows]:
    """The columns of every node of these instances, oldest first, by instance id. One query."""
    found: dict[str, Rows] = defaultdict(list)
    if instance_ids:
        nodes = WorkflowNode.objects.filter(instance_id__in=instance_ids).order_by("created_at", "id")
        for row in nodes.values(*_COLUMNS):
            found[row["instance_id"]].append(row)
    return found


def node_row(*, instance_id: str, node_id: str) -> dict[str, Any]:
    """The columns of one node. Raises NotFound, also for a node of another instance (contract D.5)."""
    row = WorkflowNode.objects.filter(pk=node_id, instance_id=instance_id).values(*_COLUMNS).first()
    if row is None:
        raise NotFound("workflow_node", node_id)
    return row


def get_node(*, instance_id: str, node_id: str) -> WorkflowNode:
    """The node with its instance. Raises NotFound, also for a node of another instance (contract D.5)."""
    node = WorkflowNode.objects.select_related("instance").filter(pk=node_id, instance_id=instance_id).first()
    if node is None:
        raise NotFound("workflow_node", node_id)
    return node


def check_node(*, instance_id: str, node_id: str) -> None:
    """Raises NotFound unless the node is one of the instance's."""
    if not WorkflowNode.objects.filter(pk=node_id, instance_id=instance_id).exists():
        raise NotFound("workflow_node", node_id)


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
