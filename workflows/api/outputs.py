"""What answers look like (contract C.6, C.8, C.9, D.9, D.10): plain functions from rows to JSON-ready dicts.

Lists of hundreds of instances with thousands of nodes pass through here: nothing is built twice, no serializer is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from k8s_bridge.names import service_name as generated_service_name
from secflow.http.rendering import iso
from workflows.domain.graph import build_graph
from workflows.domain.ids import suffix_of
from workflows.domain.inputs import NodeView, TemplateView, effective_service
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.resolution import Resolution, resolve_all
from workflows.domain.statuses import NodeStatus, RunMode, TriggerType, readiness_of
from workflows.selectors.nodes import has_inputs

Row = Mapping[str, Any]
TRIGGER_PATH = "/api/workflow/trigger/"


def instance_output(row: Row, nodes: Sequence[Row], templates: Mapping[str, TemplateView], *, readiness: bool) -> Row:
    """One instance with its nodes and edges (contract C.6). `readiness` selects the status dialect (contract B)."""
    apps_ready = all(
        node["status"] == NodeStatus.SUCCEEDED for node in nodes if get_node_type(node["node_type"]).is_set_up
    )
    ready = readiness_of(row["status"], apps_ready=apps_ready).value
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "project_id": row["project_id"],
        "status": ready if readiness else row["status"],
        "readiness": ready,
        "run_mode": row["run_mode"],
        "trigger_type": row["trigger_type"],
        "trigger_enabled": row["trigger_enabled"],
        "trigger_url": trigger_url(row),
        "is_active": row["is_active"],
        "run_count": row["run_count"],
        "last_run_at": iso(row["last_run_at"]),
        "nodes": node_outputs(row, nodes, templates),
        "edges": [_edge(edge) for edge in row["edges"]],
        "message": row["message"],
        "has_warning": row["has_warning"],
        "last_sync_at": iso(row["last_sync_at"]),
        "created_by": row["created_by"],
        "started_at": iso(row["started_at"]),
        "finished_at": iso(row["finished_at"]),
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }


def trigger_url(row: Row) -> str | None:
    """Where the HTTP trigger is, as long as it can be used (contract E.4)."""
    is_open = row["run_mode"] == RunMode.PERSISTENT and row["trigger_type"] == TriggerType.HTTP
    return f"{TRIGGER_PATH}{row['id']}" if is_open and row["trigger_enabled"] else None


def node_outputs(instance: Row, nodes: Sequence[Row], templates: Mapping[str, TemplateView]) -> list[dict[str, Any]]:
    """The nodes of one instance (contract C.8). `templates` has those that `selectors.nodes.template_views` gives."""
    resolutions = _resolutions(instance, nodes, templates)
    return [_node(node, templates.get(node["template_id"]), resolutions.get(node["id"])) for node in nodes]


def record_output(row: Row, texts: Mapping[str, Row]) -> dict[str, Any]:
    """One log record (contract D.9)."""
    fetched = [text["fetched_at"] for text in texts.values() if text["fetched_at"] is not None]
    task_id = f"run-{row['run__number']}"
    return {
        "id": f"log-{row['id']}",
        "task_id": task_id,
        "node_id": row["node_id"],
        "node_name": row["node_name"],
        "instance_id": row["instance_id"],
        "project_id": row["instance__project_id"],
        "node_type": row["node_type"],
        "k8s_resource_name": row["resource_name"],
        "k8s_resource_type": row["resource_type"],
        "status": row["status"],
        "started_at": iso(row["started_at"]),
        "finished_at": iso(row["finished_at"]),
        "duration_seconds": _seconds(row["started_at"], row["finished_at"]),
        "message": row["message"],
        "init_logs": _text(texts.get("init"), task_id),
        "execution_logs": _text(texts.get("execution"), task_id),
        "log_updated_at": iso(max(fetched, default=None)),
        "metadata": {
            "purpose": row["run__purpose"],
            **{name: row[name] for name in ("diagnosis", "evidence") if row[name]},
        },
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }


def _node(row: Row, template: TemplateView | None, resolution: Resolution | None) -> dict[str, Any]:
    service = _service(row, template)
    return {
        "id": row["id"],
        "instance_id": row["instance_id"],
        "node_type": row["node_type"],
        "template_id": row["template_id"],
        "name": row["name"],
        "status": row["status"],
        "k8s_resource_name": row["k8s_resource_name"],
        "k8s_resource_type": row["k8s_resource_type"],
        "depends_on": row["depends_on"],
        "downstream_node_ids": row["downstream_node_ids"],
        "timeout_seconds": row["timeout_seconds"],
        "position": row["position"],
        "env_vars": row["env_vars"],
        "volume_mounts": [{"sub_path": None, "read_only": False, **mount} for mount in row["volume_mounts"]],
        "resources": row["resources"],
        "input_env_vars": _input_variables(row["input_env_vars"], resolution),
        "input_volume_mounts": _input_mounts(row["input_volume_mounts"], resolution),
        **service,
        "started_at": iso(row["started_at"]),
        "finished_at": iso(row["finished_at"]),
        "message": row["message"],
        **({"diagnosis": row["diagnosis"]} if "diagnosis" in row else {}),
        "created_at": iso(row["created_at"]),
    }


def _service(row: Row, template: TemplateView | None) -> dict[str, Any]:
    """The Service and ingress fields: effective values for a type with a Service, only the null name for others."""
    if template is None or not get_node_type(row["node_type"]).has_service:
        return {"service_name": row["service_name"]}
    service = effective_service(_view(row, template), generated_name="")
    return {
        "service_name": row["service_name"] or (service.requested_name if service.requested else None),
        "create_service": service.requested,
        "service_ports": list(service.ports),
        "service_type": service.type,
        "create_ingress": bool(row["create_ingress"]),
        "ingress_type": row["ingress_type"],
        "ingress_host": row["ingress_host"],
        "ingress_ip": row["ingress_ip"],
    }


def _view(row: Row, template: TemplateView) -> NodeView:
    return NodeView(
        id=row["id"],
        name=row["name"],
        node_type=row["node_type"],
        template=template,
        env_vars=row["env_vars"],
        volume_mounts=row["volume_mounts"],
        input_env_vars=row["input_env_vars"],
        input_volume_mounts=row["input_volume_mounts"],
        create_service=row["create_service"],
        requested_service_name=row["requested_service_name"],
        service_ports=row["service_ports"],
        service_type=row["service_type"],
    )


def _resolutions(
    instance: Row, nodes: Sequence[Row], templates: Mapping[str, TemplateView]
) -> Mapping[str, Resolution]:
    """What the inputs of the nodes came to, where anything is to be resolved and the graph and templates are whole."""
    if not any(map(has_inputs, nodes)):
        return {}
    if any(node["template_id"] not in templates for node in nodes):
        return {}
    views = {node["id"]: _view(node, templates[node["template_id"]]) for node in nodes}
    edges = instance["edges"]
    return resolve_all(
        nodes=views,
        graph=build_graph(views, ((edge["source"], edge["target"]) for edge in edges)),
        edges=edges,
        service_names={id: _service_name(instance["id"], view) for id, view in views.items()},
    )


def _service_name(instance_id: str, view: NodeView) -> str | None:
    name = generated_service_name(suffix_of(instance_id), suffix_of(view.id))
    return effective_service(view, generated_name=name).name


def _input_variables(entries: Sequence[Row], resolution: Resolution | None) -> list[dict[str, Any]]:
    values = resolution.values if resolution else {}
    return [{"default_value": None, **entry, "value": values.get(entry["name"])} for entry in entries]


def _input_mounts(entries: Sequence[Row], resolution: Resolution | None) -> list[dict[str, Any]]:
    claims = resolution.claims if resolution else {}
    return [
        {"sub_path": None, "source_pvc_name": None, **entry, "pvc_name": claims.get(entry["mount_path"])}
        for entry in entries
    ]


def _edge(edge: Row) -> dict[str, Any]:
    return {
        "edge_id": edge["edge_id"],
        "source": edge["source"],
        "target": edge["target"],
        "shared_pvc": edge.get("shared_pvc"),
    }


def _text(text: Row | None, task_id: str) -> dict[str, Any]:
    if text is None:
        return {"logs": "", "fetched_at": None}
    return {
        "task_id": task_id,
        "pod_name": text["pod_name"],
        "container": text["container"],
        "logs": text["text"] or text["error"] or "",
        "fetched_at": iso(text["fetched_at"]),
        "status_when_fetched": text["status_when_fetched"],
    }


def _seconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else max(0, int((end - start).total_seconds()))
