"""Making it right with no message at all: due rows, and the difference between records and cluster (contract E.7).

`sweep` needs the database only and is cheap. `reconcile` lists what is in the cluster, a few calls whatever the number of
nodes, and applies what was missed. Both may run anywhere, at any time, twice at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from k8s_bridge.names import owner_of
from k8s_bridge.observations import Observation, Phase, observe
from k8s_bridge.specs import DEPLOYMENT, JOB
from workflows.dispatch import (
    CAPTURE_LOGS,
    CLEAN_UP_INSTANCE,
    CONFIRM_WORKLOADS,
    LAUNCH_WORKLOADS,
    send,
    send_batches_after_commit,
)
from workflows.domain.statuses import WANTED, NodeStatus, RunPurpose, WorkloadState
from workflows.models import Cleanup, NodeLog, NodeRun, Run, WorkflowInstance, Workload
from workflows.services.advancing import advance
from workflows.services.cleaning import request_cleanup
from workflows.services.cluster import gateway
from workflows.services.observing import apply_observations, confirm_vanished, expire_node
from workflows.services.setup import fail_stuck_setups, settle_setup

logger = logging.getLogger(__name__)

AGAIN = timedelta(seconds=10)  # a due row is sent once in this time
YOUNG = timedelta(seconds=10)  # what was launched after a list began cannot be in it


def sweep() -> dict[str, int]:
    """Wakes workers for every due row and expires what is over its time. Returns how many of each kind."""
    now = timezone.now()
    return {
        "launches": _resend(Workload, Q(state=WorkloadState.LAUNCHING), LAUNCH_WORKLOADS, "workload_ids", now),
        "confirmations": _resend(Workload, Q(state=WorkloadState.LIVE), CONFIRM_WORKLOADS, "workload_ids", now),
        "cleanups": _resend_cleanups(now),
        "logs": _resend_logs(now),
        "expired": _expire(now),
        "setups": _finish_setups(),
        "runs": _wake_idle_runs(),
    }


def _resend(model: type[Workload], which: Q, task: str, argument: str, now: datetime) -> int:
    """Sends due rows again. Two sweeps at once send each row once: the UPDATE skips what the other has."""
    with transaction.atomic():
        due = model.objects.select_for_update(skip_locked=True).filter(which, due_at__lte=now)
        ids = list(due.values_list("pk", flat=True).order_by("due_at")[:5000])
        model.objects.filter(pk__in=ids).update(due_at=now + AGAIN)
        send_batches_after_commit(task, argument, ids)
    return len(ids)


def _resend_cleanups(now: datetime) -> int:
    # The row's own due time is the claim of the worker that takes the turn, so it is not touched here.
    ids = list(Cleanup.objects.filter(due_at__lte=now).values_list("pk", flat=True)[:1000])
    for instance_id in ids:
        send(CLEAN_UP_INSTANCE, instance_id=instance_id)
    return len(ids)


def _resend_logs(now: datetime) -> int:
    late = now - timedelta(seconds=5)  # younger ones have their message on the way
    ids = list(NodeLog.objects.filter(due_at__lte=late).values_list("node_run_id", flat=True)[:1000])
    for start in range(0, len(ids), 25):
        send(CAPTURE_LOGS, node_run_ids=ids[start : start + 25])
    return len(ids)


def _expire(now: datetime) -> int:
    due = NodeRun.objects.filter(status=NodeStatus.RUNNING, due_at__lte=now, run__finished_at__isnull=True)
    return sum(expire_node(node_run_id=pk) for pk in list(due.values_list("pk", flat=True)))


def _finish_setups() -> int:
    waiting = WorkflowInstance.objects.filter(status="initializing").exclude(workloads__state=WorkloadState.LAUNCHING)
    for instance_id in list(waiting.values_list("pk", flat=True)):
        settle_setup(instance_id)
    return fail_stuck_setups(limit_seconds=settings.SECFLOW.setup_limit_seconds)


def _wake_idle_runs() -> int:
    """An open run in which nothing runs has been left between two steps; it is taken on from there."""
    idle = Run.objects.filter(purpose=RunPurpose.RUN, finished_at__isnull=True).exclude(
        node_runs__status=NodeStatus.RUNNING
    )
    count = 0
    for run_id, instance_id in list(idle.values_list("pk", "instance_id")):
        with transaction.atomic():
            instance = WorkflowInstance.objects.select_for_update().filter(pk=instance_id).first()
            run = Run.objects.filter(pk=run_id, finished_at__isnull=True).first()
            if instance is not None and run is not None:
                advance(instance, run, now=timezone.now())
                count += 1
    return count


def reconcile() -> dict[str, int]:
    """Compares every object of this installation with the records and applies what differs. Raises ClusterError.

    Costs one list per kind (and per 500 objects). Returns counts: `seen` objects, `moved` nodes, `missing` objects that are to
    be confirmed, `stray` instances whose unwanted objects are to be removed.
    """
    began = timezone.now()
    facts = _Facts()
    for kind in (DEPLOYMENT, JOB, "Pod"):
        facts.add(kind, gateway().list_owned(kind))
    moved, missing = _apply_facts(facts, began)
    return {"seen": facts.seen, "moved": moved, "missing": missing, "stray": _clean_strays(facts)}


class _Facts:
    """What one pass over the cluster showed: for each attempt its object's observation and that of its newest pod."""

    def __init__(self) -> None:
        self.seen = 0
        self.objects: dict[int, Observation] = {}
        self.pods: dict[int, tuple[str, Observation]] = {}
        self.owners: dict[int, str] = {}  # attempt -> instance id, for everything that is not going already

    def add(self, kind: str, items: Iterable[dict[str, Any]]) -> None:
        for item in items:
            self.seen += 1
            owner = owner_of(item)
            if owner is None:
                continue
            if not item["metadata"].get("deletionTimestamp"):
                self.owners[owner.attempt] = owner.instance_id
            seen = observe(kind, item)
            if seen is None:
                continue
            if kind != "Pod":
                self.objects[seen.attempt] = seen
            elif self._is_newer(seen, item["metadata"].get("creationTimestamp") or ""):
                self.pods[seen.attempt] = (item["metadata"].get("creationTimestamp") or "", seen)

    def _is_newer(self, seen: Observation, created: str) -> bool:
        """A pod that succeeded decides its job, whichever came later; otherwise the newest pod speaks."""
        known = self.pods.get(seen.attempt)
        if known is None or seen.phase is Phase.SUCCEEDED:
            return True
        return known[1].phase is not Phase.SUCCEEDED and created >= known[0]

    def of(self, attempt: int) -> Iterator[Observation]:
        if attempt in self.pods:
            yield self.pods[attempt][1]
        if attempt in self.objects:
            yield self.objects[attempt]


def _apply_facts(facts: _Facts, began: datetime) -> tuple[int, int]:
    """Applies the facts that tell something new, and marks recorded objects that no list has shown."""
    news: list[Observation] = []
    missing: list[int] = []
    wanted = Workload.objects.filter(state__in=WANTED).only(
        "id", "state", "kind", "is_pulled", "is_ready", "is_finished", "launched_at"
    )
    for workload in wanted.iterator(chunk_size=2000):
        news.extend(seen for seen in facts.of(workload.pk) if _tells_something(seen, workload))
        if workload.pk not in facts.objects and workload.state == WorkloadState.LIVE:
            if workload.launched_at is None or workload.launched_at < began - YOUNG:
                missing.append(workload.pk)
    moved = apply_observations(news)
    with transaction.atomic():
        Workload.objects.filter(pk__in=missing, due_at__isnull=True, state=WorkloadState.LIVE).update(due_at=began)
        send_batches_after_commit(CONFIRM_WORKLOADS, "workload_ids", missing)
    return moved, len(missing)


def _tells_something(seen: Observation, workload: Workload) -> bool:
    if seen.phase in (Phase.SUCCEEDED, Phase.FAILED):
        return not workload.is_finished
    if seen.source == DEPLOYMENT:
        return (seen.phase is Phase.READY) != workload.is_ready
    if seen.source == "Pod":
        is_pulled = seen.phase in (Phase.RUNNING, Phase.READY)
        return (seen.phase is not Phase.WAITING and is_pulled != workload.is_pulled) or seen.diagnosis is not None
    return False


def _clean_strays(facts: _Facts) -> int:
    """Finds objects that nothing wants and has them removed.

    An attempt above the highest ever given here was made from a newer state of this database, as after a restore: it is reported
    and left alone.
    """
    attempts = set(facts.owners)
    wanted = set(Workload.objects.filter(pk__in=attempts, state__in=WANTED).values_list("pk", flat=True))
    highest = Workload.objects.aggregate(highest=Max("pk"))["highest"] or 0
    strays = attempts - wanted
    unknown = {attempt for attempt in strays if attempt > highest}
    if unknown:
        logger.warning("%d objects in the cluster are newer than this database; they are left alone", len(unknown))
    instances = {facts.owners[attempt] for attempt in strays - unknown}
    cleaning = set(Cleanup.objects.filter(pk__in=instances).values_list("pk", flat=True))
    for instance_id in sorted(instances - cleaning):
        with transaction.atomic():
            instance = WorkflowInstance.objects.select_for_update().filter(pk=instance_id).first()
            if instance is not None:
                request_cleanup(instance, actor="system", now=timezone.now())
                continue
        _remove_orphans(facts, instance_id, highest)
    return len(instances)


def _remove_orphans(facts: _Facts, instance_id: str, highest: int) -> None:
    """Objects of an instance that is gone: its deletion verified an empty list, so a late request must have made them."""
    seen = next((item for item in facts.objects.values() if item.instance_id == instance_id), None)
    if seen is not None:
        logger.warning("removing objects of deleted workflow %s", instance_id)
        gateway().delete_objects(seen.namespace, instance_id, frozenset(), newest=highest)


def confirm_workloads(*, workload_ids: list[int]) -> int:
    """Looks in the cluster for objects that were missing, and judges. Returns how many nodes failed by it."""
    moved = 0
    for workload in Workload.objects.filter(pk__in=workload_ids, state=WorkloadState.LIVE, due_at__isnull=False):
        found = gateway().read_workload(workload.namespace, workload.kind, workload.name)
        owner = owner_of(found) if found is not None else None
        is_there = owner is not None and owner.attempt == workload.pk
        if is_there and found is not None and found["metadata"]["uid"] != workload.uid:
            # Made anew under its name and labels: it is followed from here on.
            Workload.objects.filter(pk=workload.pk).update(uid=found["metadata"]["uid"])
        moved += confirm_vanished(workload_id=workload.pk, is_there=is_there)
    return moved
