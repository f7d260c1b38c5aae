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
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from k8s_bridge.diagnosis import Diagnosis, diagnose_error
from k8s_bridge.errors import ClusterError, QuotaExceeded, Unreachable
from k8s_bridge.results import Ensured
from k8s_bridge.specs import Owner, WorkloadSpec
from workflows.domain.statuses import WANTED, NodeStatus, RunPurpose, WorkloadState
from workflows.domain.transitions import NodeEvent, SetupEvent
from workflows.locks import find_and_lock
from workflows.models import NodeRun, WorkflowInstance, WorkflowNode, Workload
from workflows.services.advancing import SYSTEM, advance
from workflows.services.backoff import backoff
from workflows.services.cleaning import let_go
from workflows.services.cluster import gateway, installation_uid
from workflows.services.diagnoses import as_data, clean, sentence
from workflows.services.journal import Entry, append
from workflows.services.moves import move_nodes
from workflows.services.setup import settle_setup

logger = logging.getLogger(__name__)

# A worker that died is replaced after this time; one that lives renews its leases long before.
LEASE = timedelta(seconds=15)
RENEWAL = 4.0  # seconds between renewals
QUOTA_PAUSE = 5.0  # seconds between two tries while a quota is used up, at least
PARALLEL = 8  # calls to the cluster at once for one message


@dataclass(slots=True)
class Lease:
    """Until when, by this process's monotonic clock, a claim surely holds. All claims of one message share it."""

    until: float


@dataclass(frozen=True, slots=True)
class Claim:
    """One launch that this worker holds until its lease is over."""

    workload_id: int
    token: int
    tries: int
    instance_id: str
    node_id: str
    spec: WorkloadSpec
    owner: Owner
    is_setup: bool
    lease: Lease


def launch_workloads(*, workload_ids: Sequence[int]) -> int:
    """Makes the objects of those workloads that still want it. Returns how many were made or adopted.

    Safe to repeat and to run twice at once: a workload that is not `launching`, or that somebody else holds, is passed over.
    """
    claims = claim_launches(workload_ids)
    if not claims:
        return 0
    results = _ensure_all(claims)
    made = [(claim, result) for claim, result in zip(claims, results, strict=True) if isinstance(result, Ensured)]
    record_launches(made)
    _note_failures(
        [(claim, result) for claim, result in zip(claims, results, strict=True) if isinstance(result, ClusterError)]
    )
    return len(made)


def _ensure_all(claims: Sequence[Claim]) -> list[Ensured | ClusterError]:
    """Talks to the cluster for all claims, several at once, and renews the leases of those that are not through."""
    futures = [_pool().submit(_ensure, claim) for claim in claims]
    while True:
        _, waiting = wait(futures, timeout=RENEWAL)
        if not waiting:
            return [future.result() for future in futures]
        _renew([claim for claim, future in zip(claims, futures, strict=True) if future in waiting])


def _renew(claims: Sequence[Claim]) -> None:
    """Prolongs leases that are still ours; one that somebody took over stays his. One statement."""
    began = time.monotonic()
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {
            "ids": [claim.workload_id for claim in claims],
            "tokens": [claim.token for claim in claims],
            "lease": LEASE,
        }
        cursor.execute(_RENEW, parameters)
        if cursor.rowcount == len(claims):
            claims[0].lease.until = began + LEASE.total_seconds()


_RENEW = """
UPDATE secflow_platform_workflow_workload AS w
   SET lease_until = now() + %(lease)s, due_at = CASE WHEN w.state = 'launching' THEN now() + %(lease)s ELSE w.due_at END
 WHERE w.id IN (
         SELECT held.id
           FROM secflow_platform_workflow_workload AS held
           JOIN unnest(%(ids)s::bigint[], %(tokens)s::int[]) AS mine(id, token)
             ON held.id = mine.id AND held.lease_token = mine.token
          WHERE held.lease_until IS NOT NULL ORDER BY held.id FOR NO KEY UPDATE OF held SKIP LOCKED)
"""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix="launch")


def claim_launches(workload_ids: Sequence[int]) -> list[Claim]:
    """Takes the lease of every workload among these that is launching and not held; one statement.

    The database's clock decides, so a worker whose own clock is wrong cannot steal a lease. A row that somebody has locked is
    passed over: waiting for it while holding others is how deadlocks come about, and it is due again soon.
    """
    began = time.monotonic()
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"ids": list(workload_ids), "lease": LEASE}
        cursor.execute(_CLAIM, parameters)
        rows = cursor.fetchall()
    installation = installation_uid()
    lease = Lease(began + LEASE.total_seconds())
    return [
        Claim(
            workload_id=workload_id,
            token=token,
            tries=tries,
            instance_id=instance_id,
            node_id=node_id,
            spec=WorkloadSpec.from_json(_json(spec)),
            owner=Owner(
                installation=installation,
                project_id=project_id,
                instance_id=instance_id,
                node_id=node_id,
                run=run_number,
                attempt=workload_id,
            ),
            is_setup=purpose == RunPurpose.SETUP,
            lease=lease,
        )
        for workload_id, token, tries, instance_id, node_id, run_number, spec, purpose, project_id in rows
    ]


_CLAIM = """
UPDATE secflow_platform_workflow_workload AS w
   SET lease_until = now() + %(lease)s, lease_token = w.lease_token + 1, tries = w.tries + 1, due_at = now() + %(lease)s
  FROM secflow_platform_workflow_node_run AS n, secflow_platform_workflow_run AS r,
       secflow_platform_workflow_workflow_instance AS i
 WHERE w.id IN (
         SELECT id FROM secflow_platform_workflow_workload
          WHERE id = ANY(%(ids)s) AND state = 'launching' AND (lease_until IS NULL OR lease_until < now())
          ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
   AND n.id = w.node_run_id AND r.id = n.run_id AND i.id = w.instance_id
RETURNING w.id, w.lease_token, w.tries, w.instance_id, w.node_id, w.run_number, n.spec, r.purpose, i.project_id
"""


def _json(value: Any) -> dict[str, Any]:
    if isinstance(value, str):  # a raw cursor gives JSON as text, the ORM gives objects
        import json

        return dict(json.loads(value))
    return dict(value)


def _ensure(claim: Claim) -> Ensured | ClusterError:
    if time.monotonic() > claim.lease.until:
        return Unreachable("the cluster answers so slowly that the launch did not get its turn")
    try:
        return gateway().ensure_workload(claim.spec, claim.owner)
    except ClusterError as err:
        return err


def record_launches(made: Sequence[tuple[Claim, Ensured]]) -> None:
    """Writes down that objects exist. What nobody wants any more by now is deleted again at once."""
    late: dict[str, list[tuple[Claim, Ensured]]] = defaultdict(list)
    for claim, ensured in made:
        if not _record(claim, ensured):
            late[claim.instance_id].append((claim, ensured))
    for instance_id, batch in late.items():
        _take_back(instance_id, batch)
    for instance_id in sorted({claim.instance_id for claim, _ in made if claim.is_setup}):
        settle_setup(instance_id)


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
    return backoff(claim.tries, retry_after=max(err.retry_after or 0.0, least), spread=random.random())  # noqa: S311


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
