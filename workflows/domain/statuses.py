"""The words of the contract's section B, and the groups that the engine reasons with."""

from __future__ import annotations

from enum import StrEnum


class InstanceStatus(StrEnum):
    """Stored status of an instance (contract B.4)."""

    PENDING = "pending"
    INITIALIZING = "initializing"
    INITIALIZED = "initialized"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


class NodeStatus(StrEnum):
    """Status of a node, and of its record in one run (contract B.7)."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


ENDED = frozenset({NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.STOPPED})


class Readiness(StrEnum):
    """Computed readiness of an instance (contract B.5)."""

    PENDING = "pending"
    UNREADY = "unready"
    READY = "ready"


class RunMode(StrEnum):
    """Whether an instance is for one run or for many (contract B.8)."""

    ONCE = "once"
    PERSISTENT = "persistent"


class TriggerType(StrEnum):
    """How runs may be asked for (contract B.9)."""

    MANUAL = "manual"
    HTTP = "http"


class Scope(StrEnum):
    """Who sees a template (contract B.1)."""

    GLOBAL = "global"
    PROJECT = "project"


class ServiceType(StrEnum):
    """Type of a Kubernetes Service (contract B.3)."""

    CLUSTER_IP = "ClusterIP"
    LOAD_BALANCER = "LoadBalancer"
    NODE_PORT = "NodePort"


class RunStatus(StrEnum):
    """How one run stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


class RunPurpose(StrEnum):
    """`setup` makes the app nodes (contract E.3); `run` executes the graph (contract E.5)."""

    SETUP = "setup"
    RUN = "run"


class WorkloadState(StrEnum):
    """Where the one cluster object of a node stands.

    `launching`: wanted, perhaps made. `live`: made. `deleting`: no longer wanted, perhaps still there. `gone`: was seen
    to be gone.
    """

    LAUNCHING = "launching"
    LIVE = "live"
    DELETING = "deleting"
    GONE = "gone"


WANTED = frozenset({WorkloadState.LAUNCHING, WorkloadState.LIVE})


class CleanupGoal(StrEnum):
    """What follows when nothing unwanted of an instance is left in the cluster; a later word includes the earlier."""

    TIDY = "tidy"
    UNINITIALIZE = "uninitialize"
    DELETE = "delete"


def readiness_of(status: str, *, apps_ready: bool) -> Readiness:
    """The computed readiness (contract B). `apps_ready`: every app node is `succeeded`, or there is none."""
    match status:
        case InstanceStatus.PENDING:
            return Readiness.PENDING
        case InstanceStatus.SUCCEEDED:
            return Readiness.READY
        case InstanceStatus.INITIALIZED if apps_ready:
            return Readiness.READY
        case _:
            return Readiness.UNREADY
