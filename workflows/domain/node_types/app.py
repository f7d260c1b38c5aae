"""A long-running app: a Deployment, made by initialize, `succeeded` as soon as it is ready (contract B.7, E.6)."""

from __future__ import annotations

from types import MappingProxyType

from workflows.domain.node_types.registry import NodeType
from workflows.domain.transitions import NodeEvent

NODE_TYPE = NodeType(
    name="app",
    resource_kind="Deployment",
    is_set_up=True,
    keeps_workload=True,
    has_service=True,
    has_probes=True,
    default_timeout="app_timeout_seconds",
    launch_task="workflows.launch_workloads",
    settles=MappingProxyType({"ready": NodeEvent.SUCCEED, "gone": NodeEvent.VANISH}),
)
