"""Writing the journal (contract of the events table: append-only, no gap in the sequence of an instance)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from workflows.models import Event, WorkflowInstance


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact to be written. `actor` is the id of whoever caused it."""

    kind: str
    actor: str
    message: str = ""
    node_id: str | None = None
    run_number: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


def append(instance: WorkflowInstance, *entries: Entry) -> None:
    """Adds entries to the journal and raises the instance's version by their number.

    The caller holds the instance's lock: that is what keeps the sequence free of gaps and doubles.
    """
    if not entries:
        return
    now = timezone.now()
    Event.objects.bulk_create(
        Event(
            instance_id=instance.pk,
            sequence=instance.version + place,
            project_id=instance.project_id,
            kind=entry.kind,
            node_id=entry.node_id,
            run_number=entry.run_number,
            actor=entry.actor,
            message=entry.message,
            data=entry.data,
            created_at=now,
        )
        for place, entry in enumerate(entries, start=1)
    )
    instance.version += len(entries)
    WorkflowInstance.objects.filter(pk=instance.pk).update(version=instance.version, updated_at=now)
