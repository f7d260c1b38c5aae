"""Taking in what the cluster says: observations become moves of nodes, each at most once (contract E.6).

Observations may come twice, late, out of order or from an older object: whatever does not belong to a wanted workload of the
open run changes nothing, and an ended node stays as it ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from k8s_bridge.diagnosis import Category
from k8s_bridge.observations import Observation, Phase
from k8s_bridge.specs import DEPLOYMENT, JOB
from workflows.dispatch import CONFIRM_WORKLOADS, send_after_commit
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.statuses import WANTED, NodeStatus, RunPurpose, WorkloadState
from workflows.domain.transitions import NODE_MOVES, SETUP_MOVES, NodeEvent, SetupEvent
from workflows.models import NodeRun, Run, WorkflowInstance, WorkflowNode, Workload
from workflows.services.advancing import SYSTEM, advance
from workflows.services.diagnoses import as_data, sentence
from workflows.services.journal import Entry, append
from workflows.services.logs import want_logs
from workflows.services.moves import move_nodes

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
        if batch.ended:
            want_logs(batch.ended, now=batch.now)
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
    if event is not None:
        message, diagnosis = _reasons(record, seen) if event is NodeEvent.FAIL else (None, None)
        _move(batch, record, event, message, diagnosis)
    if record.status == NodeStatus.RUNNING:
        turn_clock(record, workload, now=batch.now)
        _note_trouble(batch, record, seen)


def _reasons(record: NodeRun, seen: Observation) -> tuple[str, dict[str, str] | None]:
    """Why it failed. That the limit of retries was reached says little: what the last pod suffered from says more."""
    own = seen.diagnosis
    if record.diagnosis and (own is None or own.category in (Category.BACKOFF_LIMIT, Category.EXIT_CODE)):
        said = "The job failed." if own is None else own.summary
        return f"{said} {record.message or ''}".strip(), record.diagnosis
    if own is None:
        return "The job failed. Read its log to see why.", None
    return sentence(own), as_data(own)


def _note_flags(workload: Workload, seen: Observation) -> None:
    """What a later run wants to know of a workload that it keeps."""
    changes: dict[str, Any] = {}
    if seen.source == "Pod" and seen.phase is not Phase.WAITING:
        changes["is_pulled"] = seen.phase in _STARTED
    if seen.source == DEPLOYMENT:
        changes["is_ready"] = seen.phase is Phase.READY
    if seen.phase in (Phase.SUCCEEDED, Phase.FAILED):
        changes["is_finished"] = True
        if workload.state == WorkloadState.LAUNCHING:
            # Whoever made it has not said so and may be dead. Once the job is removed, another launch would run it again.
            changes |= {"state": WorkloadState.LIVE, "due_at": None}
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
        _move(batch, record, SetupEvent.READY, None, None)
    elif seen.source == DEPLOYMENT:
        _move(batch, record, SetupEvent.UNREADY, "the app is no longer ready", None)
    elif workload.is_pulled:
        _move(batch, record, SetupEvent.START, None, None)
    _note_trouble(batch, record, seen)


def _move(
    batch: _Batch,
    record: NodeRun,
    event: NodeEvent | SetupEvent,
    message: str | None,
    diagnosis: dict[str, str] | None,
) -> None:
    if not move_nodes(record.run, [record.node_id], event, now=batch.now, message=message):
        return
    if diagnosis != record.diagnosis:
        NodeRun.objects.filter(pk=record.pk).update(diagnosis=diagnosis)
    _, record.status = NODE_MOVES[event] if isinstance(event, NodeEvent) else SETUP_MOVES[event]
    record.message, record.diagnosis = message, diagnosis
    batch.moved += 1
    data = {"diagnosis": diagnosis} if diagnosis else {}
    batch.entries.append(
        Entry(f"node.{record.status.value}", SYSTEM, message or "", record.node_id, record.run.number, data)
    )
    if record.status in (NodeStatus.SUCCEEDED, NodeStatus.FAILED):
        batch.ended.append(record)


def _note_trouble(batch: _Batch, record: NodeRun, seen: Observation) -> None:
    """Shows why a running node does not get on; the text goes away when the trouble does."""
    if record.status not in (NodeStatus.RUNNING, NodeStatus.PENDING):
        return
    diagnosis = as_data(seen.diagnosis) if seen.diagnosis is not None else None
    if diagnosis == record.diagnosis or (diagnosis is None and seen.source != "Pod"):
        return
    message = sentence(seen.diagnosis) if seen.diagnosis is not None else None
    record.diagnosis, record.message = diagnosis, message
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
