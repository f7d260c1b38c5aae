"""Who did what to a template, and when. The journal lies above this package, so it registers how to write into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TemplateFact:
    """One change of a template. `kind` is `template.created`, `template.updated` or `template.deleted`."""

    kind: str
    template_id: str
    project_id: str
    actor: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)


Writer = Callable[[TemplateFact], None]

_writers: list[Writer] = []


def register_writer(writer: Writer) -> None:
    """Adds a function that keeps facts, inside the transaction that makes them true. The same function is kept once."""
    if writer not in _writers:
        _writers.append(writer)


def note(fact: str, *, template: Any, node_type: str, actor_id: str, fields: Sequence[str] = ()) -> None:
    """Keeps that a template was created, updated or deleted. The caller holds the template's row, or has just made it."""
    data: dict[str, Any] = {"node_type": node_type, "scope": template.scope}
    if fields:
        data["fields"] = sorted(fields)
    project_id = template.project_id if template.scope == "project" else None
    found = TemplateFact(f"template.{fact}", template.pk, project_id or "", actor_id, template.name, data)
    for write in _writers:
        write(found)
