"""The end of a set-up: initialized when every app object was made, failed when one could not be (contract E.3)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models.functions import Now

from workflows.domain.statuses import InstanceStatus, NodeStatus, RunPurpose, RunStatus, WorkloadState
from workflows.domain.transitions import InstanceEvent
from workflows.locks import find_and_lock
from workflows.models import NodeRun, Run, WorkflowInstance, Workload
from workflows.services.cleaning import request_cleanup
from workflows.services.isolation import apart
from workflows.services.journal import Entry, append
from workflows.services.moves import move_instance
from workflows.services.runs import close_run, open_run_of, retire, wanted_workloads

SYSTEM = "system"


def settle_setup(instance_id: str) -> None:
    """Ends the set-up of the instance if nothing of it is still to be made. Safe to call at any time."""
    with transaction.atomic():
        instance = find_and_lock(instance_id)
        if instance is not None and instance.status == InstanceStatus.INITIALIZING:
            conclude_setup(instance, now=instance.locked_at)


def conclude_setup(instance: WorkflowInstance, *, now: datetime) -> None:
    """The decision, for a locked instance that is `initializing`. The set-up stays open while the app nodes are followed."""
    run = open_run_of(instance)
    if run is None or run.purpose != RunPurpose.SETUP:
        return
    failed = NodeRun.objects.filter(run=run, status=NodeStatus.FAILED).order_by("finished_at", "id").first()
    if failed is not None:
        fail_setup(instance, f"node {failed.node_name} could not be set up: {failed.message}", now=now)
    elif not Workload.objects.filter(instance=instance, state=WorkloadState.LAUNCHING).exists():
        move_instance(instance, InstanceEvent.SET_UP, message=None)
        append(instance, Entry("instance.initialized", SYSTEM, run_number=run.number))


def fail_setup(instance: WorkflowInstance, message: str, *, now: datetime) -> None:
    """Ends a set-up as failed. Objects that were made stay until uninitialize; what waits to be made is given up."""
    if retire(wanted_workloads(instance).filter(state=WorkloadState.LAUNCHING)):
        request_cleanup(instance, actor=SYSTEM, now=now)
    run = open_run_of(instance)
    if run is not None:
        close_run(run, RunStatus.FAILED, now=now, message=message)
    move_instance(instance, InstanceEvent.SET_UP_FAILED, message=message)
    append(instance, Entry("instance.setup_failed", SYSTEM, message))


def fail_stuck_setups(*, limit_seconds: float) -> int:
    """The watchdog of contract E.2: set-ups older than the limit become failed. Returns how many."""
    began = Now() - timedelta(seconds=limit_seconds)
    late = {"purpose": RunPurpose.SETUP, "finished_at": None, "started_at__lt": began}
    stuck = Run.objects.filter(instance__status=InstanceStatus.INITIALIZING, **late).values_list(
        "instance_id", flat=True
    )
    count = 0
    for instance_id in list(stuck):
        with apart("giving the set-up up", instance_id=instance_id), transaction.atomic():
            instance = find_and_lock(instance_id)
            if instance is None or instance.status != InstanceStatus.INITIALIZING:
                continue
            if not Run.objects.filter(instance=instance, **late).exists():
                continue
            words = f"the set-up did not end within {limit_seconds:g} s; see the messages of its nodes"
            fail_setup(instance, words, now=instance.locked_at)
            count += 1
    return count
