"""Taking in what the cluster says: observations become moves of nodes, each at most once (contract E.6).

Observations may come twice, late, out of order or from an older object: whatever does not belong to a wanted workload of the
open run changes nothing, and an ended node stays as it ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from k8s_bridge.diagnosis import Category
from k8s_bridge.observations import Observation, Phase
from k8s_bridge.specs import DEPLOYMENT, JOB
from secflow.transactions import retried
from workflows.dispatch import CONFIRM_WORKLOADS, send_after_commit
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.statuses import NodeStatus, RunPurpose, WorkloadState
from workflows.domain.transitions import NodeEvent, SetupEvent
from workflows.models import NodeRun, Workload
from workflows.services.advancing import advance, pull_limit
from workflows.services.batches import Batch
from workflows.services.cleaning import request_cleanup
from workflows.services.diagnoses import as_data, sentence
from workflows.services.journal import SYSTEM, Entry, append
from workflows.services.loading import read_facts
from workflows.services.logs import want_logs
from workflows.services.reasons import reasons
from workflows.services.runs import retire, wanted_workloads

CLAIM_GRACE = timedelta(seconds=10)
HOPELESS = frozenset({Category.INVALID_IMAGE})  # no waiting and no change in the cluster makes it good
_STARTED = frozenset({Phase.RUNNING, Phase.READY, Phase.SUCCEEDED, Phase.FAILED})
# Those that can move a node of a run.
DECISIVE = frozenset({Phase.READY, Phase.SUCCEEDED, Phase.FAILED, Phase.GONE})


def apply_observations(observations: Iterable[Observation], *, running: dict[str, int] | None = None) -> int:
    """Applies observations of any number of instances, one transaction for each instance. Returns how many nodes moved.

    `running` is given the number of nodes that still run, by instance id, where that was seen.
    """
    by_instance: dict[str, list[Observation]] = defaultdict(list)
    for observation in observations:
        by_instance[observation.instance_id].append(observation)
    seen = {} if running is None else running
    return sum(_apply_to_instance(instance_id, batch, seen) for instance_id, batch in by_instance.items())


@retried
def _apply_to_instance(instance_id: str, observations: Sequence[Observation], running: dict[str, int]) -> int:
    """Three round trips to the database: what is known, what follows, and the commit."""
    attempts = {observation.attempt for observation in observations}
    may_move = any(observation.phase in DECISIVE for observation in observations)
    with transaction.atomic():
        facts = read_facts(instance_id, attempts, with_statuses=may_move)
        if facts is None or not facts.workloads:
            return 0
        batch = Batch(facts)
        for observation in observations:
            workload = facts.workloads.get(observation.attempt)
            if workload is not None and _belongs(observation, workload):
                _apply(batch, observation, workload)
        batch.flush()
        # What advances goes out first: the launch of the next node is waited for, the log of the last one is not.
        if batch.moved and facts.run is not None:
            advance(
                facts.instance,
                facts.run,
                now=batch.now,
                facts=batch.entries,
                statuses=facts.statuses,
                writes=batch.writes,
            )
        else:
            append(facts.instance, *batch.entries, writes=batch.writes)
        want_logs(batch.ended, pods=batch.pods, now=batch.now, writes=batch.writes)
        batch.writes.send()
        if facts.statuses is not None:
            running[instance_id] = sum(status is NodeStatus.RUNNING for status, _ in facts.statuses.values())
        if batch.unwanted and retire(wanted_workloads(facts.instance).filter(pk__in=batch.unwanted)):
            request_cleanup(facts.instance, actor=SYSTEM, now=batch.now)
        if batch.confirm:
            send_after_commit(CONFIRM_WORKLOADS, workload_ids=batch.confirm)
        return batch.moved


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _belongs(observation: Observation, workload: Workload) -> bool:
    """An object of the same name that somebody made anew has another uid: its life does not decide ours."""
    if observation.source not in (DEPLOYMENT, JOB) or workload.uid is None:
        return True
    return observation.uid == workload.uid


def _apply(batch: Batch, seen: Observation, workload: Workload) -> None:
    record = batch.records.get(workload.pk)
    if seen.phase is Phase.GONE:
        _object_gone(batch, workload)
        return
    _note_flags(batch, workload, seen)
    if record is None:
        return
    if record.run.purpose == RunPurpose.SETUP:
        _follow_setup(batch, seen, workload, record)
        return
    if seen.diagnosis is not None and seen.diagnosis.category in HOPELESS:
        _give_up(batch, record, workload, seen)
        return
    event = get_node_type(record.node_type).settle(seen.phase.value)
    if event is not None:
        message, diagnosis = reasons(record, seen.diagnosis) if event is NodeEvent.FAIL else (None, None)
        pod = seen.name if seen.source == "Pod" else None
        batch.move(record, event, message, diagnosis, pod=pod, finished_at=_moment(seen.finished_at))
    if record.status == NodeStatus.RUNNING:
        _turn_clock(batch, record, workload)
        _note_trouble(batch, record, seen)


def _give_up(batch: Batch, record: NodeRun, workload: Workload, seen: Observation) -> None:
    """Fails the node without waiting for a limit; the pods of a job, which would wait for ever, are removed."""
    if seen.diagnosis is None or record.status != NodeStatus.RUNNING:
        return
    batch.move(record, NodeEvent.FAIL, sentence(seen.diagnosis), as_data(seen.diagnosis))
    if not get_node_type(record.node_type).keeps_workload:
        batch.unwanted.append(workload.pk)


def _note_flags(batch: Batch, workload: Workload, seen: Observation) -> None:
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
            changes |= {"state": WorkloadState.LIVE, "due_at": None, "lease_until": None}
    elif workload.uid is None and seen.source in (DEPLOYMENT, JOB):
        # It stands, so the launch has nothing left to make, even if its worker died before saying so: no clean-up waits for it.
        changes |= {"uid": seen.uid, "lease_until": None}
    changes = {name: value for name, value in changes.items() if getattr(workload, name) != value}
    if changes:
        batch.change_workload(workload, **changes)


def _object_gone(batch: Batch, workload: Workload) -> None:
    """A deletion was seen. A launch replaces objects itself, and somebody may have made it anew: look before judging."""
    if workload.is_finished:
        batch.change_workload(workload, state=WorkloadState.GONE, due_at=None)
    elif workload.state == WorkloadState.LIVE:
        batch.change_workload(workload, due_at=batch.now)
        batch.confirm.append(workload.pk)


def _follow_setup(batch: Batch, seen: Observation, workload: Workload, record: NodeRun) -> None:
    if seen.phase is Phase.READY:
        batch.move(record, SetupEvent.READY, None, None)
    elif seen.source == DEPLOYMENT:
        batch.move(record, SetupEvent.UNREADY, "the app is no longer ready", None)
    elif workload.is_pulled:
        batch.move(record, SetupEvent.START, None, None)
    _note_trouble(batch, record, seen)


def _note_trouble(batch: Batch, record: NodeRun, seen: Observation) -> None:
    """Shows why a running node does not get on; the text goes away when the trouble does."""
    if record.status not in (NodeStatus.RUNNING, NodeStatus.PENDING):
        return
    _limit_missing_claim(batch, record, seen)
    diagnosis = as_data(seen.diagnosis) if seen.diagnosis is not None else None
    if diagnosis == record.diagnosis or (diagnosis is None and seen.source != "Pod"):
        return
    message = sentence(seen.diagnosis) if seen.diagnosis is not None else None
    batch.change_record(record, diagnosis=diagnosis, message=message)
    batch.change_node(record.node_id, message=message)
    if diagnosis is not None:
        data = {"diagnosis": diagnosis}
        batch.entries.append(Entry("node.trouble", SYSTEM, message or "", record.node_id, record.run.number, data))


def _limit_missing_claim(batch: Batch, record: NodeRun, seen: Observation) -> None:
    """A claim that does not exist fails the node (contract H.4), after a moment for one that is just being made."""
    if seen.source != "Pod" or record.status != NodeStatus.RUNNING:
        return
    is_missing = seen.diagnosis is not None and seen.diagnosis.category is Category.MISSING_CLAIM
    if is_missing and record.due_reason == "pull":
        batch.change_record(record, due_at=batch.now + CLAIM_GRACE, due_reason="claim")
    elif not is_missing and record.due_reason == "claim":
        batch.change_record(record, due_at=batch.now + pull_limit(), due_reason="pull")


def _turn_clock(batch: Batch, record: NodeRun, workload: Workload) -> None:
    """Lets the time limit run while the pod has its images and stops it while it has not (contract E.6)."""
    now = batch.now
    if workload.is_pulled and record.clock_started_at is None:
        left = timedelta(seconds=max(record.timeout_seconds - record.clock_used, 0.0))
        batch.change_record(record, clock_started_at=now, due_at=now + left, due_reason="timeout")
    elif not workload.is_pulled and record.clock_started_at is not None:
        batch.change_record(
            record,
            clock_used=record.clock_used + (now - record.clock_started_at).total_seconds(),
            clock_started_at=None,
            due_at=now + timedelta(seconds=settings.SECFLOW.pull_limit_seconds),
            due_reason="pull",
        )
