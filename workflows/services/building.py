"""From rows to what the cluster is asked for: one builder for all kinds of node (contract G, H.4, M.15). No queries.

The preflight of an instance is `instance_specs`: it resolves all inputs in memory and gives the specifications to
freeze into a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from k8s_bridge import names
from k8s_bridge.specs import Container, Mount, Probe, Service, ServicePort, WorkloadSpec
from templates_app.models import AppTemplate, JobTemplate, Template
from workflows.domain.errors import Invalid, NotFound
from workflows.domain.graph import build_graph
from workflows.domain.ids import suffix_of
from workflows.domain.inputs import EffectiveService, NodeView, TemplateView, check_service_names, effective_service
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.resolution import Resolution, resolve_all
from workflows.models import WorkflowInstance, WorkflowNode

_NUMBERS = ("initial_delay_seconds", "period_seconds", "timeout_seconds", "failure_threshold", "success_threshold")


def template_view(template: Template) -> TemplateView:
    """The template as the domain sees it."""
    if isinstance(template, AppTemplate):
        return TemplateView(
            id=template.id,
            kind="app",
            containers=template.containers,
            create_service=template.create_service,
            service_name=template.service_name,
            service_ports=template.service_ports,
            service_type=template.service_type,
            replicas=template.replicas,
        )
    if isinstance(template, JobTemplate):
        return TemplateView(
            id=template.id,
            kind="job",
            containers=template.containers,
            backoff_limit=template.backoff_limit,
            ttl_seconds_after_finished=template.ttl_seconds_after_finished,
        )
    raise TypeError(f"{type(template).__name__} is not a kind of template that makes workloads")


def node_view(node: WorkflowNode, template: Template) -> NodeView:
    """The node, with its template, as the domain sees it."""
    return NodeView(
        id=node.id,
        name=node.name,
        node_type=node.node_type,
        template=template_view(template),
        env_vars=node.env_vars,
        volume_mounts=node.volume_mounts,
        input_env_vars=node.input_env_vars,
        input_volume_mounts=node.input_volume_mounts,
        resources=node.resources,
        timeout_seconds=node.timeout_seconds,
        create_service=node.create_service,
        requested_service_name=node.requested_service_name,
        service_ports=node.service_ports,
        service_type=node.service_type,
    )


def service_of(node: NodeView, *, instance_id: str) -> EffectiveService:
    """The Service of a node under its real name, generated when nobody chose one (contract H.2)."""
    return effective_service(node, generated_name=names.service_name(suffix_of(instance_id), suffix_of(node.id)))


def instance_views(nodes: Iterable[WorkflowNode], templates: Mapping[str, Template]) -> dict[str, NodeView]:
    """Every node by its id. `templates`: by template id. Raises NotFound for a template that is not there."""
    views = {}
    for node in nodes:
        template = templates.get(node.template_id)
        if template is None:
            raise NotFound(f"{node.node_type}_template", node.template_id)
        views[node.id] = node_view(node, template)
    return views


def instance_resolutions(views: Mapping[str, NodeView], instance: WorkflowInstance) -> dict[str, Resolution]:
    """The resolved inputs of every node. Raises Invalid or CycleFound when the edges make no graph (contract F.2)."""
    return resolve_all(
        nodes=views,
        graph=build_graph(views, ((edge["source"], edge["target"]) for edge in instance.edges)),
        edges=instance.edges,
        service_names=_service_names(views, instance),
    )


def instance_specs(
    nodes: Iterable[WorkflowNode], templates: Mapping[str, Template], instance: WorkflowInstance
) -> tuple[dict[str, WorkloadSpec], list[dict[str, Any]]]:
    """The workload of every node by node id, and the unmet inputs (contract G.4): specs are usable when there is none.

    Raises CycleFound and Invalid for the edges, Conflict for two nodes with one Service name, Invalid for a project id
    that names no namespace, NotFound for a template.
    """
    views = instance_views(nodes, templates)
    check_service_names(views, _service_names(views, instance))
    resolutions = instance_resolutions(views, instance)
    specs = {
        id: workload_spec(view, resolutions[id], project_id=instance.project_id, instance_id=instance.id, node_id=id)
        for id, view in views.items()
    }
    return specs, [item for resolution in resolutions.values() for item in resolution.unmet]


def workload_spec(
    node: NodeView, resolution: Resolution, *, project_id: str, instance_id: str, node_id: str
) -> WorkloadSpec:
    """The Deployment or Job of a node, complete but for its owner (contract H.4). Equal input gives an equal spec."""
    node_type = get_node_type(node.node_type)
    template = node.template
    container_names = names.container_names([container["name"] for container in template.containers])
    service = service_of(node, instance_id=instance_id)
    ports = tuple(_port(port) for port in service.ports)
    return WorkloadSpec(
        kind=node_type.resource_kind,
        namespace=_namespace(project_id),
        name=names.workload_name(suffix_of(instance_id), suffix_of(node_id)),
        containers=tuple(
            _container(container, name, node, resolution)
            for container, name in zip(template.containers, container_names, strict=True)
        ),
        replicas=template.replicas,
        backoff_limit=template.backoff_limit,
        ttl_seconds_after_finished=template.ttl_seconds_after_finished,
        service=Service(name=service.name, type=service.type, ports=ports) if service.name else None,
        service_ports=ports,
    )


def _service_names(views: Mapping[str, NodeView], instance: WorkflowInstance) -> dict[str, str | None]:
    return {id: service_of(view, instance_id=instance.id).name for id, view in views.items()}


def _namespace(project_id: str) -> str:
    try:
        return names.namespace_of(project_id)
    except ValueError as err:
        raise Invalid.field("project_id", str(err)) from err


def _container(stored: Mapping[str, Any], name: str, node: NodeView, resolution: Resolution) -> Container:
    resources = _resources(node.resources) or _resources(stored.get("resources")) or {}
    # Only a Deployment is watched by probes; a job template may have kept some from a client's form (contract C.2).
    has_probes = get_node_type(node.node_type).has_probes
    return Container(
        name=name,
        image=stored["image"],
        command=_words(stored.get("command")),
        args=_words(stored.get("args")),
        env=resolution.env[stored["name"]],
        mounts=tuple(
            Mount(claim=mount.pvc_name, path=mount.mount_path, sub_path=mount.sub_path, read_only=mount.read_only)
            for mount in resolution.mounts[stored["name"]]
        ),
        requests=resources.get("requests", ()),
        limits=resources.get("limits", ()),
        privileged=bool(stored.get("privileged")),
        image_pull_policy=stored.get("image_pull_policy") or "IfNotPresent",
        liveness_probe=_probe(stored.get("liveness_probe")) if has_probes else None,
        readiness_probe=_probe(stored.get("readiness_probe")) if has_probes else None,
    )


def _resources(stored: Mapping[str, Any] | None) -> dict[str, tuple[tuple[str, str], ...]]:
    """The quantities that are given. A form left empty sends empty texts: then nothing is given (contract A.1, C.4)."""
    given = {
        side: tuple(sorted((key, value) for key, value in ((stored or {}).get(side) or {}).items() if value))
        for side in ("requests", "limits")
    }
    return {side: quantities for side, quantities in given.items() if quantities}


def _probe(stored: Mapping[str, Any] | None) -> Probe | None:
    if not stored:
        return None
    return Probe(
        type=stored["type"],
        port=stored.get("port"),
        path=stored.get("path") or None,
        command=tuple(stored.get("command") or ()),
        **{key: stored[key] for key in _NUMBERS if stored.get(key) is not None},
    )


def _port(stored: Mapping[str, Any]) -> ServicePort:
    return ServicePort(
        name=stored["name"],
        port=stored["port"],
        target_port=stored["target_port"],
        protocol=stored.get("protocol") or "TCP",
    )


def _words(stored: list[str] | None) -> tuple[str, ...] | None:
    return tuple(stored) if stored else None
