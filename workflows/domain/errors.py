"""The only errors that reach a surface: a fact, its kind and data. Each protocol has one table from kind to status."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What sort of fact an error states (contract A.4)."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"


class DomainError(Exception):
    """Carries everything a surface needs to answer: `kind`, `code`, `message` for people and `details` for programs.

    `details` is an object, but for `UnmetInputs`, where it is an array (contract A.4, G.4).
    """

    kind = Kind.INVALID
    code = "VALIDATION_ERROR"

    def __init__(self, message: str, details: dict[str, Any] | list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] | list[dict[str, Any]] = {} if details is None else details


class Invalid(DomainError):
    """The request cannot be carried out as it is. `details.fields` names the places where that is known."""

    @classmethod
    def field(cls, field: str, message: str) -> Invalid:
        """One wrong field, named by its path, such as `edges.0.source`."""
        return cls(f"{field}: {message}", {"fields": [{"field": field, "message": message}]})


class WrongStatus(DomainError):
    """The instance's status does not allow the verb. `details`: `status` and `allowed` (contract A.4, D.2)."""

    def __init__(self, message: str, *, status: str, allowed: list[str]) -> None:
        super().__init__(message, {"status": status, "allowed": allowed})


class CycleFound(DomainError):
    """The edges go round in a circle. `details.cycle` is the path, first and last id the same (contract E.5, F.2)."""

    def __init__(self, cycle: list[str]) -> None:
        super().__init__(f"the edges form a cycle: {' -> '.join(cycle)}", {"cycle": cycle})


class UnmetInputs(DomainError):
    """Declared inputs have no value. `details` is an array, one item per missing thing and container (contract G.4)."""


class Unauthenticated(DomainError):
    """The token is missing, malformed, unknown or expired, or its user is inactive (contract A.2)."""

    kind, code = Kind.UNAUTHENTICATED, "UNAUTHORIZED"


class Forbidden(DomainError):
    """The caller is known and lacks the right (contract A.3)."""

    kind, code = Kind.FORBIDDEN, "FORBIDDEN"


class NotFound(DomainError):
    """The named resource does not exist. `details`: `resource` and `id` (contract A.4)."""

    kind, code = Kind.NOT_FOUND, "NOT_FOUND"

    def __init__(self, resource: str, id: str, *, message: str | None = None) -> None:
        fact = message or f"{resource.replace('_', ' ')} {id} does not exist"
        super().__init__(fact, {"resource": resource, "id": id})


class Conflict(DomainError):
    """The request collides with something that exists: an edge, a template in use, a Service name, another verb."""

    kind, code = Kind.CONFLICT, "CONFLICT"


class RateLimited(DomainError):
    """Too many calls. `details.retry_after` is in whole seconds (contract M.2)."""

    kind, code = Kind.RATE_LIMITED, "RATE_LIMITED"


class Unavailable(DomainError):
    """The cluster, the queue or the authentication service cannot be used now (contract D.4)."""

    kind, code = Kind.UNAVAILABLE, "INTERNAL_ERROR"
