"""What the cluster might say about a workload."""

from __future__ import annotations

from typing import Any

from k8s_bridge.observations import Observation, Phase
from workflows.models import WorkflowInstance, WorkflowNode, Workload
from workflows.services.cluster import installation_uid


def seen(workload: Workload, phase: Phase, *, source: str = "Pod", **fields: Any) -> Observation:
    """One look at the workload's pod, or at the object itself when `source` is its kind."""
    return Observation(
        **{
            "attempt": workload.pk,
            "run": workload.run_number,
            "installation": installation_uid(),
            "instance_id": workload.instance_id,
            "node_id": workload.node_id,
            "source": source,
            "name": workload.name,
            "namespace": workload.namespace,
            "uid": workload.uid or "not known",
            "phase": phase,
            **fields,
        }
    )


def wanted(instance: WorkflowInstance, name: str) -> Workload:
    """The workload that the node of this name should have."""
    node = WorkflowNode.objects.get(instance=instance, name=name)
    return Workload.objects.get(node_id=node.pk, state__in=("launching", "live"))
