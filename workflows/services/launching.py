"""Making what is wanted: a wanted workload becomes an object in the cluster, exactly one (contract H.5).

A launch is claimed by a lease with a token, talks to the cluster without any lock, and is written down by a guarded UPDATE that
only the holder of the token can win. Whoever dies in between leaves a due row; the next one finds the object by its labels.

Transactions that touch more than one row of an instance hold its lock; the others never wait for a row while they hold one.
"""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from functools import cache

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from k8s_bridge.diagnosis import Diagnosis, diagnose_error
from k8s_bridge.errors import ClusterError, QuotaExceeded, Unreachable
from k8s_bridge.results import Ensured
from secflow.transactions import retried
from workflows.domain.statuses import WANTED, NodeStatus, RunPurpose, WorkloadState
from workflows.domain.transitions import NodeEvent, SetupEvent
from workflows.killpoints import AFTER_CLAIM, AFTER_CREATE, pass_by
from workflows.locks import find_and_lock
from workflows.models import NodeRun, WorkflowInstance, WorkflowNode, Workload
from workflows.services.advancing import advance
from workflows.services.backoff import LONGEST_SECONDS, backoff
from workflows.services.claims import RENEWAL, Claim, claim_launches, renew_claims
from workflows.services.cleaning import let_go
from workflows.services.cluster import gateway
from workflows.services.diagnoses import as_data, clean, sentence
from workflows.services.journal import SYSTEM, Entry, append
from workflows.services.logs import capture_logs_of
from workflows.services.moves import move_nodes
from workflows.services.setup import settle_setup
from workflows.services.statements import Statements

logger = logging.getLogger(__name__)

QUOTA_PAUSE = 5.0  # seconds between two tries while a quota is used up, at least
UNREACHABLE_PAUSE = 8.0  # seconds between two tries while the cluster cannot be reached, at most, and a quarter more
PARALLEL = 8  # calls to the cluster at once for one message


def launch_workloads(*, workload_ids: Sequence[int]) -> int:
    """Makes the objects of those workloads that still want it. Returns how many were made or adopted.

    Safe to repeat and to run twice at once: a workload that is not `launching`, or that somebody else holds, is passed over.
    """
    return launch_claimed(claim_launches(workload_ids))


def launch_claimed(claims: Sequence[Claim]) -> int:
    """Makes the objects of launches that this process has claimed. Returns how many were made or adopted."""
    if not claims:
        return 0
    pass_by(AFTER_CLAIM)
    again = [claim.node_id for claim in claims if claim.owner.run > 1]
    if again:
        capture_logs_of(node_ids=again)
    results = list(zip(claims, _ensure_all(claims), strict=True))
    pass_by(AFTER_CREATE)
    made = [(claim, result) for claim, result in results if isinstance(result, Ensured)]
    record_launches(made)
    _note_failures([(claim, result) for claim, result in results if isinstance(result, ClusterError)])
    return len(made)


def _ensure_all(claims: Sequence[Claim]) -> list[Ensured | ClusterError]:
    """Talks to the cluster for all claims, several at once, and renews the leases of those that are not through."""
    futures = [_pool().submit(_ensure, claim) for claim in claims]
    while True:
        _, waiting = wait(futures, timeout=RENEWAL)
        if not waiting:
            return [future.result() for future in futures]
        renew_claims([claim for claim, future in zip(claims, futures, strict=True) if future in waiting])


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix="launch")


def _ensure(claim: Claim) -> Ensured | ClusterError:
    if time.monotonic() > claim.lease.until:
        return Unreachable("the cluster answers so slowly that the launch did not get its turn")
    try:
        return gateway().ensure_workload(claim.spec, claim.owner)
    except ClusterError as err:
        return err


def record_launches(made: Sequence[tuple[Claim, Ensured]]) -> None:
    """Writes down that objects exist. What nobody wants any more by now is deleted again at once."""
    done = _record_together([(claim, ensured) for claim, ensured in made if ensured.service_name is None])
    late: dict[str, list[tuple[Claim, Ensured]]] = defaultdict(list)
    for claim, ensured in made:
        if claim.workload_id not in done and not _record(claim, ensured):
            late[claim.instance_id].append((claim, ensured))
    for instance_id, batch in late.items():
        _take_back(instance_id, batch)
    for instance_id in sorted({claim.instance_id for claim, _ in made if claim.is_setup}):
        settle_setup(instance_id)


@retried
def _record_together(made: Sequence[tuple[Claim, Ensured]]) -> set[int]:
    """The launches without a Service, in one statement. Returns the ids of those that were written down; rows that somebody has
    locked are left out, because nobody waits for one row while holding others.
    """
    if not made:
        return set()
    done: set[int] = set()
    parameters = {
        "ids": [claim.workload_id for claim, _ in made],
        "tokens": [claim.token for claim, _ in made],
        "uids": [ensured.uid for _, ensured in made],
    }
    statements = Statements()
    statements.add(_RECORD, parameters, lambda rows, _: done.update(row[0] for row in rows))
    statements.send()
    return done


_RECORD = """
WITH made AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::int[], %(uids)s::text[]) AS m(id, token, uid)
), mine AS (
    SELECT w.id, made.uid FROM secflow_platform_workflow_workload AS w JOIN made ON w.id = made.id AND w.lease_token = made.token
     WHERE w.state IN ('launching', 'live') ORDER BY w.id FOR NO KEY UPDATE OF w SKIP LOCKED
)
UPDATE secflow_platform_workflow_workload AS w
   SET state = 'live', uid = mine.uid, launched_at = now(), lease_until = NULL, due_at = NULL, error = NULL
  FROM mine WHERE w.id = mine.id
RETURNING w.id
"""


@retried
def _record(claim: Claim, ensured: Ensured) -> bool:
    """False when the launch is not this worker's any more. Observing may have been quicker and found it live already."""
    mine = Workload.objects.filter(pk=claim.workload_id, lease_token=claim.token, state__in=WANTED)
    changes = {
        "state": WorkloadState.LIVE,
        "uid": ensured.uid,
        "service_name": ensured.service_name,
        "launched_at": Now(),
        "lease_until": None,
        "due_at": None,
        "error": None,
    }
    if ensured.service_name is None:
        return bool(mine.update(**changes))
    with transaction.atomic():
        # A stop between the two updates would leave the name of a Service that is gone on the node.
        WorkflowInstance.objects.select_for_update().filter(pk=claim.instance_id).first()
        won = bool(mine.update(**changes))
        if won:
            WorkflowNode.objects.filter(pk=claim.node_id).update(service_name=ensured.service_name)
    return won


def _take_back(instance_id: str, late: Sequence[tuple[Claim, Ensured]]) -> None:
    """A stop came while objects were being made. They go at once, so that they do as little as possible; the clean-up,
    which has waited for these leases, finds by label what is left.
    """
    ids = [claim.workload_id for claim, _ in late]
    # Somebody with a newer lease finds those that are wanted by their labels.
    wanted = set(Workload.objects.filter(pk__in=ids, state__in=WANTED).values_list("pk", flat=True))
    for claim, ensured in late:
        if claim.workload_id in wanted:
            continue
        logger.info("launch was no longer wanted", extra={"instance_id": instance_id, "node_id": claim.node_id})
        try:
            gateway().delete_workload(claim.spec.namespace, claim.spec.kind, claim.spec.name, ensured.uid)
        except ClusterError as err:
            logger.warning("object of a late launch is left to the clean-up: %s", err)
    with transaction.atomic():
        instance = WorkflowInstance.objects.select_for_update().filter(pk=instance_id).first()
        if instance is not None:
            let_go(instance, [(claim.workload_id, claim.token) for claim, _ in late])


def _note_failures(failures: Sequence[tuple[Claim, ClusterError]]) -> None:
    """Plans another try for what may heal; anything else fails the node with the reason. One transaction per instance."""
    by_instance: dict[str, list[tuple[Claim, ClusterError]]] = defaultdict(list)
    for claim, err in failures:
        by_instance[claim.instance_id].append((claim, err))
    for instance_id, batch in by_instance.items():
        with transaction.atomic():
            instance = find_and_lock(instance_id)
            if instance is None:
                continue
            let_go(instance, [(claim.workload_id, claim.token) for claim, _ in batch])
            for claim, err in batch:
                mine = Workload.objects.filter(pk=claim.workload_id, lease_token=claim.token)
                mine.update(error=clean(str(err)))
                wanted = mine.filter(state=WorkloadState.LAUNCHING)
                if not err.retryable:
                    _fail_launch(instance, wanted, diagnose_error(err))
                elif wanted.update(due_at=Now() + _pause(claim, err)):
                    _note_waiting(instance, claim, diagnose_error(err))
        if any(claim.is_setup for claim, _ in batch):
            settle_setup(instance_id)


def _pause(claim: Claim, err: ClusterError) -> timedelta:
    least = QUOTA_PAUSE if isinstance(err, QuotaExceeded) else 0.0
    # Tries that nothing answers cost the cluster nothing, and after an outage everything is waited for.
    longest = UNREACHABLE_PAUSE if isinstance(err, Unreachable) else LONGEST_SECONDS
    retry_after = max(err.retry_after or 0.0, least)
    return backoff(claim.tries, retry_after=retry_after, spread=random.random(), longest=longest)  # noqa: S311


def _note_waiting(instance: WorkflowInstance, claim: Claim, diagnosis: Diagnosis) -> None:
    """Shows why a launch has to wait. Observing its pod takes the words away again."""
    record = _record_of(claim.workload_id)
    data = as_data(diagnosis)
    if record is None or record.status not in (NodeStatus.PENDING, NodeStatus.RUNNING) or record.diagnosis == data:
        return
    message = f"waiting to be made: {sentence(diagnosis)}"
    NodeRun.objects.filter(pk=record.pk).update(diagnosis=data, message=message)
    WorkflowNode.objects.filter(pk=record.node_id).update(message=message)
    append(instance, Entry("node.trouble", SYSTEM, message, record.node_id, record.run.number, {"diagnosis": data}))


def _fail_launch(instance: WorkflowInstance, wanted: QuerySet[Workload], diagnosis: Diagnosis) -> None:
    """The object cannot be made: its node fails, and the run goes on from there (contract E.3, E.6)."""
    workload = wanted.first()
    if workload is None:
        return
    Workload.objects.filter(pk=workload.pk).update(state=WorkloadState.GONE, due_at=None)
    WorkflowNode.objects.filter(pk=workload.node_id).update(k8s_resource_name=None, k8s_resource_type=None)
    record = _record_of(workload.pk)
    if record is None:
        return
    now = instance.locked_at
    event = SetupEvent.FAIL if record.run.purpose == RunPurpose.SETUP else NodeEvent.FAIL
    message, data = sentence(diagnosis), as_data(diagnosis)
    if move_nodes(record.run, [record.node_id], event, now=now, message=message):
        NodeRun.objects.filter(pk=record.pk).update(diagnosis=data)
        append(instance, Entry("node.failed", SYSTEM, message, record.node_id, record.run.number, {"diagnosis": data}))
        advance(instance, record.run, now=now)


def _record_of(workload_id: int) -> NodeRun | None:
    """The record of the open run that waits for this workload."""
    return (
        NodeRun.objects.select_related("run")
        .defer("spec")
        .filter(workload_id=workload_id, run__finished_at__isnull=True)
        .first()
    )
