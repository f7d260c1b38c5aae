"""Guarded moves of instances and nodes: the table says what may happen, the UPDATE says whether it did."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from workflows.domain.errors import WrongStatus
from workflows.domain.remedies import remedy
from workflows.domain.statuses import ENDED, InstanceStatus, NodeStatus
from workflows.domain.transitions import (
    ALLOWED,
    INSTANCE_MOVES,
    NODE_MOVES,
    SETUP_MOVES,
    InstanceEvent,
    NodeEvent,
    SetupEvent,
    Verb,
    allowed_words,
)
from workflows.models import Run, WorkflowInstance
from workflows.services.statements import Statements


def require(instance: WorkflowInstance, verb: Verb) -> None:
    """Raises WrongStatus, with a hint for people, unless the instance's status allows the verb (contract D.2)."""
    if instance.status not in ALLOWED[verb]:
        words = verb.value.replace("_", " ")
        hint = remedy(verb, InstanceStatus(instance.status))
        raise WrongStatus(
            f"workflow {instance.pk} is {instance.status}, which does not allow to {words}: {hint}",
            status=instance.status,
            allowed=allowed_words(verb),
        )


def move_instance(instance: WorkflowInstance, event: InstanceEvent, **changes: Any) -> None:
    """Moves the locked instance and writes `changes` with it. Raises WrongStatus when the table does not allow the move."""
    sources, target = INSTANCE_MOVES[event]
    moved = WorkflowInstance.objects.filter(pk=instance.pk, status__in=sources).update(status=target, **changes)
    if not moved:
        raise WrongStatus(
            f"workflow {instance.pk} is {instance.status}, which does not allow to {event.value.replace('_', ' ')}",
            status=instance.status,
            allowed=sorted(sources),
        )
    for name, value in {"status": target, **changes}.items():
        setattr(instance, name, value)


def move_nodes(
    run: Run,
    node_ids: Collection[str],
    event: NodeEvent | SetupEvent,
    *,
    now: datetime,
    message: str | None = None,
) -> int:
    """Moves nodes of an open run by one event, in the record of the run and in the node itself. Returns how many moved.

    One statement, however many nodes. A node that the table does not allow to move stays as it is.
    """
    counts: list[int] = []
    writes = Statements()
    add_move(writes, run, node_ids, event, now=now, message=message, then=counts.append)
    writes.send()
    return sum(counts)


def add_move(
    writes: Statements,
    run: Run,
    node_ids: Collection[str],
    event: NodeEvent | SetupEvent,
    *,
    now: datetime,
    message: str | None = None,
    finished_at: datetime | None = None,
    then: Callable[[int], object] = lambda count: None,
) -> None:
    """As `move_nodes`, added to `writes`; `then` gets the number of nodes that moved. `finished_at` is when they ended, if the
    cluster told.
    """
    sources, target = NODE_MOVES[event] if isinstance(event, NodeEvent) else SETUP_MOVES[event]
    times = _ENDED if target in ENDED else _BEGUN if target is NodeStatus.RUNNING else _OPEN
    parameters = {
        "run": run.pk,
        "nodes": list(node_ids),
        "sources": [str(source) for source in sources],
        "target": str(target),
        "now": now,
        "ended": finished_at or now,
        "message": message,
    }
    text = _MOVE.format(times=times, clock=_CLOCK_OFF if target in ENDED else "")
    writes.add(text, parameters, lambda _, count: then(count))


_ENDED = (
    "started_at = COALESCE(started_at, %(now)s),"
    # A cluster whose clock is slow must not make a node end before it began.
    " finished_at = GREATEST(%(ended)s::timestamptz, COALESCE(started_at, %(ended)s::timestamptz))"
)
_BEGUN = "started_at = COALESCE(started_at, %(now)s), finished_at = NULL"
_OPEN = "started_at = NULL, finished_at = NULL"
_CLOCK_OFF = ", due_at = NULL, due_reason = NULL, clock_started_at = NULL"
_MOVE = """
WITH moved AS (
    UPDATE secflow_platform_workflow_node_run
       SET status = %(target)s, message = %(message)s::text, updated_at = %(now)s, {times}{clock}
     WHERE run_id = %(run)s AND node_id = ANY(%(nodes)s) AND status = ANY(%(sources)s)
 RETURNING node_id
)
UPDATE secflow_platform_workflow_workflow_node_instance AS node
   SET status = %(target)s, message = %(message)s::text, {times}
  FROM moved WHERE node.id = moved.node_id
"""
