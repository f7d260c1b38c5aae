"""Taking in what the cluster says: observations become moves of nodes, each at most once (contract E.6, E.7).

Observations may come twice, late, out of order or from an older object: whatever does not belong to a wanted workload of the
open run changes nothing, and an ended node stays as it ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from k8s_bridge.diagnosis import diagnose_deletion
from k8s_bridge.observations import Observation, Phase
from k8s_bridge.specs import DEPLOYMENT, JOB
from workflows.dispatch import CAPTURE_LOGS, CONFIRM_WORKLOADS, send_after_commit
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.statuses import WANTED, NodeStatus, RunPurpose, WorkloadState
from workflows.domain.transitions import NodeEvent, SetupEvent
from workflows.models import NodeLog, NodeRun, Run, WorkflowInstance, WorkflowNode, Workload
from workflows.services.advancing import SYSTEM, advance
from workflows.services.journal import Entry, append
from workflows.services.moves import move_nodes

RELOOK = timedelta(seconds=10)
_STARTED = frozenset({Phase.RUNNING, Phase.READY, Phase.SUCCEEDED, Phase.FAILED})


def apply_observations(observations: Iterable[Observation]) -> int:
    """Applies observations of any number of instances, one transaction for each instance. Returns how many nodes moved."""
    by_instance: dict[str, list[Observation]] = defaultdict(list)
    for observation in observations:
        by_instance[observation.instance_id].append(observation)
    return sum(_apply_to_instance(instance_id, batch) for instance_id, batch in by_instance.items())


@dataclass(slots=True)
class _Batch:
    """The rows that one instance's observations are applied to, loaded once."""

    instance: WorkflowInstance
    run: Run | None
    workloads: dict[int, Workload]
    records: dict[int, NodeRun]  # of the open run, by workload id
    now: datetime
    entries: list[Entry]
    ended: list[NodeRun]
    confirm: list[int]
    moved: int = 0


def _apply_to_instance(instance_id: str, observations: Sequence[Observation]) -> int:
    with transaction.atomic():
        instance = WorkflowInstance.objects.select_for_update().filter(pk=instance_id).first()
        if instance is None:
            return 0
        ids = {observation.attempt for observation in observations}
        workloads = {row.pk: row for row in Workload.objects.filter(pk__in=ids, instance=instance, state__in=WANTED)}
        if not workloads:
            return 0
        records = {
            record.workload_id: record
            for record in NodeRun.objects.select_related("run")
            .defer("spec")
            .filter(workload_id__in=workloads, run__finished_at__isnull=True)
            if record.workload_id is not None
        }
        run = next((record.run for record in records.values()), None)
        batch = _Batch(instance, run, workloads, records, timezone.now(), [], [], [])
        for observation in observations:
            workload = workloads.get(observation.attempt)
            if workload is not None and _belongs(observation, workload):
                _apply(batch, observation, workload)
        append(instance, *batch.entries)
        _keep_logs(batch)
        if batch.confirm:
            Workload.objects.filter(pk__in=batch.confirm).update(due_at=batch.now)
            send_after_commit(CONFIRM_WORKLOADS, workload_ids=batch.confirm)
        if batch.moved and run is not None:
            advance(instance, run, now=batch.now)
        return batch.moved


def _belongs(observation: Observation, workload: Workload) -> bool:
    """An object of the same name that somebody made anew has another uid: its life does not decide ours."""
    if observation.source not in (DEPLOYMENT, JOB) or workload.uid is None:
        return True
    return observation.uid == workload.uid


def _apply(batch: _Batch, seen: Observation, workload: Workload) -> None:
    record = batch.records.get(workload.pk)
    if seen.phase is Phase.GONE:
        _object_gone(batch, workload)
        return
    _note_flags(workload, seen)
    if record is None:
        return
    if record.run.purpose == RunPurpose.SETUP:
        _follow_setup(batch, seen, workload, record)
        return
    event = get_node_type(record.node_type).settle(seen.phase.value)
    if event is NodeEvent.FAIL and seen.diagnosis is not None:
        _move(batch, record, event, f"{seen.diagnosis.summary}: {seen.diagnosis.detail}", seen)
    elif event is not None:
        _move(batch, record, event, "the job failed" if event is NodeEvent.FAIL else None, seen)
    if record.status == NodeStatus.RUNNING:
        turn_clock(record, workload, now=batch.now)
        _note_trouble(batch, record, seen)


def _note_flags(workload: Workload, seen: Observation) -> None:
    """What a later run wants to know of a workload that it keeps."""
    changes: dict[str, bool] = {}
    if seen.source == "Pod" and seen.phase is not Phase.WAITING:
        changes["is_pulled"] = seen.phase in _STARTED
    if seen.source == DEPLOYMENT:
        changes["is_ready"] = seen.phase is Phase.READY
    if seen.phase in (Phase.SUCCEEDED, Phase.FAILED):
        changes["is_finished"] = True
    changes = {name: value for name, value in changes.items() if getattr(workload, name) != value}
    if changes:
        Workload.objects.filter(pk=workload.pk).update(**changes)
        for name, value in changes.items():
            setattr(workload, name, value)


def _object_gone(batch: _Batch, workload: Workload) -> None:
    """A deletion was seen. A launch replaces objects itself, and somebody may have made it anew: look before judging."""
    if workload.is_finished:
        Workload.objects.filter(pk=workload.pk).update(state=WorkloadState.GONE, due_at=None)
        workload.state = WorkloadState.GONE
    elif workload.state == WorkloadState.LIVE:
        batch.confirm.append(workload.pk)


def _follow_setup(batch: _Batch, seen: Observation, workload: Workload, record: NodeRun) -> None:
    if seen.phase is Phase.READY:
        _move(batch, record, SetupEvent.READY, None, seen)
    elif seen.source == DEPLOYMENT:
        _move(batch, record, SetupEvent.UNREADY, "the app is no longer ready", seen)
    elif workload.is_pulled:
        _move(batch, record, SetupEvent.START, None, seen)
    _note_trouble(batch, record, seen)


def _move(
    batch: _Batch, record: NodeRun, event: NodeEvent | SetupEvent, message: str | None, seen: Observation
) -> None:
    diagnosis = None if seen.diagnosis is None or event is NodeEvent.SUCCEED else asdict(seen.diagnosis)
    if not move_nodes(record.run, [record.node_id], event, now=batch.now, message=message):
        return
    if diagnosis is not None:
        NodeRun.objects.filter(pk=record.pk).update(diagnosis=diagnosis)
    record.status = NodeRun.objects.values_list("status", flat=True).get(pk=record.pk)
    batch.moved += 1
    data = {"diagnosis": diagnosis} if diagnosis else {}
    batch.entries.append(Entry(f"node.{record.status}", SYSTEM, message or "", record.node_id, record.run.number, data))
    if record.status in (NodeStatus.SUCCEEDED, NodeStatus.FAILED):
        batch.ended.append(record)


def _note_trouble(batch: _Batch, record: NodeRun, seen: Observation) -> None:
    """Shows why a running node does not get on; the text goes away when the trouble does."""
    if record.status not in (NodeStatus.RUNNING, NodeStatus.PENDING):
        return
    diagnosis = asdict(seen.diagnosis) if seen.diagnosis is not None else None
    if diagnosis == record.diagnosis or (diagnosis is None and seen.source != "Pod"):
        return
    message = f"{seen.diagnosis.summary}: {seen.diagnosis.detail}" if seen.diagnosis is not None else None
    record.diagnosis = diagnosis
    NodeRun.objects.filter(pk=record.pk).update(diagnosis=diagnosis, message=message)
    WorkflowNode.objects.filter(pk=record.node_id).update(message=message)
    if diagnosis is not None:
        data = {"diagnosis": diagnosis}
        batch.entries.append(Entry("node.trouble", SYSTEM, message or "", record.node_id, record.run.number, data))


def turn_clock(record: NodeRun, workload: Workload, *, now: datetime) -> None:
    """Lets the time limit run while the pod has its images and stops it while it has not (contract E.6)."""
    if workload.is_pulled and record.clock_started_at is None:
        left = max(record.timeout_seconds - record.clock_used, 0.0)
        record.clock_started_at = now
        record.due_at, record.due_reason = now + timedelta(seconds=left), "timeout"
    elif not workload.is_pulled and record.clock_started_at is not None:
        record.clock_used += (now - record.clock_started_at).total_seconds()
        record.clock_started_at = None
        record.due_at, record.due_reason = now + timedelta(seconds=settings.SECFLOW.pull_limit_seconds), "pull"
    else:
        return
    NodeRun.objects.filter(pk=record.pk, status=NodeStatus.RUNNING).update(
        clock_started_at=record.clock_started_at,
        clock_used=record.clock_used,
        due_at=record.due_at,
        due_reason=record.due_reason,
    )


def _keep_logs(batch: _Batch) -> None:
    if batch.ended:
        want_logs(batch.ended, now=batch.now)


def want_logs(records: Sequence[NodeRun], *, now: datetime) -> None:
    """Notes that the text of these nodes is to be fetched, and wakes a worker for it after commit (contract D.9)."""
    logs = NodeLog.objects.bulk_create(
        (
            NodeLog(
                node_run=record,
                part=NodeLog.Part.INIT if record.run.purpose == RunPurpose.SETUP else NodeLog.Part.EXECUTION,
                status_when_fetched=record.status,
                due_at=now,
            )
            for record in records
        ),
        ignore_conflicts=True,
    )
    if logs:
        send_after_commit(CAPTURE_LOGS, node_run_ids=[record.pk for record in records])


def confirm_vanished(*, workload_id: int, is_there: bool) -> bool:
    """Judges a workload whose object was missing: the node fails if it still is. True when a node moved (contract E.6).

    `is_there` is a fresh look at the cluster, taken without a lock.
    """
    with transaction.atomic():
        found = Workload.objects.filter(pk=workload_id).values_list("instance_id", flat=True).first()
        instance = WorkflowInstance.objects.select_for_update().filter(pk=found).first()
        workload = Workload.objects.filter(pk=workload_id, state=WorkloadState.LIVE).first()
        if instance is None or workload is None:
            return False
        Workload.objects.filter(pk=workload_id).update(due_at=None)
        if is_there:
            return False
        Workload.objects.filter(pk=workload_id).update(state=WorkloadState.GONE, is_ready=False)
        if workload.is_finished:
            return False
        now = timezone.now()
        diagnosis = diagnose_deletion(workload.kind, workload.name)
        record = NodeRun.objects.select_related("run").filter(workload=workload, run__finished_at__isnull=True).first()
        if record is None:
            _warn(instance, f"{workload.kind} {workload.name} was deleted from outside")
            return False
        event: NodeEvent | SetupEvent = NodeEvent.VANISH
        if record.run.purpose == RunPurpose.SETUP:
            event = SetupEvent.VANISH
            _warn(instance, f"{workload.kind} {workload.name} was deleted from outside; a start makes it again")
        if not move_nodes(
            record.run, [record.node_id], event, now=now, message=f"{diagnosis.summary}: {diagnosis.detail}"
        ):
            return False
        NodeRun.objects.filter(pk=record.pk).update(diagnosis=asdict(diagnosis))
        data = {"diagnosis": asdict(diagnosis)}
        append(
            instance,
            Entry("node.vanished", SYSTEM, diagnosis.summary, record.node_id, record.run.number, data),
        )
        advance(instance, record.run, now=now)
        return True


def _warn(instance: WorkflowInstance, message: str) -> None:
    WorkflowInstance.objects.filter(pk=instance.pk).update(has_warning=True, message=message)


def expire_node(*, node_run_id: int) -> bool:
    """Fails a node whose time is over, unless it moved or was given more time since. True when it failed (contract E.6)."""
    from workflows.services.cleaning import request_cleanup  # cleaning needs the log part of this module

    with transaction.atomic():
        owner = NodeRun.objects.filter(pk=node_run_id).values_list("instance_id", flat=True).first()
        instance = WorkflowInstance.objects.select_for_update().filter(pk=owner).first()
        now = timezone.now()
        record = (
            NodeRun.objects.select_related("run")
            .filter(pk=node_run_id, status=NodeStatus.RUNNING, due_at__lte=now, run__finished_at__isnull=True)
            .first()
        )
        if instance is None or record is None:
            return False
        if record.due_reason == "pull":
            message = f"no image or place for its pod within {settings.SECFLOW.pull_limit_seconds} s"
        else:
            message = (
                f"timeout: not {'ready' if record.node_type == 'app' else 'finished'} within {record.timeout_seconds} s"
            )
        if record.message:
            message = f"{message} ({record.message})"
        if not move_nodes(record.run, [record.node_id], NodeEvent.EXPIRE, now=now, message=message):
            return False
        append(instance, Entry("node.expired", SYSTEM, message, record.node_id, record.run.number))
        record.status = NodeStatus.FAILED
        want_logs([record], now=now)
        if not get_node_type(record.node_type).keeps_workload and record.workload_id is not None:
            # The job's pods must not go on; the clean-up fetches the text before it removes them.
            Workload.objects.filter(pk=record.workload_id, state__in=WANTED).update(
                state=WorkloadState.DELETING, due_at=None
            )
            request_cleanup(instance, actor=SYSTEM, now=now)
        advance(instance, record.run, now=now)
        return True
