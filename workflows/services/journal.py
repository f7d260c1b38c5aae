"""Writing the journal (contract of the events table: append-only, no gap in the sequence of an instance)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from templates_app.facts import TemplateFact
from workflows.models import WorkflowInstance
from workflows.services.statements import Statements

SYSTEM = "system"  # the actor of what nobody asked for


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact to be written. `actor` is the id of whoever caused it."""

    kind: str
    actor: str
    message: str = ""
    node_id: str | None = None
    run_number: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


def append(instance: WorkflowInstance, *entries: Entry, writes: Statements | None = None) -> None:
    """Adds entries to the journal and raises the instance's version by their number; one statement, added to `writes` if given.

    The caller holds the instance's lock: that is what keeps the sequence free of gaps and doubles. Times are the database's.
    An entry is never before its predecessor in the order of those who follow the journal (`transaction_id`, then `id`), also
    when its transaction began to write first.
    """
    if not entries:
        return
    parameters: dict[str, Any] = {
        "instance": instance.pk,
        "project": instance.project_id,
        "version": instance.version,
        "count": len(entries),
        "kinds": [entry.kind for entry in entries],
        "nodes": [entry.node_id for entry in entries],
        "runs": [entry.run_number for entry in entries],
        "actors": [entry.actor for entry in entries],
        "messages": [entry.message for entry in entries],
        "data": [json.dumps(entry.data) for entry in entries],
    }
    instance.version += len(entries)
    if writes is not None:
        writes.add(_APPEND, parameters)
        return
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, parameters)


def append_template_fact(fact: TemplateFact) -> None:
    """Adds what happened to a template. In these entries the template's id stands where others have the instance's.

    The caller holds the template's row or has just made it, so the sequence has no gap and no double.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND_TEMPLATE,
            {
                "template": fact.template_id,
                "project": fact.project_id,
                "kind": fact.kind,
                "actor": fact.actor,
                "message": fact.message,
                "data": json.dumps(fact.data),
            },
        )


def renew_positions() -> int:
    """Puts events that were restored from a dump of another server before everything new. Returns how many (decision 0012).

    Ids of transactions begin anew there: what comes from a later one than has begun here would be shown to nobody for a long
    time. Safe to call while others write; without such events it is one look into an index.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RENEW)
        return cursor.rowcount


_APPEND = """
WITH added AS (
    INSERT INTO secflow_platform_workflow_event
           (instance_id, sequence, project_id, kind, node_id, run_number, actor, message, data, created_at, transaction_id)
    SELECT %(instance)s::varchar, %(version)s::int + place, %(project)s, kind, node_id, run_number, actor, message, data::jsonb,
           clock_timestamp(),
           greatest(pg_current_xact_id()::text::bigint,
                    (SELECT last.transaction_id FROM secflow_platform_workflow_event AS last
                      WHERE last.instance_id = %(instance)s::varchar AND last.sequence = %(version)s::int))
      FROM unnest(%(kinds)s::text[], %(nodes)s::text[], %(runs)s::int[], %(actors)s::text[], %(messages)s::text[],
                  %(data)s::text[]) WITH ORDINALITY AS e(kind, node_id, run_number, actor, message, data, place)
)
UPDATE secflow_platform_workflow_workflow_instance
   SET version = %(version)s::int + %(count)s::int, updated_at = clock_timestamp() WHERE id = %(instance)s::varchar
"""
_APPEND_TEMPLATE = """
INSERT INTO secflow_platform_workflow_event
       (instance_id, sequence, project_id, kind, actor, message, data, created_at, transaction_id)
SELECT %(template)s::varchar, coalesce(last.sequence, 0) + 1, %(project)s, %(kind)s, %(actor)s, %(message)s, %(data)s::jsonb,
       clock_timestamp(), greatest(pg_current_xact_id()::text::bigint, last.transaction_id)
  FROM (VALUES (1)) AS once
  LEFT JOIN LATERAL (SELECT sequence, transaction_id FROM secflow_platform_workflow_event
                      WHERE instance_id = %(template)s::varchar ORDER BY sequence DESC LIMIT 1) AS last ON true
"""
# Ids of events do go on after a restore, so whatever is above the last foreign event was written here.
_RENEW = """
UPDATE secflow_platform_workflow_event SET transaction_id = 0
 WHERE transaction_id <> 0
   AND id <= (SELECT max(id) FROM secflow_platform_workflow_event
               WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
"""
