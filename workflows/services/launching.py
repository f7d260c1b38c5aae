"""Making what is wanted: a wanted workload becomes an object in the cluster, exactly one (contract H.5).

A launch is claimed by a lease with a token, talks to the cluster without any lock, and is written down by a guarded UPDATE that
only the holder of the token can win. Whoever dies in between leaves a due row; the next one finds the object by its labels.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from k8s_bridge.diagnosis import Diagnosis, diagnose_error
from k8s_bridge.errors import ClusterError, NotFound, Superseded
from k8s_bridge.results import Ensured
from k8s_bridge.specs import Owner, WorkloadSpec
from workflows.domain.statuses import RunPurpose, WorkloadState
from workflows.domain.transitions import NodeEvent, SetupEvent
from workflows.locks import lock_instance
from workflows.models import NodeRun, Run, WorkflowNode, Workload
from workflows.services.advancing import SYSTEM, advance
from workflows.services.backoff import backoff
from workflows.services.cluster import gateway, installation_uid
from workflows.services.journal import Entry, append
from workflows.services.moves import move_nodes
from workflows.services.setup import settle_setup

logger = logging.getLogger(__name__)

# Longer than any call to the cluster can take: nobody may still be working on a launch whose lease is over.
LEASE = timedelta(seconds=60)
PARALLEL = 8  # calls to the cluster at once for one message


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


def launch_workloads(*, workload_ids: Sequence[int]) -> int:
    """Makes the objects of those workloads that still want it. Returns how many were made or adopted.

    Safe to repeat and to run twice at once: a workload that is not `launching`, or that somebody else holds, is passed over.
    """
    claims = claim_launches(workload_ids)
    if not claims:
        return 0
    if len(claims) == 1:
        results = [_ensure(claims[0])]
    else:
        results = list(_pool().map(_ensure, claims))
    made = [(claim, result) for claim, result in zip(claims, results, strict=True) if isinstance(result, Ensured)]
    record_launches(made)
    for claim, result in zip(claims, results, strict=True):
        if isinstance(result, ClusterError):
            _put_off_or_fail(claim, result)
    return len(made)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix="launch")


def claim_launches(workload_ids: Sequence[int]) -> list[Claim]:
    """Takes the lease of every workload among these that is launching and not held; one statement.

    The database's clock decides, so a worker whose own clock is wrong cannot steal a lease.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"ids": list(workload_ids), "lease": LEASE})
        rows = cursor.fetchall()
    installation = installation_uid()
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
        )
        for workload_id, token, tries, instance_id, node_id, run_number, spec, purpose, project_id in rows
    ]


_CLAIM = """
UPDATE secflow_platform_workflow_workload AS w
   SET lease_until = now() + %(lease)s, lease_token = w.lease_token + 1, tries = w.tries + 1, due_at = now() + %(lease)s
  FROM secflow_platform_workflow_node_run AS n, secflow_platform_workflow_run AS r,
       secflow_platform_workflow_workflow_instance AS i
 WHERE w.id = ANY(%(ids)s) AND w.state = 'launching' AND (w.lease_until IS NULL OR w.lease_until < now())
   AND n.id = w.node_run_id AND r.id = n.run_id AND i.id = w.instance_id
RETURNING w.id, w.lease_token, w.tries, w.instance_id, w.node_id, w.run_number, n.spec, r.purpose, i.project_id
"""


def _json(value: Any) -> dict[str, Any]:
    if isinstance(value, str):  # a raw cursor gives JSON as text, the ORM gives objects
        import json

        return dict(json.loads(value))
    return dict(value)


def _ensure(claim: Claim) -> Ensured | ClusterError:
    try:
        return gateway().ensure_workload(claim.spec, claim.owner)
    except NotFound:
        # The namespace was removed since the preflight: it is made again once.
        try:
            gateway().ensure_namespace(claim.spec.namespace)
            return gateway().ensure_workload(claim.spec, claim.owner)
        except ClusterError as err:
            return err
    except ClusterError as err:
        return err


def record_launches(made: Sequence[tuple[Claim, Ensured]]) -> None:
    """Writes down that objects exist. What nobody wants any more by now is deleted again at once."""
    late: list[tuple[Claim, Ensured]] = []
    setups: set[str] = set()
    for claim, ensured in made:
        won = Workload.objects.filter(
            pk=claim.workload_id, lease_token=claim.token, state=WorkloadState.LAUNCHING
        ).update(
            state=WorkloadState.LIVE,
            uid=ensured.uid,
            service_name=ensured.service_name,
            launched_at=timezone.now(),
            lease_until=None,
            due_at=None,
            error=None,
        )
        if not won:
            late.append((claim, ensured))
            continue
        if ensured.service_name:
            WorkflowNode.objects.filter(pk=claim.node_id).update(service_name=ensured.service_name)
        if claim.is_setup:
            setups.add(claim.instance_id)
    for claim, ensured in late:
        _take_back(claim, ensured)
    for instance_id in sorted(setups):
        settle_setup(instance_id)


def _take_back(claim: Claim, ensured: Ensured) -> None:
    """A stop came while the object was being made: the clean-up waits for this lease, so the object goes first."""
    state = Workload.objects.filter(pk=claim.workload_id).values_list("state", "lease_token").first()
    if state is not None and state[0] in (WorkloadState.LIVE, WorkloadState.LAUNCHING):
        return  # another worker holds a newer lease and finds the object by its labels
    logger.info("launch was no longer wanted", extra={"instance_id": claim.instance_id, "node_id": claim.node_id})
    try:
        gateway().delete_workload(claim.spec.namespace, claim.spec.kind, claim.spec.name, ensured.uid)
    except ClusterError as err:
        logger.warning("object of a late launch is left to the clean-up: %s", err)
    Workload.objects.filter(pk=claim.workload_id, lease_token=claim.token).update(lease_until=None)


def _put_off_or_fail(claim: Claim, err: ClusterError) -> None:
    """Plans another try for what may heal; anything else fails the node with the reason."""
    diagnosis = diagnose_error(err) or Diagnosis("cluster_error", "the cluster refused the object", str(err), "")
    mine = Workload.objects.filter(pk=claim.workload_id, lease_token=claim.token)
    if isinstance(err, Superseded):
        mine.update(lease_until=None)
        return
    if err.retryable:
        pause = backoff(claim.tries, retry_after=err.retry_after, spread=random.random())  # noqa: S311
        mine.update(lease_until=None, due_at=timezone.now() + pause, error=str(err))
        WorkflowNode.objects.filter(pk=claim.node_id).update(message=f"waiting to be made: {diagnosis.summary}")
        return
    mine.update(lease_until=None, error=str(err))
    fail_launch(claim, diagnosis)


def fail_launch(claim: Claim, diagnosis: Diagnosis) -> None:
    """The object cannot be made: its node fails, and the run or set-up goes on from there (contract E.3, E.6)."""
    now = timezone.now()
    with transaction.atomic():
        instance = lock_instance(claim.instance_id)
        gone = Workload.objects.filter(pk=claim.workload_id, state=WorkloadState.LAUNCHING).update(
            state=WorkloadState.GONE, due_at=None, lease_until=None
        )
        record = NodeRun.objects.select_related("run").filter(workload_id=claim.workload_id).order_by("-id").first()
        if not gone or record is None or record.run.finished_at is not None:
            return
        fail_node(instance, record, diagnosis, now=now)
        WorkflowNode.objects.filter(pk=claim.node_id).update(k8s_resource_name=None, k8s_resource_type=None)
    if claim.is_setup:
        settle_setup(claim.instance_id)


def fail_node(instance: Any, record: NodeRun, diagnosis: Diagnosis, *, now: Any, kind: str = "node.failed") -> None:
    """Fails one node of the locked instance with a reason and carries the run on."""
    run: Run = record.run
    event = SetupEvent.FAIL if run.purpose == RunPurpose.SETUP else NodeEvent.FAIL
    message = f"{diagnosis.summary}: {diagnosis.detail}" if diagnosis.detail else diagnosis.summary
    if move_nodes(run, [record.node_id], event, now=now, message=message):
        NodeRun.objects.filter(pk=record.pk).update(diagnosis=asdict(diagnosis))
        data = {"diagnosis": asdict(diagnosis)}
        append(instance, Entry(kind, SYSTEM, message, node_id=record.node_id, run_number=run.number, data=data))
        advance(instance, run, now=now)
