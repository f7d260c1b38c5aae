"""What the cluster does not say by itself: objects that vanished, and time that is over (contract E.6)."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from k8s_bridge.diagnosis import Diagnosis, diagnose_deletion, over_time
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.statuses import NodeStatus, RunPurpose, WorkloadState
from workflows.domain.transitions import NodeEvent, SetupEvent
from workflows.locks import find_and_lock
from workflows.models import NodeRun, WorkflowInstance, Workload
from workflows.services.advancing import advance
from workflows.services.cleaning import request_cleanup
from workflows.services.diagnoses import as_data, from_data, sentence
from workflows.services.journal import SYSTEM, Entry, append
from workflows.services.logs import want_logs
from workflows.services.moves import move_nodes
from workflows.services.runs import retire, wanted_workloads


def confirm_vanished(*, workload_id: int, is_there: bool) -> bool:
    """Judges a workload whose object was missing: the node fails if it still is. True when a node moved (contract E.6).

    `is_there` is a fresh look at the cluster, taken without a lock.
    """
    with transaction.atomic():
        found = Workload.objects.filter(pk=workload_id).values_list("instance_id", flat=True).first()
        instance = find_and_lock(found)
        workload = Workload.objects.filter(pk=workload_id, state=WorkloadState.LIVE).first()
        if instance is None or workload is None:
            return False
        if is_there:
            Workload.objects.filter(pk=workload_id).update(due_at=None)
            return False
        Workload.objects.filter(pk=workload_id).update(due_at=None, state=WorkloadState.GONE, is_ready=False)
        if workload.is_finished:
            return False
        now = instance.locked_at
        diagnosis = diagnose_deletion(workload.kind, workload.name)
        record = NodeRun.objects.select_related("run").filter(workload=workload, run__finished_at__isnull=True).first()
        event: NodeEvent | SetupEvent = NodeEvent.VANISH
        if record is not None and record.run.purpose == RunPurpose.SETUP:
            event = SetupEvent.VANISH
        message = sentence(diagnosis)
        moved = record is not None and move_nodes(record.run, [record.node_id], event, now=now, message=message)
        if not moved or event is SetupEvent.VANISH:
            _warn(instance, f"{workload.kind} {workload.name} was deleted from outside; the next run makes it again")
        if record is None or not moved:
            append(instance, Entry("instance.warning", SYSTEM, instance.message or "", workload.node_id))
            return False
        NodeRun.objects.filter(pk=record.pk).update(diagnosis=as_data(diagnosis))
        data = {"diagnosis": as_data(diagnosis)}
        append(instance, Entry("node.vanished", SYSTEM, message, record.node_id, record.run.number, data))
        if event is NodeEvent.VANISH:
            # Its pods may still be ending: their last words are to be had for a moment.
            record.status = NodeStatus.FAILED
            want_logs([record], now=now)
        advance(instance, record.run, now=now)
        return True


def _warn(instance: WorkflowInstance, message: str) -> None:
    WorkflowInstance.objects.filter(pk=instance.pk).update(has_warning=True, message=message)
    instance.has_warning, instance.message = True, message


def expire_node(*, node_run_id: int) -> bool:
    """Fails a node whose time is over, unless it moved or was given more time since. True when it failed (contract E.6)."""
    with transaction.atomic():
        owner = NodeRun.objects.filter(pk=node_run_id).values_list("instance_id", flat=True).first()
        instance = find_and_lock(owner)
        record = (
            NodeRun.objects.select_related("run", "workload")
            .defer("spec")
            .filter(pk=node_run_id, status=NodeStatus.RUNNING, due_at__lte=Now(), run__finished_at__isnull=True)
            .first()
        )
        if instance is None or record is None:
            return False
        now = instance.locked_at
        diagnosis = _over_time(record)
        message, data = sentence(diagnosis), as_data(diagnosis)
        if not move_nodes(record.run, [record.node_id], NodeEvent.EXPIRE, now=now, message=message):
            return False
        NodeRun.objects.filter(pk=record.pk).update(diagnosis=data)
        append(instance, Entry("node.expired", SYSTEM, message, record.node_id, record.run.number, {"diagnosis": data}))
        record.status = NodeStatus.FAILED
        want_logs([record], now=now)
        workload = record.workload
        never_made = workload is not None and workload.state == WorkloadState.LAUNCHING
        # A job's pods must not go on, and nothing is made any more for a node that has ended. The clean-up fetches the
        # text before it removes the pods.
        is_over = never_made or not get_node_type(record.node_type).keeps_workload
        if is_over and workload is not None and retire(wanted_workloads(instance).filter(pk=workload.pk)):
            request_cleanup(instance, actor=SYSTEM, now=now)
        advance(instance, record.run, now=now)
        return True


def _over_time(record: NodeRun) -> Diagnosis:
    """Which limit it was, and what the node was at: the trouble that was seen last, else how far its pod had come."""
    aim = "ready" if record.node_type == "app" else "finished"
    if record.due_reason == "pull":
        limit = f"pull limit: its pod had no place or not all its images within {settings.SECFLOW.pull_limit_seconds} s"
    elif record.due_reason == "claim":
        limit = "missing claim: its pod cannot start without it"
    else:
        limit = f"timeout: not {aim} within {record.timeout_seconds} s"
    workload = record.workload
    if workload is None or workload.state == WorkloadState.LAUNCHING:
        doing = "Its object in the cluster had not been made."
    elif not workload.is_pulled:
        doing = "Its pod had not started."
    else:
        doing = f"Its pod was running and had not {'become ready' if aim == 'ready' else 'finished'}."
    return over_time(limit, doing=doing, trouble=from_data(record.diagnosis))
