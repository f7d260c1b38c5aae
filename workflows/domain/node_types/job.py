"""A one-shot job: a Job, made when a run reaches it, whose end is the end of the node (contract B.7, E.6)."""

from __future__ import annotations

from types import MappingProxyType

from workflows.domain.node_types.registry import NodeType
from workflows.domain.transitions import NodeEvent

NODE_TYPE = NodeType(
    name="job",
    resource_kind="Job",
    is_set_up=False,
    keeps_workload=False,
    has_service=False,
    has_probes=False,
    default_timeout="job_timeout_seconds",
    launch_task="workflows.launch_workloads",
    settles=MappingProxyType(
        {"succeeded": NodeEvent.SUCCEED, "failed": NodeEvent.FAIL, "gone": NodeEvent.VANISH},
    ),
)
