"""Django finds the models of an app here."""

from workflows.models.cluster import Cleanup, Installation, Workload
from workflows.models.event import Event
from workflows.models.instance import WorkflowInstance
from workflows.models.node import WorkflowNode
from workflows.models.request import RequestKey, Turn
from workflows.models.run import NodeLog, NodeRun, Run
from workflows.models.shard import ClusterWatcher, ShardLease

__all__ = [
    "Cleanup",
    "ClusterWatcher",
    "Event",
    "Installation",
    "NodeLog",
    "NodeRun",
    "RequestKey",
    "Run",
    "ShardLease",
    "Turn",
    "WorkflowInstance",
    "WorkflowNode",
    "Workload",
]
