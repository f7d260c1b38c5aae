"""Writing the journal (contract of the events table: append-only, no gap in the sequence of an instance)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.utils import timezone

from workflows.models import WorkflowInstance


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
    """Adds entries to the journal and raises the instance's version by their number; one statement.

    The caller holds the instance's lock: that is what keeps the sequence free of gaps and doubles.
    """
    if not entries:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND,
            {
                "instance": instance.pk,
                "project": instance.project_id,
                "version": instance.version,
                "count": len(entries),
                "now": timezone.now(),
                "kinds": [entry.kind for entry in entries],
                "nodes": [entry.node_id for entry in entries],
                "runs": [entry.run_number for entry in entries],
                "actors": [entry.actor for entry in entries],
                "messages": [entry.message for entry in entries],
                "data": [json.dumps(entry.data) for entry in entries],
            },
        )
    instance.version += len(entries)


_APPEND = """
WITH added AS (
    INSERT INTO secflow_platform_workflow_event
           (instance_id, sequence, project_id, kind, node_id, run_number, actor, message, data, created_at)
    SELECT %(instance)s, %(version)s + place, %(project)s, kind, node_id, run_number, actor, message, data::jsonb, %(now)s
      FROM unnest(%(kinds)s::text[], %(nodes)s::text[], %(runs)s::int[], %(actors)s::text[], %(messages)s::text[],
                  %(data)s::text[]) WITH ORDINALITY AS e(kind, node_id, run_number, actor, message, data, place)
)
UPDATE secflow_platform_workflow_workflow_instance
   SET version = %(version)s + %(count)s, updated_at = %(now)s WHERE id = %(instance)s
"""
