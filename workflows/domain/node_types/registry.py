"""The kinds of node that the engine knows (contract B.6). One module here is one kind; nothing else lists them."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType

from workflows.domain.errors import Invalid
from workflows.domain.transitions import NodeEvent


@dataclass(frozen=True, slots=True)
class NodeType:
    """What the engine has to know about one kind of node. A module of this package offers one as `NODE_TYPE`.

    `resource_kind`: the cluster object (contract B.12). `is_set_up`: it is made by initialize (E.3). `keeps_workload`:
    its object survives from run to run (E.5). `has_service`, `has_probes`: Service settings and health checks apply
    (C.3, C.7). `default_timeout`: the name of a setting in seconds (E.6). `launch_task`: the name of the Celery task
    that executes such a node. `settles`: observed phase -> the move that it decides.
    """

    name: str
    resource_kind: str
    is_set_up: bool
    keeps_workload: bool
    has_service: bool
    has_probes: bool
    default_timeout: str
    launch_task: str
    settles: Mapping[str, NodeEvent] = field(default_factory=lambda: MappingProxyType({}))

    def settle(self, phase: str) -> NodeEvent | None:
        """The move that an observed phase decides, None when it decides nothing (contract E.6)."""
        return self.settles.get(phase)


def get_node_type(name: str) -> NodeType:
    """The node type of that name. Raises Invalid for a name that no module of this package has."""
    found = _by_name().get(name)
    if found is None:
        raise Invalid.field("node_type", f"{name!r} is not a node type: use one of {', '.join(_by_name())}")
    return found


def node_types() -> tuple[NodeType, ...]:
    """Every node type, sorted by name."""
    return tuple(_by_name().values())


@cache
def _by_name() -> Mapping[str, NodeType]:
    # Imported on first use: the modules import NodeType from here.
    package = import_module(__package__)
    own_name = __name__.rpartition(".")[2]
    found: dict[str, NodeType] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name == own_name:
            continue
        node_type = import_module(f"{__package__}.{module.name}").NODE_TYPE
        if node_type.name in found:
            raise ValueError(f"Two modules of {__package__} define the node type {node_type.name!r}: rename one.")
        found[node_type.name] = node_type
    return MappingProxyType(dict(sorted(found.items())))
