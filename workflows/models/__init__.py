"""Django finds the models of an app here."""

from workflows.models.cluster import Cleanup, Installation, Workload
from workflows.models.event import Event
from workflows.models.instance import WorkflowInstance
from workflows.models.node import WorkflowNode
from workflows.models.run import NodeLog, NodeRun, Run

__all__ = [
    "Cleanup",
    "Event",
    "Installation",
    "NodeLog",
    "NodeRun",
    "Run",
    "WorkflowInstance",
    "WorkflowNode",
    "Workload",
]
