"""The kinds this server knows, as one table; every other module asks here instead of testing names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

READ_WRITE: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One kind and how the API names it.

    `subresources` are the path parts under an object that are served; `has_generation` says whether a change of the
    spec counts up `metadata.generation`.
    """

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    has_generation: bool = False
    in_all: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def qualified(self) -> str:
        """The name used in error messages: `pods`, `jobs.batch`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def categories(self) -> tuple[str, ...]:
        return ("all",) if self.in_all else ()


RESOURCES: Final[tuple[Resource, ...]] = (
    Resource("Namespace", "namespaces", short_names=("ns",), namespaced=False, subresources=("status",)),
    Resource("Node", "nodes", short_names=("no",), namespaced=False, subresources=("status",)),
    Resource("Pod", "pods", short_names=("po",), subresources=("status", "log"), has_generation=True, in_all=True),
    Resource("Service", "services", short_names=("svc",), subresources=("status",), in_all=True),
    Resource("PersistentVolumeClaim", "persistentvolumeclaims", short_names=("pvc",), subresources=("status",)),
    Resource("Event", "events", short_names=("ev",)),
    Resource("ConfigMap", "configmaps", short_names=("cm",)),
    Resource("Secret", "secrets"),
    Resource("Job", "jobs", group="batch", subresources=("status",), has_generation=True, in_all=True),
    Resource(
        "Deployment",
        "deployments",
        group="apps",
        short_names=("deploy",),
        subresources=("status", "scale"),
        has_generation=True,
        in_all=True,
    ),
)

BY_KIND: Final[dict[str, Resource]] = {resource.kind: resource for resource in RESOURCES}
BY_PATH: Final[dict[tuple[str, str, str], Resource]] = {
    (resource.group, resource.version, resource.plural): resource for resource in RESOURCES
}
GROUPS: Final[tuple[str, ...]] = tuple(sorted({resource.group for resource in RESOURCES}))


def of_group(group: str) -> tuple[Resource, ...]:
    """The kinds of one API group, in table order; empty for a group that is not served."""
    return tuple(resource for resource in RESOURCES if resource.group == group)
