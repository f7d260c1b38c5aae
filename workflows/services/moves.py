"""Guarded moves of instances and nodes: the table says what may happen, the UPDATE says whether it did."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db.models import Value
from django.db.models.functions import Coalesce

from workflows.domain.errors import WrongStatus
from workflows.domain.statuses import ENDED, NodeStatus
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
from workflows.models import NodeRun, Run, WorkflowInstance, WorkflowNode

_HINTS = {
    Verb.INITIALIZE: "send force=true, or uninitialize it first",
    Verb.FORCE_INITIALIZE: "uninitialize it first",
    Verb.START: "uninitialize it first, or use the trigger for a further run",
    Verb.STOP: "uninitialize it to remove what it has in the cluster",
    Verb.EDIT_GRAPH: "uninitialize it first",
    Verb.TRIGGER: "initialize or start it first, or wait for the run to end",
    Verb.UNINITIALIZE: "there is nothing to remove, or the set-up has not ended yet",
    Verb.UPDATE: "wait for the run to end, or stop it",
    Verb.ACTIVATE: "initialize it first",
}


def require(instance: WorkflowInstance, verb: Verb) -> None:
    """Raises WrongStatus, with a hint for people, unless the instance's status allows the verb (contract D.2)."""
    if instance.status not in ALLOWED[verb]:
        words = verb.value.replace("_", " ")
        hint = f": {_HINTS[verb]}" if verb in _HINTS else ""
        raise WrongStatus(
            f"workflow {instance.pk} is {instance.status}, which does not allow to {words}{hint}",
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
    run: Run, node_ids: Collection[str], event: NodeEvent | SetupEvent, *, now: datetime, **changes: Any
) -> int:
    """Moves nodes of an open run by one event, in the record of the run and in the node itself. Returns how many moved.

    `changes` are columns that both have, such as `message`. A node that the table does not allow to move stays as it is.
    """
    sources, target = NODE_MOVES[event] if isinstance(event, NodeEvent) else SETUP_MOVES[event]
    match event:
        case SetupEvent.UNREADY:
            changes["finished_at"] = None
        case SetupEvent.VANISH:
            changes |= {"started_at": None, "finished_at": None}
        case SetupEvent():
            changes["started_at"] = Coalesce("started_at", Value(now))
        case NodeEvent.LAUNCH:
            changes["started_at"] = now
    if target in ENDED:
        changes["finished_at"] = now
    record = {"due_at": None, "due_reason": None, "clock_started_at": None} if target in ENDED else {}
    moved = NodeRun.objects.filter(run=run, node_id__in=node_ids, status__in=sources).update(
        status=target, updated_at=now, **record, **changes
    )
    WorkflowNode.objects.filter(pk__in=node_ids, status__in=sources).update(status=target, **changes)
    return moved
