"""Removing what is not wanted any more, until the cluster shows none of it (contract E.2, H.5).

One row per instance says that something is to be removed and what follows. A clean-up compares what is there with what is
wanted, so it may be repeated at any time and never touches what a later start has made.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from k8s_bridge.errors import ClusterError
from k8s_bridge.names import namespace_of
from secflow.transactions import retried
from workflows.dispatch import CLEAN_UP_INSTANCE, send_after_commit
from workflows.domain.statuses import WANTED, CleanupGoal, InstanceStatus, NodeStatus, WorkloadState
from workflows.domain.transitions import InstanceEvent
from workflows.killpoints import AFTER_DELETE, pass_by
from workflows.models import Cleanup, NodeLog, WorkflowInstance, WorkflowNode, Workload
from workflows.services.backoff import backoff
from workflows.services.cluster import gateway
from workflows.services.diagnoses import clean
from workflows.services.journal import Entry, append
from workflows.services.logs import capture_logs
from workflows.services.moves import move_instance
from workflows.services.runs import FRESH, NO_RESOURCE, highest_attempt
from workflows.services.waiting import wait_until

logger = logging.getLogger(__name__)

HOLD = timedelta(seconds=30)  # one worker's turn; the next one may try after it
PATIENCE = 20.0  # seconds that a turn waits for objects to go away
LONGEST_PAUSE = 0.5  # seconds between two looks of a turn, each of which lists four kinds
LONGEST_REST = 30.0  # seconds between two turns at objects that something keeps, such as a finalizer
_RANK = {goal: rank for rank, goal in enumerate(CleanupGoal)}


def request_cleanup(
    instance: WorkflowInstance, *, actor: str, now: datetime, goal: CleanupGoal = CleanupGoal.TIDY
) -> None:
    """Notes that the locked instance is to be cleaned up, and wakes a worker for it after commit. A stronger goal stays."""
    row = Cleanup.objects.filter(instance=instance).first()
    if row is None:
        Cleanup.objects.create(instance=instance, goal=goal, actor=actor, due_at=Now(), requested_at=now)
    else:
        if _RANK[goal] > _RANK[CleanupGoal(row.goal)]:
            row.goal, row.actor = goal, actor
        row.generation += 1
        row.due_at, row.error, row.tries = Now(), None, 0
        row.save(update_fields=["goal", "actor", "generation", "due_at", "error", "tries"])
    send_after_commit(CLEAN_UP_INSTANCE, instance_id=instance.pk)


def let_go(instance: WorkflowInstance, leases: Iterable[tuple[int, int]]) -> None:
    """Gives leases of launches back, as (workload id, token), and wakes the clean-up that may be waiting for them.

    The instance is locked: so the clean-up sees either the free leases or this wake-up.
    """
    for workload_id, token in leases:
        Workload.objects.filter(pk=workload_id, lease_token=token).update(lease_until=None)
    if Cleanup.objects.filter(pk=instance.pk).update(due_at=Now()):
        send_after_commit(CLEAN_UP_INSTANCE, instance_id=instance.pk)


def clean_up_instance(*, instance_id: str) -> bool:
    """Takes one turn at the instance's clean-up. True when nothing unwanted is left and the goal was carried out.

    A turn that is not due, or that somebody else has, does nothing.
    """
    # By the database's clock: one that was requested a moment ago must be due for a worker whose own clock is behind.
    due = Cleanup.objects.filter(pk=instance_id, due_at__lte=Now())
    taken = due.update(due_at=Now() + HOLD, tries=F("tries") + 1)
    if not taken:
        return False
    row = Cleanup.objects.select_related("instance").filter(pk=instance_id).first()
    if row is None:
        return False
    try:
        return _turn(row)
    except ClusterError as err:
        pause = backoff(row.tries, retry_after=err.retry_after, spread=random.random())  # noqa: S311
        Cleanup.objects.filter(pk=instance_id, generation=row.generation).update(
            error=clean(str(err)), due_at=Now() + pause
        )
        logger.warning("clean-up has to be tried again: %s", err, extra={"instance_id": instance_id})
        return False


def _turn(row: Cleanup) -> bool:
    instance = row.instance
    leaving = row.goal != CleanupGoal.TIDY
    # A launch that is in somebody's hands may make its object after the last look below: it is left to the next turn.
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=Now())
    unwanted = set(
        Workload.objects.filter(free, instance=instance, state=WorkloadState.DELETING).values_list("pk", flat=True)
    )
    newest = _newest_attempt(instance)
    if newest is not None:
        # A cluster that hangs is found out in time for whoever waits for this turn.
        gateway().check(timeout=3.0)
        _fetch_last_words(instance)
        namespace = namespace_of(instance.project_id)

        def nothing_left() -> bool:
            # Read anew each time: a start may have come in between, and what it wants is kept.
            wanted = Workload.objects.filter(instance=instance, state__in=WANTED).values_list("pk", flat=True)
            kept = frozenset() if leaving else frozenset(wanted)
            left = gateway().delete_objects(namespace, instance.pk, kept, newest=newest)
            return left.count == left.going

        if not wait_until(nothing_left, seconds=PATIENCE, longest_pause=LONGEST_PAUSE):
            # What keeps them may do so for long: others must not wait for a worker that looks at them without a pause.
            pause = backoff(row.tries, spread=random.random(), longest=LONGEST_REST)  # noqa: S311
            Cleanup.objects.filter(pk=instance.pk, generation=row.generation).update(due_at=Now() + pause)
            return False
    pass_by(AFTER_DELETE)
    return _finish(row, unwanted)


def _newest_attempt(instance: WorkflowInstance) -> int | None:
    """An attempt that no object made from now on is below, and that all objects are up to which the instance has now. None
    while no attempt was given to anybody.

    Attempts are given out under the instance's lock. After a restore of the database the newest row may be older than what
    stands in the cluster, so the rows do not tell.
    """
    with transaction.atomic():
        WorkflowInstance.objects.select_for_update(no_key=True).filter(pk=instance.pk).first()
        return highest_attempt()


def _fetch_last_words(instance: WorkflowInstance) -> None:
    """Logs that are still to be fetched are fetched before their pods go. It must not keep the clean-up from its work."""
    waiting = NodeLog.objects.filter(node_run__instance=instance, due_at__isnull=False)
    ids = list(waiting.values_list("node_run_id", flat=True))
    if ids:
        capture_logs(node_run_ids=ids, before_removal=True)


@retried
def _finish(row: Cleanup, unwanted: set[int]) -> bool:
    """Carries out the goal, if no newer request came and no launch is still in somebody's hands."""
    with transaction.atomic():
        instance = WorkflowInstance.objects.select_for_update().filter(pk=row.pk).first()
        current = Cleanup.objects.filter(pk=row.pk, generation=row.generation).first()
        if instance is None or current is None:
            return False
        Workload.objects.filter(pk__in=unwanted).update(state=WorkloadState.GONE, due_at=None, lease_until=None)
        left = Workload.objects.filter(instance=instance, state=WorkloadState.DELETING)
        if left.exists():
            # They were in somebody's hands when the last look began. Who lets go of one wakes the clean-up.
            held = left.filter(lease_until__gt=Now()).order_by("lease_until").first()
            Cleanup.objects.filter(pk=row.pk).update(due_at=Now() if held is None else held.lease_until)
            if held is None:
                send_after_commit(CLEAN_UP_INSTANCE, instance_id=row.pk)
            return False
        match CleanupGoal(current.goal):
            case CleanupGoal.DELETE:
                erase(instance, actor=current.actor)
                return True
            case CleanupGoal.UNINITIALIZE:
                to_draft(instance, actor=current.actor)
            case CleanupGoal.TIDY:
                append(instance, Entry("instance.cleaned_up", "system"))
        current.delete()
        return True


def to_draft(instance: WorkflowInstance, *, actor: str) -> None:
    """The locked instance is a draft again: nothing of it is in the cluster (contract E.2)."""
    if instance.status != InstanceStatus.PENDING:
        move_instance(
            instance,
            InstanceEvent.UNINITIALIZE,
            started_at=None,
            finished_at=None,
            has_warning=False,
            message=None,
        )
    WorkflowNode.objects.filter(instance=instance).update(**FRESH, **NO_RESOURCE)
    append(instance, Entry("instance.uninitialized", actor))


def erase(instance: WorkflowInstance, *, actor: str) -> None:
    """The locked instance goes, with nodes, runs and logs. Its journal stays, closed by this entry (contract D.4)."""
    append(instance, Entry("instance.deleted", actor, instance.name))
    instance.delete()


def has_anything_in_cluster(instance: WorkflowInstance) -> bool:
    """Whether there may be an object of the instance in the cluster. Drafts that never ran need no cluster to be removed."""
    return Workload.objects.filter(instance=instance).exists()


def stop_nodes(instance: WorkflowInstance, *, now: datetime) -> None:
    """Every node of the instance is stopped (contract E.2)."""
    nodes = WorkflowNode.objects.filter(instance=instance)
    nodes.filter(finished_at__isnull=True).update(finished_at=now)
    nodes.update(status=NodeStatus.STOPPED, **NO_RESOURCE)
