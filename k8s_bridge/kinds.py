"""The kinds of object that SecFlow handles and the addresses they have in the Kubernetes API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from k8s_bridge.specs import DEPLOYMENT, JOB

POD = "Pod"
SERVICE = "Service"
NAMESPACE = "Namespace"
EVENT = "Event"


@dataclass(frozen=True, slots=True)
class Kind:
    """Where a kind lives: `root` is the path of its API group and version."""

    root: str
    plural: str
    api_version: str


KINDS: Mapping[str, Kind] = {
    DEPLOYMENT: Kind("/apis/apps/v1", "deployments", "apps/v1"),
    JOB: Kind("/apis/batch/v1", "jobs", "batch/v1"),
    POD: Kind("/api/v1", "pods", "v1"),
    SERVICE: Kind("/api/v1", "services", "v1"),
    NAMESPACE: Kind("/api/v1", "namespaces", "v1"),
    EVENT: Kind("/api/v1", "events", "v1"),
}


def collection_path(kind: str, namespace: str | None = None) -> str:
    """The list of one kind: in one namespace, or everywhere when none is given. Raises KeyError for an unknown kind."""
    found = KINDS[kind]
    scope = "" if namespace is None else f"/namespaces/{quote(namespace, safe='')}"
    return f"{found.root}{scope}/{found.plural}"


def object_path(kind: str, namespace: str | None, name: str, subresource: str = "") -> str:
    """One object, or one part of it such as `log`."""
    # A name of dots alone would climb up the path.
    if not name or set(name) == {"."}:
        raise ValueError(f"{name!r} cannot be the name of a {kind}.")
    tail = f"/{subresource}" if subresource else ""
    return f"{collection_path(kind, namespace)}/{quote(name, safe='')}{tail}"


def describe_call(method: str, path: str, query: Mapping[str, str]) -> tuple[str, str]:
    """The Kubernetes verb and resource of a call, as access rules name them: ("create", "jobs")."""
    parts = path.strip("/").split("/")
    if parts[0] not in ("api", "apis"):
        return method.lower(), path
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    resource = "/".join(parts[:1] + parts[2:]) or path
    if method != "GET":
        return {"POST": "create", "PUT": "update"}.get(method, method.lower()), resource
    if query.get("watch"):
        return "watch", resource
    return ("get" if len(parts) > 1 else "list"), resource
