"""The inputs of a node (contract C.7, C.10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from secflow.console.bodies.groups import Fold, Group, InheritedRows, Resources, Rows
from secflow.console.bodies.parts import Choice, Flag, Number, Option, Part, Text
from templates_app.admin_parts import env_rows, port_rows
from workflows.admin.building.neighbours import Neighbours
from workflows.domain.inputs import TemplateView
from workflows.domain.statuses import ServiceType
from workflows.services.bodies import INGRESS_TYPES

_MOST_BOXES = 300
SERVICE_NAMES = (
    "create_service",
    "service_name",
    "service_type",
    "service_ports",
    "create_ingress",
    "ingress_type",
    "ingress_host",
    "ingress_ip",
)


def declared(template: TemplateView, key: str, name: str) -> dict[str, dict[str, Any]]:
    """What the template's containers ask for, by variable or path; the first container that asks has its say."""
    found: dict[str, dict[str, Any]] = {}
    for container in template.containers:
        for entry in container.get(key) or ():
            found.setdefault(entry[name], {"container": container["name"], **entry})
    return found


def wanted_variables(template: TemplateView, given: Collection[str]) -> list[str]:
    """Variables that a container asks for and nothing supplies."""
    names = []
    for container in template.containers:
        fixed = {entry["name"] for entry in container.get("env_vars") or ()}
        names += [
            entry["name"]
            for entry in container.get("input_env_vars") or ()
            if not entry.get("default_value") and entry["name"] not in fixed and entry["name"] not in given
        ]
    return list(dict.fromkeys(names))


def wanted_paths(template: TemplateView, given: Collection[str]) -> list[str]:
    """Paths where a container wants a claim and nothing is mounted."""
    paths = []
    for container in template.containers:
        fixed = {entry["mount_path"] for entry in container.get("volume_mounts") or ()}
        paths += [
            entry["mount_path"]
            for entry in container.get("input_volume_mounts") or ()
            if entry["mount_path"] not in fixed and entry["mount_path"] not in given
        ]
    return list(dict.fromkeys(paths))


def node_parts(
    template: TemplateView, neighbours: Neighbours, stored: Mapping[str, Any] | None
) -> tuple[list[Part], list[Fold]]:
    """All inputs of a node of this template, and how they are arranged.

    What the template asks for and nobody supplies yet stands there as rows to fill in.
    """
    kept = stored or {}
    names = {row["name"] for key in ("env_vars", "input_env_vars") for row in kept.get(key) or ()}
    paths = {row["mount_path"] for key in ("volume_mounts", "input_volume_mounts") for row in kept.get(key) or ()}
    variables = [{"name": name} for name in wanted_variables(template, names)]
    mounts = [{"mount_path": path} for path in wanted_paths(template, paths)]
    has_sources = bool(neighbours.possible)
    parts: list[Part] = [
        Text(name="name", label="Name", empty="", is_required=True, width="half"),
        Number(
            name="timeout_seconds",
            label="Timeout (s)",
            is_nullable=True,
            placeholder="300" if template.kind == "app" else "3600",
            help="Until it is ready." if template.kind == "app" else "For the whole job.",
        ),
        _parents(neighbours),
        env_rows(label="Fixed values", proposals=variables, help="Set in every container; they win over the template."),
        _sourced_env_rows(neighbours, variables if has_sources else []),
        _mount_rows(neighbours, mounts),
        _sourced_mount_rows(neighbours, mounts if has_sources else []),
        Resources(
            name="resources",
            label="Resources",
            help="Instead of the template's, in every container. Empty: as the template says.",
        ),
    ]
    folds = [
        Fold("", ("name", "timeout_seconds"), is_open=True),
        Fold("Runs after", ("runs_after",), is_open=True),
        Fold("Variables", ("env_vars", "input_env_vars"), is_open=bool(template_asks(template, "input_env_vars"))),
        Fold(
            "Volumes",
            ("volume_mounts", "input_volume_mounts"),
            is_open=bool(template_asks(template, "input_volume_mounts")),
        ),
        Fold("Resources", ("resources",)),
    ]
    if template.kind == "app":
        parts += _service_parts(template, kept)
        folds.append(Fold("Service", SERVICE_NAMES[:4]))
        folds.append(
            Fold("Ingress", SERVICE_NAMES[4:], help="A host name outside the cluster; it leads to the Service.")
        )
    return parts, folds


def template_asks(template: TemplateView, key: str) -> bool:
    """Whether any container of the template asks for such inputs."""
    return any(container.get(key) for container in template.containers)


def _parents(neighbours: Neighbours) -> Group:
    shown = [*neighbours.parents, *(pk for pk in neighbours.possible if pk not in neighbours.parents)][:_MOST_BOXES]
    help = (
        "It starts when all nodes ticked here have succeeded. Nodes that run after this one are not listed: that "
        "would be a cycle."
        if shown
        else "No other node could run before this one, so it starts at once."
    )
    return Picks(
        name="runs_after",
        label="Runs after",
        help=help,
        fields=[Flag(name=pk, label=neighbours.names[pk]) for pk in shown],
    )


class Picks(Group):
    """Boxes to tick, one for each of several things."""

    template = "picks"


def _sourced_env_rows(neighbours: Neighbours, proposals: Sequence[Mapping[str, Any]]) -> Rows:
    item = Group(
        name="",
        fields=(
            Text(name="name", label="Name", empty="", placeholder="TARGET"),
            Choice(
                name="source_node_id",
                label="Host name of",
                options=(Option("", "", "– choose a node –"), *neighbours.source_options(prefers="app")),
                default="",
            ),
            Text(name="default_value", label="Otherwise", rows=1, is_code=True, placeholder="nothing"),
        ),
    )
    return Rows(
        name="input_env_vars",
        label="From other nodes",
        noun="variable from a node",
        help="The value is the host name of the other node's Service. It runs before this node then, also without a "
        "tick above.",
        item=item,
        spare=1 if neighbours.possible else 0,
        proposals=proposals,
    )


def _mount_rows(neighbours: Neighbours, proposals: Sequence[Mapping[str, Any]]) -> Rows:
    access = (
        Option("", None, "as the template says"),
        Option("yes", True, "read only"),
        Option("no", False, "read and write"),
    )
    item = MountGroup(
        name="",
        fields=(
            Text(name="pvc_name", label="Claim", empty="", choices=neighbours.claims, placeholder="shared-data"),
            Text(name="mount_path", label="Path in the container", empty="", placeholder="/data"),
            Text(name="sub_path", label="Folder of the claim", placeholder="all of it"),
            Choice(name="read_only", label="Access", options=access),
        ),
    )
    return Rows(
        name="volume_mounts",
        label="Claims",
        noun="volume",
        help="Claims that exist in the project's namespace.",
        item=item,
        proposals=proposals,
    )


class MountGroup(Group):
    """A VolumeMount of a node: without an own word on access the template's holds, and the key is left out (G.2)."""

    def parse(self, tree: Any, kept: Any, name: str, problems: dict[str, list[str]]) -> Any:
        made = super().parse(tree, kept, name, problems)
        if made["read_only"] is None:
            del made["read_only"]
        return made


def _sourced_mount_rows(neighbours: Neighbours, proposals: Sequence[Mapping[str, Any]]) -> Rows:
    item = Group(
        name="",
        fields=(
            Text(name="mount_path", label="Path in the container", empty="", placeholder="/input"),
            Choice(
                name="source_node_id",
                label="Volume of",
                options=(Option("", "", "– choose a node –"), *neighbours.source_options()),
                default="",
            ),
            Text(
                name="source_pvc_name",
                label="Claim",
                choices=neighbours.claims,
                placeholder="the edge's, or its only one",
            ),
            Text(name="sub_path", label="Folder of the claim", placeholder="all of it"),
            Flag(name="read_only", label="Read only", default=True),
        ),
    )
    return Rows(
        name="input_volume_mounts",
        label="From other nodes",
        noun="volume from a node",
        help="A volume that the other node has written to.",
        item=item,
        spare=1 if neighbours.possible else 0,
        proposals=proposals,
    )


def _service_parts(template: TemplateView, stored: Mapping[str, Any]) -> list[Part]:
    says = "yes" if template.create_service else "no"
    ports = ", ".join(str(port["port"]) for port in template.service_ports or ()) or "none"
    service = (
        Option("", None, f"as the template says: {says}"),
        Option("yes", True, "yes"),
        Option("no", False, "no"),
    )
    types = (
        Option("", None, f"as the template says: {template.service_type}"),
        *(Option(word, word, word) for word in map(str, ServiceType)),
    )
    # "No" is stored in two ways; the one that is there stays.
    no_ingress = False if stored.get("create_ingress") is False else None
    return [
        Choice(name="create_service", label="Make a Service", options=service, width="half"),
        Text(
            name="service_name",
            label="Service name",
            width="half",
            placeholder=template.service_name or "made from the node's id",
        ),
        Choice(name="service_type", label="Type", options=types, width="half"),
        InheritedRows(
            name="service_ports",
            label="Ports",
            inherit_label=f"as the template says: {ports}",
            own_label="only these:",
            rows=port_rows("service_ports", help=""),
        ),
        Choice(
            name="create_ingress",
            label="Make an Ingress",
            options=(Option("", no_ingress, "no"), Option("yes", True, "yes")),
            default=no_ingress,
            width="half",
        ),
        Choice(
            name="ingress_type",
            label="Ingress controller",
            options=(Option("", None, "none"), *(Option(word, word, word) for word in INGRESS_TYPES)),
            width="half",
        ),
        Text(name="ingress_host", label="Host", width="half", placeholder="app.example.com"),
        Text(name="ingress_ip", label="Address of the controller", width="half", placeholder="10.0.0.7"),
    ]
