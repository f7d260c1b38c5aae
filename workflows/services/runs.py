"""Opening and closing runs: one service for every way a run can begin (contract E.4, E.5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from workflows.domain.node_types.registry import get_node_type
from workflows.domain.statuses import WANTED, NodeStatus, RunPurpose, RunStatus, WorkloadState
from workflows.models import NodeRun, Run, WorkflowInstance, WorkflowNode, Workload
from workflows.services.preflight import Prepared


def open_run(
    instance: WorkflowInstance, prepared: Prepared, *, purpose: RunPurpose, trigger: str, actor: str, now: datetime
) -> Run:
    """A new open run with one record per node that takes part, each with its specification frozen.

    A set-up has the node types that are set up, a run has every node. The instance is locked and has no open run.
    """
    run = Run.objects.create(
        instance=instance,
        number=instance.run_count,
        purpose=purpose,
        trigger=trigger,
        actor=actor,
        edges=[list(edge) for edge in prepared.edges],
        started_at=now,
    )
    NodeRun.objects.bulk_create(
        NodeRun(
            run=run,
            instance=instance,
            node_id=node.pk,
            node_name=node.name,
            node_type=node.node_type,
            spec=prepared.specs[node.pk].to_json(),
            resource_name=prepared.specs[node.pk].name,
            resource_type=prepared.specs[node.pk].kind,
            timeout_seconds=node.timeout_seconds or default_timeout(node.node_type),
        )
        for node in prepared.nodes
        if purpose is RunPurpose.RUN or get_node_type(node.node_type).is_set_up
    )
    return run


def default_timeout(node_type: str) -> int:
    """Seconds that a node of this type has when it names none (contract E.6)."""
    seconds: int = getattr(settings.SECFLOW, get_node_type(node_type).default_timeout)
    return seconds


def open_run_of(instance: WorkflowInstance) -> Run | None:
    """The run or set-up that is not finished; there is at most one."""
    return Run.objects.filter(instance=instance, finished_at__isnull=True).first()


def close_run(run: Run, status: RunStatus, *, now: datetime, message: str | None = None) -> None:
    """Ends a run. Records that were still running end with it; from here on nothing that is observed moves a node."""
    Run.objects.filter(pk=run.pk, finished_at__isnull=True).update(status=status, finished_at=now, message=message)
    run.status, run.finished_at, run.message = status, now, message
    if status is RunStatus.STOPPED:
        NodeRun.objects.filter(run=run, status__in=[NodeStatus.PENDING, NodeStatus.RUNNING]).update(
            status=NodeStatus.STOPPED,
            finished_at=now,
            updated_at=now,
            due_at=None,
            due_reason=None,
            clock_started_at=None,
        )


def wanted_workloads(instance: WorkflowInstance) -> QuerySet[Workload]:
    """What the instance should have in the cluster."""
    return Workload.objects.filter(instance=instance, state__in=WANTED)


def retire(workloads: QuerySet[Workload]) -> int:
    """Marks workloads as no longer wanted and forgets their names on the nodes. Returns how many.

    The caller asks for a clean-up in the same transaction.
    """
    # Locked first: a launch that has just been recorded may take one of them out of the selection.
    chosen = dict(workloads.order_by("pk").select_for_update(no_key=True).values_list("pk", "node_id"))
    if chosen:
        WorkflowNode.objects.filter(pk__in=chosen.values()).update(**NO_RESOURCE)
        Workload.objects.filter(pk__in=chosen).update(state=WorkloadState.DELETING, due_at=None)
    return len(chosen)


def highest_attempt() -> int | None:
    """The highest attempt ever given to an object by this database, also to one whose row is gone. None before the first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_sequence_last_value(pg_get_serial_sequence(%s, 'id')::regclass)", [Workload._meta.db_table]
        )
        found: int | None = cursor.fetchone()[0]
    return found


NO_RESOURCE: dict[str, Any] = {"k8s_resource_name": None, "k8s_resource_type": None, "service_name": None}
FRESH: dict[str, Any] = {"status": NodeStatus.PENDING, "started_at": None, "finished_at": None, "message": None}
