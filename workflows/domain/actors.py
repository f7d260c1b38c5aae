"""Who acts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller as every service and selector sees one, whatever issued the token.

    `id` is the text written to `created_by` (contract A.2). `is_admin` holds for the role `admin` and for the platform
    role `super_admin` (contract A.3).
    """

    id: str
    name: str = ""
    is_admin: bool = False


SYSTEM = Actor(id="system", name="SecFlow", is_admin=True)
ANONYMOUS_TRIGGER = Actor(id="http-trigger", name="HTTP trigger")
