"""The journal as a feed: events in one order, from a position on, each exactly once (decision 0012).

Transactions end in another order than the ids of their rows were given. So the order is that of (transaction, id), and a row is
shown when its transaction and all that began to write before it have ended: from then on nothing can appear in front of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import connection

from secflow.http.rendering import iso
from secflow.projects.access import member_projects
from workflows.domain.actors import Actor, Right
from workflows.domain.errors import Invalid

MOST: Final = 1000  # events of one reading
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


class Position(NamedTuple):
    """A place between two events: before it is what was read."""

    transaction_id: int
    id: int

    def __str__(self) -> str:
        return f"{self.transaction_id}-{self.id}"


BEGINNING: Final = Position(-1, 0)


def parse_cursor(text: str, *, field: str) -> Position:
    """The position of a cursor that was handed out, or of `0`. Raises Invalid for anything else."""
    if text == "0":
        return BEGINNING
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise Invalid.field(field, "must be a cursor that the feed handed out, or 0 for the beginning")
    return Position(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the feed is asked for; None is everything."""

    project_id: str | None = None
    instance_id: str | None = None

    def takes(self, event: FeedEvent) -> bool:
        """Whether the event is asked for."""
        return self.project_id in (None, event.project_id) and self.instance_id in (None, event.instance_id)


@dataclass(frozen=True, slots=True)
class Scope:
    """What one caller may read at the moment: everything, or its projects and the instances that it created."""

    everything: bool
    projects: frozenset[str] = frozenset()
    creator: str | None = None

    def covers(self, event: FeedEvent) -> bool:
        """Whether the caller may read the event."""
        return (
            self.everything
            or event.project_id in self.projects
            or (self.creator is not None and event.creator == self.creator)
        )


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event, its place and who created its instance. `output` is what everybody is given of it."""

    position: Position
    project_id: str
    instance_id: str
    kind: str
    creator: str | None
    output: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """Events in order, and the position behind them. `is_all`: there were no more at that moment."""

    events: tuple[FeedEvent, ...]
    position: Position
    is_all: bool


def scope_of(actor: Actor) -> Scope:
    """What the actor may read: the same as of instances (contract A.3). At most one query."""
    if actor.has_everywhere(Right.READ):
        return Scope(everything=True)
    return Scope(everything=False, projects=frozenset(member_projects(actor)), creator=actor.id)


def newest_position() -> Position:
    """Behind everything that can be read now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        row = cursor.fetchone()
    return Position(row[0], 0)


def read_events(after: Position, *, limit: int = MOST, wanted: Wanted | None = None) -> Reading:
    """Up to `limit` events after a position, whoever may read them. One query.

    Raises Invalid when this database cannot have handed the position out: it was restored from a dump into another server.
    """
    wanted = wanted or Wanted()
    conditions, parameters = "", {"transaction_id": after.transaction_id, "id": after.id, "limit": limit}
    for column in ("project_id", "instance_id"):
        if (value := getattr(wanted, column)) is not None:
            conditions += f" AND e.{column} = %({column})s"
            parameters[column] = value
    with connection.cursor() as cursor:
        # Nothing of a caller gets into the text: names of columns are those above.
        cursor.execute(_READ.replace("/* wanted */", conditions), parameters)
        rows = cursor.fetchall()
    ended, begun = rows[0][:2]
    if after.transaction_id > begun:
        raise Invalid(
            "the cursor comes from another life of the database, which was restored since; begin again without one, or with 0",
            {"cursor": str(after)},
        )
    events = tuple(_event(row[2:]) for row in rows if row[2] is not None)
    if len(events) == limit:
        return Reading(events, events[-1].position, is_all=False)
    return Reading(events, max(after, Position(ended, 0)), is_all=True)


# One statement is one snapshot. `ended`: every transaction below has ended. `begun`: none from there on has begun.
# The creator of an instance that is gone is who made its first event.
_READ = """
WITH now AS MATERIALIZED (
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS ended,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS begun
), found AS (
    SELECT e.transaction_id, e.id, e.instance_id, e.sequence, e.project_id, e.kind, e.node_id, e.run_number, e.actor,
           e.message, e.data, e.created_at
      FROM secflow_platform_workflow_event AS e
     WHERE (e.transaction_id, e.id) > (%(transaction_id)s, %(id)s)
       AND e.transaction_id < (SELECT ended FROM now)/* wanted */
     ORDER BY e.transaction_id, e.id
     LIMIT %(limit)s
)
SELECT now.ended, now.begun, found.*,
       coalesce(i.created_by, (SELECT first.actor FROM secflow_platform_workflow_event AS first
                                WHERE first.instance_id = found.instance_id AND first.sequence = 1))
  FROM now
  LEFT JOIN found ON true
  LEFT JOIN secflow_platform_workflow_workflow_instance AS i ON i.id = found.instance_id
 ORDER BY found.transaction_id, found.id
"""


def _event(row: tuple[Any, ...]) -> FeedEvent:
    (
        transaction_id,
        id,
        instance_id,
        sequence,
        project_id,
        kind,
        node_id,
        run_number,
        actor,
        message,
        data,
        at,
        creator,
    ) = row
    position = Position(transaction_id, id)
    return FeedEvent(
        position=position,
        project_id=project_id,
        instance_id=instance_id,
        kind=kind,
        creator=creator,
        output={
            "cursor": str(position),
            "instance_id": instance_id,
            "sequence": sequence,
            "project_id": project_id,
            "kind": kind,
            "node_id": node_id,
            "run_number": run_number,
            "actor": actor,
            "message": message,
            "data": json.loads(data) if isinstance(data, str) else data,
            "created_at": iso(at),
        },
    )
