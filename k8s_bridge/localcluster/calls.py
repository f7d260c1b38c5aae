"""One request as the API means it: which verb on which objects, with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from k8s_bridge.localcluster.errors import StoreError, bad_request
from k8s_bridge.localcluster.resources import BY_PATH, Resource

_TRUE: Final = ("1", "true", "True", "t")
_FALSE: Final = ("", "0", "false", "False", "f")
_ITEM_VERBS: Final = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_LIST_VERBS: Final = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}


@dataclass(frozen=True)
class Target:
    """The objects a path names. `namespace` None = all namespaces, or a kind that has none; `name` None = the list."""

    resource: Resource
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None

    def verb(self, method: str, query: Mapping[str, str]) -> str:
        """The API verb of an HTTP method here; 405 when there is none."""
        found = (_ITEM_VERBS if self.name is not None else _LIST_VERBS).get("GET" if method == "HEAD" else method)
        if found == "list" and flag(query, "watch"):
            return "watch"
        whole_kind = self.resource.namespaced and self.namespace is None
        if (
            found is None
            or (found == "create" and whole_kind)
            or (found == "deletecollection" and (whole_kind or self.resource.kind == "Namespace"))
            or (self.subresource == "log" and found != "get")
            or (self.subresource and found == "delete")
        ):
            raise method_not_allowed()
        return found


def method_not_allowed() -> StoreError:
    return StoreError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unknown_path() -> StoreError:
    return StoreError(404, "NotFound", "the server could not find the requested resource")


def find_target(parts: list[str]) -> Target:
    """Read `api/v1/...` or `apis/{group}/{version}/...`, split at the slashes; a path that is not served is a 404."""
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise unknown_path()
    namespace: str | None = None
    # `namespaces/x/pods` is inside a namespace; `namespaces/x` and `namespaces/x/status` are the namespace itself.
    if rest[0] == "namespaces" and len(rest) > 2 and (group, version, rest[2]) in BY_PATH:
        namespace, rest = rest[1], rest[2:]
    resource = BY_PATH.get((group, version, rest[0]))
    if resource is None or len(rest) > 3 or (namespace is not None and not resource.namespaced):
        raise unknown_path()
    name = rest[1] if len(rest) > 1 else None
    subresource = rest[2] if len(rest) > 2 else None
    if name is not None and resource.namespaced and namespace is None:
        raise unknown_path()
    if subresource is not None and subresource not in resource.subresources:
        raise _not_here(resource, subresource)
    return Target(resource, namespace, name, subresource)


def _not_here(resource: Resource, subresource: str) -> StoreError:
    if subresource in ("exec", "attach", "portforward"):
        message = (
            f"{resource.plural}/{subresource} is not part of the local cluster: pods are processes of this machine"
        )
        return StoreError(404, "NotFound", message)
    return unknown_path()


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean option; absent is false."""
    value = query.get(name, "false")
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise bad_request(f"{name}: {value!r} is no boolean: use true or false")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A non-negative integer option; None when absent or empty."""
    value = query.get(name)
    if not value:
        return None
    if not value.isdecimal():
        raise bad_request(f"{name}: {value!r} is not a non-negative integer")
    return int(value)


def is_dry_run(values: list[str]) -> bool:
    """Whether `dryRun` asks for a rehearsal: `All` is its only value."""
    if set(values) - {"All", ""}:
        raise bad_request(f"dryRun: Unsupported value: {values[0]!r}: the only supported value is All")
    return "All" in values
