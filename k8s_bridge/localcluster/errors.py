"""The one error family of the local cluster; the server turns each into a Kubernetes `Status`."""

from __future__ import annotations

from typing import Any

from k8s_bridge.localcluster.resources import Resource


class StoreError(Exception):
    """A request that cannot be served: HTTP `status`, Kubernetes `reason`, `message`, and `details` of the Status."""

    def __init__(self, status: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details

    def as_status(self) -> dict[str, Any]:
        """The `Status` object a Kubernetes client reads: kind, apiVersion, status, message, reason, details, code."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.status,
        }
        if self.details:
            body["details"] = self.details
        return body


class StateError(Exception):
    """A file of the data directory cannot be read; the text is one sentence that names it and says what to do."""


def details_of(resource: Resource, name: str) -> dict[str, Any]:
    """`details` naming one object; Kubernetes puts the plural in `kind`."""
    details: dict[str, Any] = {"name": name, "kind": resource.plural}
    if resource.group:
        details["group"] = resource.group
    return details


def not_found(resource: Resource, name: str) -> StoreError:
    return StoreError(404, "NotFound", f'{resource.qualified} "{name}" not found', details_of(resource, name))


def already_exists(resource: Resource, name: str) -> StoreError:
    return StoreError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', details_of(resource, name))


def conflict(resource: Resource, name: str, why: str) -> StoreError:
    return StoreError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}',
        details_of(resource, name),
    )


def forbidden(resource: Resource, name: str, why: str, causes: list[dict[str, Any]] | None = None) -> StoreError:
    details = details_of(resource, name)
    if causes:
        details["causes"] = causes
    return StoreError(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {why}', details)


def bad_request(message: str) -> StoreError:
    return StoreError(400, "BadRequest", message)


def expired(message: str) -> StoreError:
    """The answer to a version that is no longer in the history: the client lists again."""
    return StoreError(410, "Expired", message)
