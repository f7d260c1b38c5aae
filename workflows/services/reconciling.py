"""Making it right with no message at all: due rows, and the difference between records and cluster (contract E.7).

`sweep` looks at the database, and asks the cluster only about nodes whose time is over. `reconcile` lists what is in the
cluster, a few calls whatever the number of nodes, and applies what was missed. Both may run anywhere, at any time, twice at once.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from k8s_bridge.errors import ClusterError
from k8s_bridge.names import owner_of
from k8s_bridge.observations import Observation, Phase, observe
from k8s_bridge.specs import DEPLOYMENT, JOB
from workflows import clock
from workflows.dispatch import (
    CAPTURE_LOGS,
    CLEAN_UP_INSTANCE,
    CONFIRM_WORKLOADS,
    LAUNCH_WORKLOADS,
    send,
    send_batches_after_commit,
)
from workflows.domain.statuses import WANTED, InstanceStatus, NodeStatus, RunPurpose, WorkloadState
from workflows.locks import find_and_lock
from workflows.models import Cleanup, NodeLog, NodeRun, Run, WorkflowInstance, Workload
from workflows.services.advancing import advance
from workflows.services.cleaning import request_cleanup
from workflows.services.cluster import gateway
from workflows.services.facts import Facts, look_at_all, look_at_instance
from workflows.services.isolation import apart
from workflows.services.judging import confirm_vanished, expire_node
from workflows.services.observing import apply_observations
from workflows.services.refusals import refusals
from workflows.services.runs import highest_attempt
from workflows.services.setup import fail_stuck_setups, settle_setup

logger = logging.getLogger(__name__)

AGAIN = timedelta(seconds=10)  # a due row is sent once in this time
PODLESS = timedelta(seconds=3)  # a Job that has no pod for longer may have been refused one
YOUNG = timedelta(seconds=10)  # what was launched after a list began cannot be in it


def sweep() -> dict[str, int]:
    """Wakes workers for every due row and expires what is over its time. Returns how many of each kind."""
    return {
        "launches": _resend(WorkloadState.LAUNCHING, LAUNCH_WORKLOADS),
        "confirmations": _resend(WorkloadState.LIVE, CONFIRM_WORKLOADS),
        "cleanups": _resend_cleanups(),
        "logs": _resend_logs(),
        "expired": _expire(),
        "setups": _finish_setups(),
        "runs": _wake_idle_runs(),
    }


def _resend(state: WorkloadState, task: str) -> int:
    """Sends due rows again. Two sweeps at once send each row once: the SELECT skips what the other has."""
    with transaction.atomic():
        due = Workload.objects.select_for_update(skip_locked=True, no_key=True).filter(state=state, due_at__lte=Now())
        ids = list(due.values_list("pk", flat=True).order_by("due_at")[:5000])
        Workload.objects.filter(pk__in=ids).update(due_at=Now() + AGAIN)
        send_batches_after_commit(task, "workload_ids", ids)
    return len(ids)


def _resend_cleanups() -> int:
    # The row's own due time is the claim of the worker that takes the turn, so it is not touched here.
    ids = list(Cleanup.objects.filter(due_at__lte=Now()).values_list("pk", flat=True)[:1000])
    for instance_id in ids:
        send(CLEAN_UP_INSTANCE, instance_id=instance_id)
    return len(ids)


def _resend_logs() -> int:
    late = Now() - timedelta(seconds=5)  # younger ones have their message on the way
    ids = list(NodeLog.objects.filter(due_at__lte=late).values_list("node_run_id", flat=True)[:1000])
    for start in range(0, len(ids), 25):
        send(CAPTURE_LOGS, node_run_ids=ids[start : start + 25])
    return len(ids)


def _expire() -> int:
    """Fails nodes whose time is over, after a fresh look: one that ended in time and was not seen yet has not failed.

    While the cluster does not answer nobody can know, and nothing could be removed: the nodes stay due.
    """
    due: dict[str, list[int]] = defaultdict(list)
    rows = NodeRun.objects.filter(status=NodeStatus.RUNNING, due_at__lte=Now(), run__finished_at__isnull=True)
    for node_run_id, instance_id in rows.values_list("pk", "instance_id"):
        due[instance_id].append(node_run_id)
    count = 0
    for instance in WorkflowInstance.objects.filter(pk__in=due):
        try:
            with apart("the look at overdue nodes", instance_id=instance.pk):
                facts = look_at_instance(instance)
                apply_observations([*news_of(instance, facts), *refusals(facts, facts.objects)])
                count += _expire_all(due[instance.pk], instance.pk)
        except ClusterError as err:
            logger.warning("nodes stay over their time until the cluster can be read: %s", err)
            break
    return count


def _expire_all(node_run_ids: Iterable[int], instance_id: str) -> int:
    count = 0
    for node_run_id in node_run_ids:
        with apart("the time limit", instance_id=instance_id, node_run_id=node_run_id):
            count += expire_node(node_run_id=node_run_id)
    return count


def _finish_setups() -> int:
    waiting = WorkflowInstance.objects.filter(status=InstanceStatus.INITIALIZING)
    for instance_id in list(waiting.exclude(workloads__state=WorkloadState.LAUNCHING).values_list("pk", flat=True)):
        with apart("the end of the set-up", instance_id=instance_id):
            settle_setup(instance_id)
    return fail_stuck_setups(limit_seconds=settings.SECFLOW.setup_limit_seconds)


def _wake_idle_runs() -> int:
    """An open run in which nothing runs has been left between two steps; it is taken on from there."""
    idle = Run.objects.filter(purpose=RunPurpose.RUN, finished_at__isnull=True).exclude(
        node_runs__status=NodeStatus.RUNNING
    )
    count = 0
    for run_id, instance_id in list(idle.values_list("pk", "instance_id")):
        with apart("the next step", instance_id=instance_id, run_id=run_id), transaction.atomic():
            instance = find_and_lock(instance_id)
            run = Run.objects.filter(pk=run_id, finished_at__isnull=True).first()
            if instance is not None and run is not None:
                advance(instance, run, now=instance.locked_at)
                count += 1
    return count


def reconcile() -> dict[str, int]:
    """Compares every object of this installation with the records and applies what differs. Raises ClusterError.

    Costs one list per kind (and per 500 objects), one of the warnings in each namespace where a Job has no pod, and a request for
    each Deployment that seems to differ. Returns counts: `seen` objects, `moved` nodes, `missing` objects that are to be confirmed,
    `stray` instances whose unwanted objects are to be removed.
    """
    began = clock.now()
    facts = look_at_all()
    moved, missing = _apply_facts(facts, began)
    return {"seen": facts.seen, "moved": moved, "missing": missing, "stray": _clean_strays(facts)}


def _apply_facts(facts: Facts, began: datetime) -> tuple[int, int]:
    """Applies the facts that tell something new, and marks recorded objects that no list has shown."""
    news: dict[str, list[Observation]] = defaultdict(list)
    missing: list[int] = []
    podless: list[int] = []
    wanted = Workload.objects.filter(state__in=WANTED).only(
        "id", "instance_id", "state", "kind", "is_pulled", "is_ready", "is_finished", "launched_at"
    )
    for workload in wanted.iterator(chunk_size=2000):
        with apart("the look at the object", instance_id=workload.instance_id, workload_id=workload.pk):
            news[workload.instance_id].extend(
                fresh
                for seen in facts.of(workload.pk)
                if _tells_something(seen, workload) and (fresh := _fresh(seen)) is not None
            )
        is_old = workload.launched_at is None or workload.launched_at < began - YOUNG
        if workload.pk not in facts.objects and workload.state == WorkloadState.LIVE and is_old:
            missing.append(workload.pk)
        if _lacks_a_pod(workload, facts, began):
            podless.append(workload.pk)
    for seen in refusals(facts, podless):
        news[seen.instance_id].append(seen)
    moved = 0
    for instance_id, told in news.items():
        with apart("what the cluster shows", instance_id=instance_id):
            moved += apply_observations(told)
    with transaction.atomic():
        rows = Workload.objects.select_for_update(skip_locked=True, no_key=True)
        ids = list(
            rows.filter(pk__in=missing, due_at__isnull=True, state=WorkloadState.LIVE).values_list("pk", flat=True)
        )
        Workload.objects.filter(pk__in=ids).update(due_at=Now() + AGAIN)
        send_batches_after_commit(CONFIRM_WORKLOADS, "workload_ids", ids)
    return moved, len(missing)


def _lacks_a_pod(workload: Workload, facts: Facts, began: datetime) -> bool:
    if workload.kind != JOB or workload.is_finished or workload.launched_at is None:
        return False
    return workload.pk not in facts.with_pods and workload.launched_at < began - PODLESS


def news_of(instance: WorkflowInstance, facts: Facts) -> Iterator[Observation]:
    """What the facts tell of one instance; a Deployment only if it differs from the records, and then as it is now."""
    workloads = Workload.objects.filter(instance=instance, state__in=WANTED).in_bulk()
    for seen in facts.all():
        if seen.source != DEPLOYMENT:
            yield seen
        elif (workload := workloads.get(seen.attempt)) is not None and _tells_something(seen, workload):
            fresh = _fresh(seen)
            if fresh is not None:
                yield fresh


def _fresh(seen: Observation) -> Observation | None:
    """A Deployment's readiness goes up and down, and the watch may have told a newer one since the list began: look again.

    Everything else that is acted on only goes one way, or is set right by the next pass.
    """
    if seen.source != DEPLOYMENT:
        return seen
    found = gateway().read_workload(seen.namespace, DEPLOYMENT, seen.name)
    return None if found is None else observe(DEPLOYMENT, found)


def _tells_something(seen: Observation, workload: Workload) -> bool:
    if seen.phase in (Phase.SUCCEEDED, Phase.FAILED):
        return not workload.is_finished
    if seen.source == DEPLOYMENT:
        return (seen.phase is Phase.READY) != workload.is_ready or seen.diagnosis is not None
    if seen.source == "Pod":
        is_pulled = seen.phase in (Phase.RUNNING, Phase.READY)
        return (seen.phase is not Phase.WAITING and is_pulled != workload.is_pulled) or seen.diagnosis is not None
    return False


def _clean_strays(facts: Facts) -> int:
    """Finds objects that nothing wants and has them removed.

    An attempt above the highest ever given here was made from a newer state of this database, as after a restore: it is reported
    and left alone.
    """
    attempts = set(facts.owners)
    wanted = set(Workload.objects.filter(pk__in=attempts, state__in=WANTED).values_list("pk", flat=True))
    highest = highest_attempt() or 0
    strays = attempts - wanted
    unknown = {attempt for attempt in strays if attempt > highest}
    if unknown:
        logger.warning("%d objects in the cluster are newer than this database; they are left alone", len(unknown))
    instances = {facts.owners[attempt] for attempt in strays - unknown}
    cleaning = set(Cleanup.objects.filter(pk__in=instances).values_list("pk", flat=True))
    for instance_id in sorted(instances - cleaning):
        with apart("the removal of unwanted objects", instance_id=instance_id):
            _clean_stray(facts, instance_id, highest)
    return len(instances)


def _clean_stray(facts: Facts, instance_id: str, highest: int) -> None:
    with transaction.atomic():
        instance = find_and_lock(instance_id)
        if instance is not None:
            request_cleanup(instance, actor="system", now=instance.locked_at)
            return
    _remove_orphans(facts, instance_id, highest)


def _remove_orphans(facts: Facts, instance_id: str, highest: int) -> None:
    """Objects of an instance that is gone: its deletion verified an empty list, so a late request must have made them."""
    for namespace in sorted(facts.places[instance_id]):
        logger.warning("removing objects of deleted workflow %s in %s", instance_id, namespace)
        gateway().delete_objects(namespace, instance_id, frozenset(), newest=highest)


def confirm_workloads(*, workload_ids: list[int]) -> int:
    """Looks in the cluster for objects that were missing, and judges. Returns how many nodes moved by it.

    Raises ClusterError when the cluster does not answer.
    """
    moved = 0
    for workload in Workload.objects.filter(pk__in=workload_ids, state=WorkloadState.LIVE):
        with apart("the look for the object", instance_id=workload.instance_id, workload_id=workload.pk):
            moved += _confirm(workload)
    return moved


def _confirm(workload: Workload) -> bool:
    found = gateway().read_workload(workload.namespace, workload.kind, workload.name)
    owner = owner_of(found) if found is not None else None
    is_there = owner is not None and owner.attempt == workload.pk
    if is_there and found is not None and found["metadata"]["uid"] != workload.uid:
        # Made anew under its name and labels: it is followed from here on.
        Workload.objects.filter(pk=workload.pk).update(uid=found["metadata"]["uid"])
    return confirm_vanished(workload_id=workload.pk, is_there=is_there)
