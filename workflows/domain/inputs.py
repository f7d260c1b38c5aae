"""How declared inputs get their values, and which have none (contract G). Pure.

Dictionaries in here have the stored form of the contract: containers of C.3, small objects of C.4, sources of C.10.
A missing key, null and an empty optional text all mean "not given" (contract A.1).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.domain.errors import Conflict, Invalid
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.statuses import ServiceType


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A template of either kind (contract C.1, C.2). The fields that the other kind alone has keep their defaults."""

    id: str
    kind: str
    containers: list[dict[str, Any]]
    create_service: bool = False
    service_name: str | None = None
    service_ports: list[dict[str, Any]] | None = None
    service_type: str = ServiceType.CLUSTER_IP
    replicas: int = 1
    backoff_limit: int = 3
    ttl_seconds_after_finished: int | None = 3600


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node with its template (contract C.7). None in a Service field means: as the template says."""

    id: str
    name: str
    node_type: str
    template: TemplateView
    env_vars: list[dict[str, Any]]
    volume_mounts: list[dict[str, Any]]
    input_env_vars: list[dict[str, Any]]
    input_volume_mounts: list[dict[str, Any]]
    resources: dict[str, Any] | None = None
    timeout_seconds: int | None = None
    create_service: bool | None = None
    requested_service_name: str | None = None
    service_ports: list[dict[str, Any]] | None = None
    service_type: str | None = None


@dataclass(frozen=True, slots=True)
class EffectiveService:
    """The Service settings of a node, node over template (contract C.8, H.2).

    `create` says whether a Service is made, `name` is its name then, else None. `requested` and `requested_name` are
    what node or template ask for, also when nothing comes of it; without a name asked for, one would be generated.
    """

    create: bool
    name: str | None
    type: str
    ports: tuple[dict[str, Any], ...]
    requested: bool
    requested_name: str | None


def effective_service(node: NodeView, *, generated_name: str) -> EffectiveService:
    """The Service of a node. Without ports, or switched off, there is none and that is no error (contract C.7)."""
    if not get_node_type(node.node_type).has_service:
        return EffectiveService(False, None, ServiceType.CLUSTER_IP, (), False, None)
    template = node.template
    requested = template.create_service if node.create_service is None else node.create_service
    ports = tuple((template.service_ports if node.service_ports is None else node.service_ports) or ())
    requested_name = node.requested_service_name or template.service_name or None
    create = requested and bool(ports)
    return EffectiveService(
        create=create,
        name=(requested_name or generated_name) if create else None,
        type=node.service_type or template.service_type,
        ports=ports,
        requested=requested,
        requested_name=requested_name,
    )


def check_service_names(nodes: Mapping[str, NodeView], service_names: Mapping[str, str | None]) -> None:
    """Raises Conflict when two nodes of an instance would get one Service (contract H.2). Both mappings: by node id."""
    owners: dict[str, str] = {}
    for node_id, service_name in sorted(service_names.items()):
        if service_name is None:
            continue
        first = owners.setdefault(service_name, node_id)
        if first != node_id:
            raise Conflict(
                f"nodes {nodes[first].name} and {nodes[node_id].name} both ask for the Service name {service_name}: "
                "give one of them another service_name",
                {"service_name": service_name, "node_ids": [first, node_id]},
            )


def check_sources(
    node_ids: Collection[str], entries: Mapping[str, Sequence[Mapping[str, Any]]], *, prefix: str = ""
) -> None:
    """Raises Invalid, naming every wrong place, when a source is not a node of the instance (contract G.3).

    `entries`: the lists of C.10 by their field name. `prefix` leads to them in the request, such as `nodes.0.`.
    """
    fields = [
        {
            "field": f"{prefix}{field}.{position}.source_node_id",
            "message": f"{entry['source_node_id']} is not a node of this instance",
        }
        for field, items in entries.items()
        for position, entry in enumerate(items)
        if entry["source_node_id"] not in node_ids
    ]
    if fields:
        raise Invalid("; ".join(f"{item['field']}: {item['message']}" for item in fields), {"fields": fields})


def unmet_inputs(node: NodeView, *, name_node: bool = False) -> list[dict[str, Any]]:
    """The inputs that nothing supplies, one item per thing and container, as the details of contract G.4.

    This is the check on write: a source counts as supplied, whether or not it will give a value. `name_node` adds the
    key `node`.
    """
    given_names = {entry["name"] for entry in node.env_vars + node.input_env_vars}
    given_paths = {entry["mount_path"] for entry in node.volume_mounts + node.input_volume_mounts}
    items: list[dict[str, Any]] = []
    for container in node.template.containers:
        names = given_names | {entry["name"] for entry in listed(container, "env_vars")}
        paths = given_paths | {entry["mount_path"] for entry in listed(container, "volume_mounts")}
        items.extend(
            unmet_variable(node, container, declared["name"], name_node=name_node)
            for declared in listed(container, "input_env_vars")
            if not declared.get("default_value") and declared["name"] not in names
        )
        items.extend(
            unmet_mount(node, container, declared["mount_path"], name_node=name_node)
            for declared in listed(container, "input_volume_mounts")
            if declared["mount_path"] not in paths
        )
    return items


def unmet_variable(
    node: NodeView, container: Mapping[str, Any], name: str, *, reason: str = "", name_node: bool = False
) -> dict[str, Any]:
    """One item of contract G.4 for a variable without a value."""
    reason = reason or "give it in env_vars, or name its source in input_env_vars"
    item = {
        "type": "env_var",
        "container": container["name"],
        "name": name,
        "message": f"variable {name} has no value: {reason}",
    }
    return item | {"node": node.name} if name_node else item


def unmet_mount(
    node: NodeView, container: Mapping[str, Any], mount_path: str, *, reason: str = "", name_node: bool = False
) -> dict[str, Any]:
    """One item of contract G.4 for a path without a claim."""
    reason = reason or "name a claim in volume_mounts, or its source in input_volume_mounts"
    item = {
        "type": "volume_mount",
        "container": container["name"],
        "mount_path": mount_path,
        "message": f"nothing is mounted at {mount_path}: {reason}",
    }
    return item | {"node": node.name} if name_node else item


def listed(holder: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list field of a stored object; empty when it is absent or null."""
    return holder.get(key) or []
