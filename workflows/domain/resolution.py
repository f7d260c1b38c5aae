"""Preflight: the environment and the mounts that every container gets, and what is missing (contract G.2 to G.4). Pure.

A source counts only when edges lead from it to the node (G.3): a declared dependency makes no edge. So sources are
always ancestors, and following them ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workflows.domain.graph import Ancestry, Graph
from workflows.domain.inputs import NodeView, listed, unmet_mount, unmet_variable


@dataclass(frozen=True, slots=True)
class ClaimMount:
    """One claim at one path of one container."""

    pvc_name: str
    mount_path: str
    sub_path: str | None
    read_only: bool


@dataclass(frozen=True, slots=True)
class Resolution:
    """All inputs of one node, by container name.

    `env` is in the order in which a container sees it: declared inputs first, so that fixed variables can refer to
    them. `unmet` are the details of contract G.4. `values` (variable -> value) and `claims` (path -> claim) are what
    the node's own input entries came to; an entry that came to nothing is absent (contract C.8).
    """

    env: Mapping[str, tuple[tuple[str, str], ...]]
    mounts: Mapping[str, tuple[ClaimMount, ...]]
    unmet: list[dict[str, Any]]
    values: Mapping[str, str]
    claims: Mapping[str, str]


def resolve(
    node: NodeView,
    *,
    nodes: Mapping[str, NodeView],
    graph: Graph,
    edges: Sequence[Mapping[str, Any]],
    service_names: Mapping[str, str | None],
    name_node: bool = False,
) -> Resolution:
    """The inputs of one node. `nodes`: all of its instance; `service_names`: the Service of each, None without one."""
    return _resolution(node, _Upstream(nodes, graph, edges, service_names), name_node=name_node)


def resolve_all(
    *,
    nodes: Mapping[str, NodeView],
    graph: Graph,
    edges: Sequence[Mapping[str, Any]],
    service_names: Mapping[str, str | None],
) -> dict[str, Resolution]:
    """The inputs of every node, by node id. With several nodes the unmet items name theirs (contract G.4)."""
    upstream = _Upstream(nodes, graph, edges, service_names)
    return {id: _resolution(node, upstream, name_node=len(nodes) > 1) for id, node in nodes.items()}


_NOTHING = {
    "name": "its source {} has no Service, and there is no default value",
    "mount_path": "its source {} does not mount exactly one claim: choose one in source_pvc_name",
}


class _Upstream:
    """What the nodes of one instance hand on to each other."""

    def __init__(
        self,
        nodes: Mapping[str, NodeView],
        graph: Graph,
        edges: Sequence[Mapping[str, Any]],
        service_names: Mapping[str, str | None],
    ) -> None:
        self._nodes = nodes
        self._graph = graph
        self._service_names = service_names
        self._shared = {(edge["source"], edge["target"]): edge.get("shared_pvc") for edge in edges}
        self._claims: dict[str, frozenset[str]] = {}

    @cached_property
    def _ancestry(self) -> Ancestry:
        return Ancestry(self._graph)

    def is_before(self, source_id: str, node: NodeView) -> bool:
        # Most sources are parents, and then nothing has to be made for the answer.
        if source_id in self._graph.parents[node.id]:
            return True
        return source_id in self._nodes and self._ancestry.is_before(source_id, node.id)

    def value(self, entry: Mapping[str, Any]) -> str | None:
        """What a source gives a variable, the template's default apart."""
        return self._service_names.get(entry["source_node_id"]) or entry.get("default_value") or None

    def claim(self, node: NodeView, entry: Mapping[str, Any]) -> str | None:
        """The claim behind an input mount whose source comes before the node."""
        named = self._named_claim(node, entry)
        if named:
            return named
        claims = self._claims_of(entry["source_node_id"])
        return next(iter(claims)) if len(claims) == 1 else None

    def why_nothing(self, node: NodeView, entries: Sequence[Mapping[str, Any]], key: str, wanted: str) -> str:
        """Why the node's entry for a variable or path came to nothing; empty when it has no such entry."""
        source_id = next((entry["source_node_id"] for entry in entries if entry[key] == wanted), None)
        if source_id is None:
            return ""
        name = self._nodes[source_id].name if source_id in self._nodes else source_id
        if not self.is_before(source_id, node):
            return f"no path of edges leads from its source {name} to this node"
        return _NOTHING[key].format(name)

    def _named_claim(self, node: NodeView, entry: Mapping[str, Any]) -> str | None:
        return entry.get("source_pvc_name") or self._shared.get((entry["source_node_id"], node.id)) or None

    def _claims_of(self, node_id: str) -> frozenset[str]:
        """The claims in a node's effective mounts. A list of open ends replaces recursion: chains may be long."""
        unfinished = [node_id]
        while node_id not in self._claims:
            node = self._nodes[unfinished[-1]]
            waits_for = self._detected_sources(node) - self._claims.keys()
            if waits_for:
                unfinished.extend(waits_for)
                continue
            mounts = _mounts(node, _claims_by_path(node, self))
            self._claims[unfinished.pop()] = frozenset(
                mount.pvc_name for by_path in mounts.values() for mount in by_path.values()
            )
        return self._claims[node_id]

    def _detected_sources(self, node: NodeView) -> set[str]:
        """The sources of which this node takes the only claim they have."""
        return {
            entry["source_node_id"]
            for entry in node.input_volume_mounts
            if not self._named_claim(node, entry) and self.is_before(entry["source_node_id"], node)
        }


def _resolution(node: NodeView, upstream: _Upstream, *, name_node: bool) -> Resolution:
    values = _values_by_name(node, upstream)
    env = _env(node, values)
    claims = _claims_by_path(node, upstream)
    mounts = _mounts(node, claims)
    unmet: list[dict[str, Any]] = []
    for container in node.template.containers:
        name = container["name"]
        for variable in _wanted(node, container, "input_env_vars", "name"):
            if variable not in env[name]:
                reason = upstream.why_nothing(node, node.input_env_vars, "name", variable)
                unmet.append(unmet_variable(node, container, variable, reason=reason, name_node=name_node))
        for path in _wanted(node, container, "input_volume_mounts", "mount_path"):
            if path not in mounts[name]:
                reason = upstream.why_nothing(node, node.input_volume_mounts, "mount_path", path)
                unmet.append(unmet_mount(node, container, path, reason=reason, name_node=name_node))
    defaults = {
        entry["name"]: entry["default_value"]
        for container in reversed(node.template.containers)
        for entry in listed(container, "input_env_vars")
        if entry.get("default_value")
    }
    found = {name: value or defaults.get(name) for name, value in values.items()}
    return Resolution(
        env={name: tuple(variables.items()) for name, variables in env.items()},
        mounts={name: tuple(by_path.values()) for name, by_path in mounts.items()},
        unmet=unmet,
        values={name: value for name, value in found.items() if value},
        claims=claims,
    )


def _values_by_name(node: NodeView, upstream: _Upstream) -> dict[str, str | None]:
    """What upstream gives the node's variables. None: up to the template's default. Absent: no path of edges."""
    return {
        entry["name"]: upstream.value(entry)
        for entry in node.input_env_vars
        if upstream.is_before(entry["source_node_id"], node)
    }


def _claims_by_path(node: NodeView, upstream: _Upstream) -> dict[str, str]:
    found = {
        entry["mount_path"]: upstream.claim(node, entry)
        for entry in node.input_volume_mounts
        if upstream.is_before(entry["source_node_id"], node)
    }
    return {path: claim for path, claim in found.items() if claim}


def _env(node: NodeView, values: Mapping[str, str | None]) -> dict[str, dict[str, str]]:
    """The environment of each container: the four rows of contract G.2, later ones win."""
    anywhere = _declared_anywhere(node, "input_env_vars", "name")
    env = {}
    for container in node.template.containers:
        defaults = {entry["name"]: entry.get("default_value") or None for entry in listed(container, "input_env_vars")}
        rows: dict[str, str | None] = dict(defaults)
        rows |= {entry["name"]: entry["value"] for entry in listed(container, "env_vars")}
        for name, value in values.items():
            given = value or defaults.get(name)
            if given and (name in defaults or name not in anywhere):
                rows[name] = given
        rows |= {entry["name"]: entry["value"] for entry in node.env_vars}
        env[container["name"]] = {name: value for name, value in rows.items() if value is not None}
    return env


def _mounts(node: NodeView, claims: Mapping[str, str]) -> dict[str, dict[str, ClaimMount]]:
    """The mounts of each container by path: the three rows of contract G.2, later ones win."""
    anywhere = _declared_anywhere(node, "input_volume_mounts", "mount_path")
    mounts = {}
    for container in node.template.containers:
        declared = {entry["mount_path"]: entry for entry in listed(container, "input_volume_mounts")}
        by_path = {}
        for entry in listed(container, "volume_mounts"):
            by_path[entry["mount_path"]] = _mount(entry, entry["pvc_name"], None, read_only=False)
        for entry in node.input_volume_mounts:
            path = entry["mount_path"]
            if path in claims and (path in declared or path not in anywhere):
                by_path[path] = _mount(entry, claims[path], declared.get(path), read_only=True)
        for entry in node.volume_mounts:
            path = entry["mount_path"]
            if path in declared or path not in anywhere:
                by_path[path] = _mount(entry, entry["pvc_name"], declared.get(path), read_only=False)
        mounts[container["name"]] = by_path
    return mounts


def _mount(entry: Mapping[str, Any], claim: str, declared: Mapping[str, Any] | None, *, read_only: bool) -> ClaimMount:
    """One mount. What the entry leaves out is taken from the declared input, then from the default `read_only`."""
    if declared is not None:
        read_only = declared.get("read_only") is not False
    own = entry.get("read_only")
    sub_path = entry.get("sub_path") or (declared or {}).get("sub_path") or None
    return ClaimMount(claim, entry["mount_path"], sub_path, read_only if own is None else own)


def _declared_anywhere(node: NodeView, field: str, key: str) -> set[str]:
    return {entry[key] for container in node.template.containers for entry in listed(container, field)}


def _wanted(node: NodeView, container: Mapping[str, Any], field: str, key: str) -> list[str]:
    """What a container must get: what it declares, and what the node's entries send to it."""
    entries: Sequence[Mapping[str, Any]] = getattr(node, field)
    sent = {entry[key] for entry in entries} - _declared_anywhere(node, field, key)
    return [entry[key] for entry in listed(container, field)] + sorted(sent)
