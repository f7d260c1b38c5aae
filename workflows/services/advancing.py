"""Carrying a run forward: ask the planner, write down what it says, send what follows from it (contract E.6)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings

from k8s_bridge.names import namespace_of
from workflows.dispatch import send_batches_after_commit
from workflows.domain.graph import Graph, build_graph
from workflows.domain.node_types.registry import get_node_type
from workflows.domain.planner import plan
from workflows.domain.statuses import WANTED, NodeStatus, RunPurpose, RunStatus
from workflows.domain.transitions import InstanceEvent, NodeEvent
from workflows.models import NodeRun, Run, WorkflowInstance, WorkflowNode, Workload
from workflows.services.journal import Entry, append
from workflows.services.moves import move_instance, move_nodes
from workflows.services.runs import close_run

SYSTEM = "system"
RELOOK = timedelta(seconds=10)  # a launch whose message was lost is found again after this time


def advance(instance: WorkflowInstance, run: Run, *, now: datetime) -> None:
    """Takes every step that the run can take now. Calling it again changes nothing.

    The caller holds the instance's lock; `run` is its open run. Messages go out after commit.
    """
    if run.purpose != RunPurpose.RUN:
        return
    while True:
        records = dict(NodeRun.objects.filter(run=run).values_list("node_id", "status"))
        graph = _graph_of(run.pk, tuple(sorted(records)), tuple((source, target) for source, target in run.edges))
        step = plan(graph, {node_id: NodeStatus(status) for node_id, status in records.items()})
        if step.verdict is not None:
            _conclude(instance, run, step.verdict, step.unreached, now=now)
            return
        if not step.launch or not _begin(instance, run, step.launch, now=now):
            return


@lru_cache(maxsize=256)
def _graph_of(run_id: int, node_ids: tuple[str, ...], edges: tuple[tuple[str, str], ...]) -> Graph:
    # The graph of a run is frozen, and building it again for every observation would dominate large runs.
    return build_graph(node_ids, edges)


def _begin(instance: WorkflowInstance, run: Run, node_ids: tuple[str, ...], *, now: datetime) -> bool:
    """Starts nodes. True when some of them already succeeded by it, so that there is more to plan."""
    records = list(
        NodeRun.objects.filter(run=run, node_id__in=node_ids).only(
            "id", "node_id", "node_type", "node_name", "resource_name", "resource_type", "timeout_seconds"
        )
    )
    kept = _kept_workloads(records)
    move_nodes(run, node_ids, NodeEvent.LAUNCH, now=now, message=None)
    new = [record for record in records if record.node_id not in kept]
    workloads = create_workloads(instance, run, new, now=now)
    pull_limit = now + timedelta(seconds=settings.SECFLOW.pull_limit_seconds)
    for record in records:
        workload = kept.get(record.node_id) or workloads[record.node_id]
        record.workload = workload
        if workload.is_pulled:
            record.clock_started_at = now
            record.due_at, record.due_reason = now + timedelta(seconds=record.timeout_seconds), "timeout"
        else:
            record.due_at, record.due_reason = pull_limit, "pull"
    NodeRun.objects.bulk_update(records, ["workload", "clock_started_at", "due_at", "due_reason"])
    append(
        instance,
        *(Entry("node.running", SYSTEM, node_id=record.node_id, run_number=run.number) for record in records),
    )
    ready = sorted(node_id for node_id, workload in kept.items() if workload.is_ready)
    if ready:
        move_nodes(run, ready, NodeEvent.SUCCEED, now=now)
        append(
            instance,
            *(
                Entry("node.succeeded", SYSTEM, "the app was ready already", node_id=node_id, run_number=run.number)
                for node_id in ready
            ),
        )
    return bool(ready)


def _kept_workloads(records: list[NodeRun]) -> dict[str, Workload]:
    """Workloads that these nodes still have from set-up or an earlier run, by node id."""
    keepers = [record.node_id for record in records if get_node_type(record.node_type).keeps_workload]
    if not keepers:
        return {}
    return {workload.node_id: workload for workload in Workload.objects.filter(node_id__in=keepers, state__in=WANTED)}


def create_workloads(
    instance: WorkflowInstance, run: Run, records: list[NodeRun], *, now: datetime
) -> dict[str, Workload]:
    """Writes down that these nodes want an object in the cluster, and wakes a worker for it after commit."""
    if not records:
        return {}
    workloads = Workload.objects.bulk_create(
        Workload(
            instance=instance,
            node_id=record.node_id,
            node_run=record,
            run_number=run.number,
            kind=record.resource_type,
            namespace=namespace_of(instance.project_id),
            name=record.resource_name,
            due_at=now + RELOOK,
        )
        for record in records
    )
    nodes = [
        WorkflowNode(pk=record.node_id, k8s_resource_name=record.resource_name, k8s_resource_type=record.resource_type)
        for record in records
    ]
    WorkflowNode.objects.bulk_update(nodes, ["k8s_resource_name", "k8s_resource_type"])
    by_task: dict[str, list[int]] = {}
    for record, workload in zip(records, workloads, strict=True):
        by_task.setdefault(get_node_type(record.node_type).launch_task, []).append(workload.pk)
    for task, ids in sorted(by_task.items()):
        send_batches_after_commit(task, "workload_ids", ids)
    return {workload.node_id: workload for workload in workloads}


def _conclude(
    instance: WorkflowInstance, run: Run, verdict: RunStatus, unreached: tuple[str, ...], *, now: datetime
) -> None:
    # A warning that came during the run is not wiped out by its success.
    message = instance.message if instance.has_warning else None
    if verdict is RunStatus.FAILED:
        failed = NodeRun.objects.filter(run=run, status=NodeStatus.FAILED).order_by("finished_at", "id").first()
        if failed is not None:
            message = f"node {failed.node_name} failed: {failed.message or 'no reason was given'}"
            words = f"not started, because node {failed.node_name} failed"
            NodeRun.objects.filter(run=run, node_id__in=unreached).update(message=words, updated_at=now)
            WorkflowNode.objects.filter(pk__in=unreached).update(message=words)
    event = InstanceEvent.RUN_SUCCEEDED if verdict is RunStatus.SUCCEEDED else InstanceEvent.RUN_FAILED
    close_run(run, verdict, now=now, message=message)
    move_instance(instance, event, finished_at=now, message=message)
    append(instance, Entry(f"run.{verdict.value}", SYSTEM, message or "", run_number=run.number))
