"""Where each variable and each mount of a node comes from, for people (contract G.2, G.3). No queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from secflow.console.display import Table, link
from workflows.admin.cells import WORKFLOWS
from workflows.domain.inputs import NodeView, listed
from workflows.domain.resolution import Resolution
from workflows.services.building import service_of

ON_NODE = "fixed on the node"
IN_TEMPLATE = "the template's container"
TEMPLATE_DEFAULT = "default of the template's input"


@dataclass(frozen=True, slots=True)
class Sources:
    """The inputs of one node and where they lead back to."""

    node: NodeView
    nodes: Mapping[str, NodeView]
    resolution: Resolution
    instance_id: str

    def tables(self) -> list[Table]:
        """One table for the variables and one for the mounts of each container that has any."""
        found = []
        for container in self.node.template.containers:
            name = container["name"]
            env = [
                (variable, value, self._of_variable(container, variable))
                for variable, value in self.resolution.env[name]
            ]
            mounts = [
                (mount.mount_path, _claim(mount), self._of_mount(container, mount.mount_path))
                for mount in self.resolution.mounts[name]
            ]
            if env:
                found.append(Table(f"Variables of container {name}", ("Name", "Value", "From"), env))
            if mounts:
                found.append(Table(f"Mounts of container {name}", ("Path", "Claim", "From"), mounts))
        return found

    def _of_variable(self, container: Mapping[str, Any], name: str) -> SafeString | str:
        if _has(self.node.env_vars, "name", name):
            return ON_NODE
        declared = _has(listed(container, "input_env_vars"), "name", name)
        entry = _last(self.node.input_env_vars, "name", name)
        if (
            entry
            and name in self.resolution.values
            and (declared or not self._is_declared("input_env_vars", "name", name))
        ):
            return self._of_entry(entry, self.resolution.values[name])
        if _has(listed(container, "env_vars"), "name", name):
            return IN_TEMPLATE
        return TEMPLATE_DEFAULT

    def _of_entry(self, entry: Mapping[str, Any], value: str) -> SafeString | str:
        source = self.nodes.get(entry["source_node_id"])
        if source is not None and service_of(source, instance_id=self.instance_id).name == value:
            return format_html("Service of {}", _node_link(source))
        if entry.get("default_value") == value:
            return "default of the node's input"
        return TEMPLATE_DEFAULT

    def _of_mount(self, container: Mapping[str, Any], path: str) -> SafeString | str:
        declared = _has(listed(container, "input_volume_mounts"), "mount_path", path)
        reaches = declared or not self._is_declared("input_volume_mounts", "mount_path", path)
        if reaches and _has(self.node.volume_mounts, "mount_path", path):
            return ON_NODE
        entry = _last(self.node.input_volume_mounts, "mount_path", path)
        if entry and reaches and path in self.resolution.claims:
            source = self.nodes.get(entry["source_node_id"])
            how = "named there" if entry.get("source_pvc_name") else "of the edge, or its only one"
            return format_html("{}, {}", _node_link(source), how) if source else how
        return IN_TEMPLATE

    def _is_declared(self, field: str, key: str, wanted: str) -> bool:
        return any(_has(listed(container, field), key, wanted) for container in self.node.template.containers)

    def unmet(self) -> Iterator[str]:
        """A sentence for each input that has no value."""
        for item in self.resolution.unmet:
            yield f"{item['container']}: {item['message']}"


def _claim(mount: Any) -> str:
    inside = f", folder {mount.sub_path}" if mount.sub_path else ""
    return f"{mount.pvc_name}{inside}{' (read only)' if mount.read_only else ''}"


def _node_link(node: NodeView) -> SafeString:
    return link(WORKFLOWS, "workflownode", node.id, node.name)


def _last(entries: list[dict[str, Any]], key: str, wanted: str) -> dict[str, Any] | None:
    return next((entry for entry in reversed(entries) if entry[key] == wanted), None)


def _has(entries: list[dict[str, Any]], key: str, wanted: str) -> bool:
    return any(entry[key] == wanted for entry in entries)
