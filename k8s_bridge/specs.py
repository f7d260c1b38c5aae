"""What SecFlow asks of a cluster, as frozen values that survive a trip through JSON (contract C.3 to C.5, H.4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

DEPLOYMENT = "Deployment"
JOB = "Job"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who an object belongs to. It is written into the labels, and only an object with the same owner is ever touched.

    `attempt` is unique within one installation and never reused: it tells this object from an older or newer one that
    has the same name.
    """

    installation: str
    project_id: str
    instance_id: str
    node_id: str
    run: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Mount:
    """One claim seen at one path. `sub_path` is relative to the claim's root."""

    claim: str
    path: str
    sub_path: str | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """A health check; numbers in seconds and counts (contract C.5)."""

    type: str  # http, tcp or exec
    port: int | None = None
    path: str | None = None
    command: tuple[str, ...] = ()
    initial_delay_seconds: int = 10
    period_seconds: int = 10
    timeout_seconds: int = 5
    failure_threshold: int = 3
    success_threshold: int = 1


@dataclass(frozen=True, slots=True)
class Container:
    """One container with everything resolved: no inputs are left open here (contract G.2)."""

    name: str
    image: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    requests: tuple[tuple[str, str], ...] = ()
    limits: tuple[tuple[str, str], ...] = ()
    privileged: bool = False
    image_pull_policy: str = "IfNotPresent"
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class ServicePort:
    """`port` of the Service leads to `target_port` of the first container."""

    name: str
    port: int
    target_port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service in front of a Deployment. It is only asked for when it has ports."""

    name: str
    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """One Deployment or Job, complete but for its owner: the same spec always gives the same manifest."""

    kind: str  # DEPLOYMENT or JOB
    namespace: str
    name: str
    containers: tuple[Container, ...]
    replicas: int = 1
    backoff_limit: int = 3
    ttl_seconds_after_finished: int | None = 3600
    service: Service | None = None
    service_ports: tuple[ServicePort, ...] = ()  # ports of the first container; also those without a Service

    def to_json(self) -> dict[str, Any]:
        """A plain JSON object; `from_json` gives an equal spec back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WorkloadSpec:
        """The spec that `to_json` wrote. Raises KeyError or TypeError for anything else."""
        service = data["service"]
        return cls(
            **{
                **data,
                "containers": tuple(_container(item) for item in data["containers"]),
                "service_ports": _ports(data["service_ports"]),
                "service": Service(**{**service, "ports": _ports(service["ports"])}) if service else None,
            }
        )


def _ports(items: list[dict[str, Any]]) -> tuple[ServicePort, ...]:
    return tuple(ServicePort(**item) for item in items)


def _words(items: list[str] | None) -> tuple[str, ...] | None:
    return None if items is None else tuple(items)


def _probe(data: dict[str, Any] | None) -> Probe | None:
    return Probe(**{**data, "command": tuple(data["command"])}) if data else None


def _container(data: dict[str, Any]) -> Container:
    return Container(
        **{
            **data,
            "command": _words(data["command"]),
            "args": _words(data["args"]),
            "env": tuple((name, value) for name, value in data["env"]),
            "mounts": tuple(Mount(**item) for item in data["mounts"]),
            "requests": tuple((key, value) for key, value in data["requests"]),
            "limits": tuple((key, value) for key, value in data["limits"]),
            "liveness_probe": _probe(data["liveness_probe"]),
            "readiness_probe": _probe(data["readiness_probe"]),
        }
    )
