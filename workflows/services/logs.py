"""Logs of nodes: read live from the newest pod, and kept when a node ends (contract C.11, D.5, D.9)."""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg.types.json import Jsonb

from k8s_bridge.diagnosis import Diagnosis
from k8s_bridge.errors import ClusterError, Rejected
from k8s_bridge.errors import NotFound as NotInCluster
from k8s_bridge.names import container_names, namespace_of
from k8s_bridge.results import PodLogs
from workflows.dispatch import CAPTURE_LOGS, send_batches_after_commit
from workflows.domain.errors import Invalid, NotFound
from workflows.domain.statuses import RunPurpose
from workflows.models import NodeLog, NodeRun, WorkflowNode
from workflows.services.backoff import backoff
from workflows.services.cluster import gateway, translated
from workflows.services.diagnoses import clean, clean_data
from workflows.services.evidence import gather_evidence, trouble_of
from workflows.services.preflight import templates_of
from workflows.services.reasons import complete_reasons
from workflows.services.statements import Statements

logger = logging.getLogger(__name__)

HOLD = timedelta(seconds=30)
KEPT_LINES = 1000
# A log that cannot be read may stay so for an hour, as when the way to the nodes is cut.
MOST_TRIES = 20
LONGEST_PAUSE = 300.0  # seconds
PARALLEL = 8  # texts fetched at once


def read_node_logs(
    *, node: WorkflowNode, container: str | None, tail_lines: int, previous: bool, timestamps: bool
) -> dict[str, Any]:
    """What the node's newest pod wrote, in the shape of contract C.11. Talks to the cluster.

    Raises Invalid when the node has no cluster resource, NotFound when there is no pod or no such container, Unavailable when
    the cluster refuses.
    """
    if not node.k8s_resource_name:
        raise Invalid(
            f"node {node.pk} has nothing in the cluster yet, so there are no logs; texts of earlier runs are under"
            f" /workflow-instances/{node.instance_id}/logs",
            {"node_id": node.pk},
        )
    namespace = namespace_of(node.instance.project_id)
    with translated():
        try:
            logs = gateway().pod_logs(
                namespace,
                node.k8s_resource_name,
                container=name_in_pod(node, container),
                tail_lines=tail_lines,
                previous=previous,
                timestamps=timestamps,
                limit_bytes=settings.SECFLOW.log_limit_bytes,
            )
        except NotInCluster as err:
            raise NotFound("pod", node.k8s_resource_name, message=str(err)) from err
        except Rejected as err:
            raise Invalid(str(err), {"node_id": node.pk}) from err
    return {
        "resource_name": node.k8s_resource_name,
        "pod_name": logs.pod_name,
        "namespace": namespace,
        "logs": logs.text,
        "container": logs.container,
        "previous": previous,
    }


def name_in_pod(node: WorkflowNode, container: str | None) -> str | None:
    """The pod's name of a container that is given as the template names it; any other name is left to the gateway."""
    template = templates_of([node]).get(node.template_id)
    names = [item["name"] for item in template.containers] if template is not None else []
    if container is None or container not in names:
        return container
    return container_names(names)[names.index(container)]


def want_logs(
    records: Sequence[NodeRun],
    *,
    now: datetime,
    pods: Mapping[int, str] | None = None,
    writes: Statements | None = None,
) -> None:
    """Notes that the text of these nodes is to be fetched, and wakes a worker for it after commit (contract D.9).

    `pods` names, by record id, the pods whose text it is, where that is known: it saves looking for them. One statement, added to
    `writes` if given.
    """
    if not records:
        return
    parameters = {
        "records": [record.pk for record in records],
        "parts": [_part(record).value for record in records],
        "pods": [(pods or {}).get(record.pk) for record in records],
        "statuses": [str(record.status) for record in records],
        "now": now,
    }
    portion = Statements() if writes is None else writes
    portion.add(_WANT, parameters, lambda rows, _: _wake([row[0] for row in rows]))
    if writes is None:
        portion.send()


def _wake(node_run_ids: list[int]) -> None:
    if node_run_ids:
        send_batches_after_commit(CAPTURE_LOGS, "node_run_ids", node_run_ids)


def _part(record: NodeRun) -> NodeLog.Part:
    return NodeLog.Part.INIT if record.run.purpose == RunPurpose.SETUP else NodeLog.Part.EXECUTION


_WANT = """
INSERT INTO secflow_platform_workflow_node_log (node_run_id, part, pod_name, status_when_fetched, text, tries, due_at)
SELECT node_run_id, part, pod_name, status, '', 0, %(now)s::timestamptz
  FROM unnest(%(records)s::bigint[], %(parts)s::text[], %(pods)s::text[], %(statuses)s::text[])
       AS wanted(node_run_id, part, pod_name, status)
    ON CONFLICT (node_run_id, part) DO NOTHING
RETURNING node_run_id
"""


@dataclass(frozen=True, slots=True)
class _Due:
    """One text that this process fetches, until `due_at` gives it to another."""

    pk: int
    node_run_id: int
    due_at: datetime
    tries: int
    pod_name: str | None
    container: str
    resource_name: str
    instance_id: str
    project_id: str
    wants_evidence: bool
    wants_reason: bool  # the failure names the limit of retries and not what the pods suffered from
    attempt: int | None

    @property
    def namespace(self) -> str:
        return namespace_of(self.project_id)


@dataclass(frozen=True, slots=True)
class _Found:
    text: PodLogs | ClusterError
    evidence: dict[str, Any] | None = None
    reason: Diagnosis | None = None  # of a failure that lacks one


def capture_logs(*, node_run_ids: Sequence[int], before_removal: bool = False) -> int:
    """Fetches and keeps the texts that are due for these records, several at once. Returns how many were kept.

    A text that cannot be had any more is noted as such; a cluster that does not answer is asked again later. Of a node that
    failed the evidence is kept too.

    A caller who removes the pods next says so by `before_removal`, and must be outside of a transaction. Then a text that
    another process is just about to fetch is fetched here as well: that process would find its pod gone.
    """
    mine = _take(_FREE, node_run_ids)
    if before_removal:
        # One at a time: nobody waits for a row while holding another.
        for record in sorted(set(node_run_ids) - {log.node_run_id for log in mine}):
            mine += _take(_ONE, [record])
    fetch = partial(_fetch, is_last=before_removal)
    texts = _pool().map(fetch, mine) if len(mine) > 1 else map(fetch, mine)
    return _keep(list(zip(mine, texts, strict=True)))


def _take(rows: str, records: Sequence[int]) -> list[_Due]:
    """Takes the texts that are due, also from those who took them before."""
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"records": list(records), "hold": HOLD}
        cursor.execute(_TAKE.format(rows=rows), parameters)
        return [_Due(*row) for row in cursor.fetchall()]


def capture_logs_of(*, node_ids: Sequence[str]) -> int:
    """As `capture_logs` before a removal, for every text of these nodes that is still to be fetched: their next objects take
    the places of those that wrote it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STILL_WANTED, [list(node_ids)])
        records = [row[0] for row in cursor.fetchall()]
    return capture_logs(node_run_ids=records, before_removal=True) if records else 0


_STILL_WANTED = """
SELECT l.node_run_id FROM secflow_platform_workflow_node_log AS l
  JOIN secflow_platform_workflow_node_run AS n ON n.id = l.node_run_id
 WHERE n.node_id = ANY(%s) AND l.due_at IS NOT NULL
"""
_TAKE = """
UPDATE secflow_platform_workflow_node_log AS l SET due_at = now() + %(hold)s, tries = l.tries + 1
  FROM secflow_platform_workflow_node_run AS n, secflow_platform_workflow_workflow_instance AS i
 WHERE {rows}
   AND n.id = l.node_run_id AND i.id = n.instance_id
RETURNING l.id, l.node_run_id, l.due_at, l.tries, l.pod_name, n.spec -> 'containers' -> 0 ->> 'name', n.resource_name,
          i.id, i.project_id, l.status_when_fetched = 'failed' AND n.evidence IS NULL,
          n.diagnosis ->> 'category' IS NOT DISTINCT FROM 'backoff_limit', n.workload_id
"""
# All of them but those that somebody writes to at this moment.
_FREE = """l.id IN (
         SELECT id FROM secflow_platform_workflow_node_log
          WHERE node_run_id = ANY(%(records)s) AND due_at IS NOT NULL ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)"""
# The rows of one record. It waits for whoever writes to them.
_ONE = "l.node_run_id = ANY(%(records)s) AND l.due_at IS NOT NULL"


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix="logs")


def _fetch(log: _Due, *, is_last: bool) -> _Found:
    """Talks to the cluster only: the threads of the pool keep no connection to the database."""
    evidence = reason = None
    try:
        if log.wants_evidence:
            pods = gateway().pods_of(log.namespace, log.resource_name, attempt=log.attempt)
            reason = trouble_of(pods) if log.wants_reason else None
            is_last = is_last or log.tries >= MOST_TRIES
            evidence = gather_evidence(gateway(), log.namespace, log.resource_name, pods, is_last=is_last)
        return _Found(_fetch_text(log), evidence, reason)
    except ClusterError as err:
        return _Found(err, evidence, reason)


def _fetch_text(log: _Due) -> PodLogs:
    most = settings.SECFLOW.log_limit_bytes
    if log.pod_name is not None:
        with suppress(NotInCluster):  # another pod of the same attempt may still be there
            return gateway().read_log(
                log.namespace, log.pod_name, log.container, tail_lines=KEPT_LINES, limit_bytes=most
            )
    return gateway().pod_logs(
        log.namespace, log.resource_name, tail_lines=KEPT_LINES, limit_bytes=most, attempt=log.attempt
    )


def _keep(found: Sequence[tuple[_Due, _Found]]) -> int:
    """Writes down what came of these texts; one round trip, unless a reason came too. Returns how many were kept.

    A text that was had is kept, even if another process took it over since, or gave it up: that one may have found the pod gone.
    A failure counts only for who has the text still. Reasons wait for locks, so texts without one are kept before; with one they
    are kept after it, because then nobody looks for it again.
    """
    at_once, after_reasons, counts = Statements(), Statements(), [0]
    reasons: dict[str, dict[int, Diagnosis]] = defaultdict(dict)
    for log, one in found:
        answer = one.text
        statements = at_once
        if one.reason is not None:
            statements = after_reasons
            reasons[log.instance_id][log.node_run_id] = one.reason
        if one.evidence is not None:
            statements.add(_KEEP_EVIDENCE, {"evidence": Jsonb(clean_data(one.evidence)), "record": log.node_run_id})
        if isinstance(answer, PodLogs):
            values = {"text": clean(answer.text), "pod": answer.pod_name, "container": answer.container}
            statements.add(_KEEP, {**values, **_key(log)}, lambda _, count: counts.append(count))
        elif answer.retryable and log.tries < MOST_TRIES:
            pause = backoff(
                log.tries,
                retry_after=answer.retry_after,
                spread=random.random(),  # noqa: S311
                longest=LONGEST_PAUSE,
            )
            statements.add(_ASK_AGAIN, {"pause": pause, "error": clean(str(answer)), **_key(log)})
        else:
            words = f"the text could not be kept: {clean(str(answer))}"
            statements.add(_GIVE_UP, {"error": words, **_key(log)})
    at_once.send(apart=True)
    for instance_id, of_records in reasons.items():
        complete_reasons(instance_id, of_records)
    after_reasons.send(apart=True)
    return sum(counts)


def _key(log: _Due) -> dict[str, Any]:
    return {"log": log.pk, "due": log.due_at}


_KEEP = """
WITH kept AS (
    UPDATE secflow_platform_workflow_node_log
       SET text = %(text)s, pod_name = %(pod)s, container = %(container)s, fetched_at = now(), due_at = NULL, error = NULL
     WHERE id = %(log)s AND (due_at IS NOT NULL OR error IS NOT NULL)
 RETURNING node_run_id
)
UPDATE secflow_platform_workflow_node_run AS n SET updated_at = now() FROM kept WHERE n.id = kept.node_run_id
"""
_KEEP_EVIDENCE = """
UPDATE secflow_platform_workflow_node_run SET evidence = %(evidence)s, updated_at = now()
 WHERE id = %(record)s AND evidence IS NULL
"""
_ASK_AGAIN = """
UPDATE secflow_platform_workflow_node_log SET due_at = now() + %(pause)s, error = %(error)s WHERE id = %(log)s AND due_at = %(due)s
"""
_GIVE_UP = """
UPDATE secflow_platform_workflow_node_log SET due_at = NULL, fetched_at = now(), error = %(error)s
 WHERE id = %(log)s AND due_at = %(due)s
"""
