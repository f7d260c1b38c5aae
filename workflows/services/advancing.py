"""Carrying a run forward: ask the planner, write down what it says, send what follows from it (contract E.6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction

from k8s_bridge.names import namespace_of
from workflows.dispatch import LAUNCH_WORKLOADS, Hands, hands_for, send_batches_after_commit
from workflows.domain.node_types.registry import get_node_type, node_types
from workflows.domain.planner import plan
from workflows.domain.statuses import WANTED, NodeStatus, RunPurpose, RunStatus
from workflows.domain.transitions import InstanceEvent, NodeEvent
from workflows.models import NodeRun, Run, WorkflowInstance, WorkflowNode, Workload
from workflows.services.claims import LEASE, Lease, claims_of
from workflows.services.graphs import graph_of
from workflows.services.journal import SYSTEM, Entry, append
from workflows.services.loading import Statuses, statuses_of
from workflows.services.logs import want_logs
from workflows.services.moves import move_instance, move_nodes
from workflows.services.reasons import failure_of
from workflows.services.runs import close_run
from workflows.services.statements import Rows, Statements

RELOOK = timedelta(seconds=10)  # a launch whose message was lost is found again after this time


def advance(
    instance: WorkflowInstance,
    run: Run,
    *,
    now: datetime,
    facts: Sequence[Entry] = (),
    statuses: Statuses | None = None,
    writes: Statements | None = None,
) -> None:
    """Takes every step that the run can take now. Calling it again changes nothing.

    The caller holds the instance's lock; `run` is its open run. `facts` are journal entries of what led here: they are written
    before those of the steps. `statuses` are those of all nodes of the run, read when they are not given. `writes` are statements
    that wait to be sent; those of this function are added to them, and sent as well when none are given. Messages go out after
    commit.
    """
    entries = list(facts)
    portion = Statements() if writes is None else writes
    while run.purpose == RunPurpose.RUN and run.finished_at is None:
        if statuses is None:
            portion.send()
            statuses = statuses_of(run)
        step = plan(graph_of(run), {node_id: status for node_id, (status, _) in statuses.items()})
        if step.verdict is not None:
            portion.send()
            entries.append(_conclude(instance, run, step.verdict, step.unreached, now=now))
            break
        if not step.launch:
            break
        types = {node_id: statuses[node_id][1] for node_id in step.launch}
        begun, is_more = _begin(instance, run, types, now=now, writes=portion)
        entries += begun
        if not is_more:
            break
        statuses = None
    append(instance, *entries, writes=portion)
    if writes is None:
        portion.send()


def _begin(
    instance: WorkflowInstance, run: Run, types: dict[str, str], *, now: datetime, writes: Statements
) -> tuple[list[Entry], bool]:
    """Starts nodes, given with their types. Returns what to journal, and whether some of them succeeded by it already."""
    keeping = [node_id for node_id, name in types.items() if get_node_type(name).keeps_workload]
    kept: dict[str, Workload] = {}
    if keeping:
        writes.send()
        kept = _kept_workloads(keeping)
    new = [node_id for node_id in types if node_id not in kept]
    if new:
        create_workloads(instance, run, new, now=now, writes=writes)
    entries = [Entry("node.running", SYSTEM, node_id=node_id, run_number=run.number) for node_id in types]
    ready: list[str] = []
    if kept:
        writes.send()
        ready = _take_up(run, kept, now=now)
    entries += [
        Entry("node.succeeded", SYSTEM, "the app was ready already", node_id=node_id, run_number=run.number)
        for node_id in ready
    ]
    return entries, bool(ready)


def _kept_workloads(node_ids: list[str]) -> dict[str, Workload]:
    """Workloads that these nodes still have from set-up or an earlier run, by node id."""
    return {workload.node_id: workload for workload in Workload.objects.filter(node_id__in=node_ids, state__in=WANTED)}


def _take_up(run: Run, kept: dict[str, Workload], *, now: datetime) -> list[str]:
    """Nodes that keep their workload begin with it. Returns those whose app is ready, which succeeded by it."""
    move_nodes(run, list(kept), NodeEvent.LAUNCH, now=now)
    records = list(NodeRun.objects.filter(run=run, node_id__in=kept).only("id", "node_id", "timeout_seconds"))
    for record in records:
        workload = kept[record.node_id]
        record.workload = workload
        if workload.is_pulled:
            record.clock_started_at = now
            record.due_at, record.due_reason = now + timedelta(seconds=record.timeout_seconds), "timeout"
        else:
            record.due_at, record.due_reason = now + pull_limit(), "pull"
    NodeRun.objects.bulk_update(records, ["workload", "clock_started_at", "due_at", "due_reason"])
    ready = sorted(node_id for node_id, workload in kept.items() if workload.is_ready)
    if ready:
        move_nodes(run, ready, NodeEvent.SUCCEED, now=now)
        ended = [record for record in records if record.node_id in ready]
        for record in ended:
            record.run, record.status = run, NodeStatus.SUCCEEDED
        want_logs(ended, now=now)
    return ready


def pull_limit() -> timedelta:
    """How long a node may be without its images."""
    return timedelta(seconds=settings.SECFLOW.pull_limit_seconds)


def create_workloads(
    instance: WorkflowInstance,
    run: Run,
    node_ids: Sequence[str],
    *,
    now: datetime,
    writes: Statements | None = None,
) -> None:
    """Writes down that these nodes want an object in the cluster, and sees to it after commit; one statement, added to `writes` if
    given.

    In a run the nodes are `running` from here on; in a set-up they wait for their pod (contract E.6). A few launches are claimed
    right here by a process that has hands for them; for all others a worker is woken.
    """
    hands = hands_for(LAUNCH_WORKLOADS, len(node_ids))
    is_run = run.purpose == RunPurpose.RUN
    parameters = {
        "run": run.pk,
        "number": run.number,
        "nodes": list(node_ids),
        "namespace": namespace_of(instance.project_id),
        "project": instance.project_id,
        "purpose": str(run.purpose),
        "now": now,
        "relook": now + RELOOK,
        "status": NodeStatus.RUNNING.value if is_run else NodeStatus.PENDING.value,
        "started": now if is_run else None,
        "due": now + pull_limit() if is_run else None,
        "reason": "pull" if is_run else None,
        "claimed": [kind.name for kind in node_types() if kind.launch_task == LAUNCH_WORKLOADS] if hands else [],
        "lease": LEASE,
    }
    lease = Lease.from_now()
    portion = Statements() if writes is None else writes
    portion.add(_CREATE, parameters, lambda rows, _: _see_to(run, len(node_ids), rows, hands, lease))
    if writes is None:
        portion.send()


def _see_to(run: Run, wanted: int, made: Rows, hands: Hands | None, lease: Lease) -> None:
    """After commit the new workloads are launched: here if they were claimed, otherwise by whoever gets the message."""
    if len(made) != wanted:
        raise RuntimeError(f"{wanted} nodes were to begin in {run}, and {len(made)} were waiting")
    claimed = [row[:-1] for row in made if row[1]]
    if hands is not None and claimed:
        transaction.on_commit(partial(hands.take, claims_of(claimed, lease)))
    by_task: dict[str, list[int]] = {}
    for workload_id, token, *_, node_type in sorted(made, key=lambda row: row[0]):
        if not token:
            by_task.setdefault(get_node_type(node_type).launch_task, []).append(workload_id)
    for task, ids in sorted(by_task.items()):
        send_batches_after_commit(task, "workload_ids", ids)


_CREATE = """
WITH made AS (
    INSERT INTO secflow_platform_workflow_workload
           (instance_id, node_id, node_run_id, run_number, kind, namespace, name, state, is_pulled, is_ready, is_finished,
            due_at, tries, lease_token, lease_until, created_at)
    SELECT n.instance_id, n.node_id, n.id, %(number)s::int, n.resource_type, %(namespace)s, n.resource_name, 'launching', false,
           false, false, CASE WHEN c.is_claimed THEN clock_timestamp() + %(lease)s ELSE %(relook)s::timestamptz END,
           c.is_claimed::int, c.is_claimed::int, CASE WHEN c.is_claimed THEN clock_timestamp() + %(lease)s END, %(now)s::timestamptz
      FROM secflow_platform_workflow_node_run AS n
     CROSS JOIN LATERAL (SELECT n.node_type = ANY(%(claimed)s::text[]) AS is_claimed) AS c
     WHERE n.run_id = %(run)s AND n.node_id = ANY(%(nodes)s::text[]) AND n.status = 'pending'
 RETURNING id, node_run_id, lease_token
), begun AS (
    UPDATE secflow_platform_workflow_node_run AS n
       SET status = %(status)s, started_at = %(started)s::timestamptz, message = NULL, workload_id = made.id,
           due_at = %(due)s::timestamptz, due_reason = %(reason)s, updated_at = %(now)s::timestamptz
      FROM made WHERE n.id = made.node_run_id
 RETURNING n.node_id, n.instance_id, n.node_type, n.resource_name, n.resource_type, n.spec, made.id AS workload_id,
           made.lease_token
)
UPDATE secflow_platform_workflow_workflow_node_instance AS node
   SET status = %(status)s, started_at = %(started)s::timestamptz, message = NULL, k8s_resource_name = begun.resource_name,
       k8s_resource_type = begun.resource_type
  FROM begun WHERE node.id = begun.node_id
RETURNING begun.workload_id, begun.lease_token, begun.lease_token, begun.instance_id, begun.node_id, %(number)s::int,
          CASE WHEN begun.lease_token > 0 THEN begun.spec END, %(purpose)s::text, %(project)s::text, begun.node_type
"""


def _conclude(
    instance: WorkflowInstance, run: Run, verdict: RunStatus, unreached: tuple[str, ...], *, now: datetime
) -> Entry:
    # A warning that came during the run is not wiped out by its success.
    message = instance.message if instance.has_warning else None
    if verdict is RunStatus.FAILED:
        failed = NodeRun.objects.filter(run=run, status=NodeStatus.FAILED).order_by("finished_at", "id").first()
        if failed is not None:
            message = failure_of(failed)
            words = f"not started, because node {failed.node_name} failed"
            NodeRun.objects.filter(run=run, node_id__in=unreached).update(message=words, updated_at=now)
            WorkflowNode.objects.filter(pk__in=unreached).update(message=words)
    event = InstanceEvent.RUN_SUCCEEDED if verdict is RunStatus.SUCCEEDED else InstanceEvent.RUN_FAILED
    close_run(run, verdict, now=now, message=message)
    move_instance(instance, event, finished_at=now, message=message)
    return Entry(f"run.{verdict.value}", SYSTEM, message or "", run_number=run.number)
