"""Logs of nodes: read live from the newest pod, and kept when a node ends (contract C.11, D.5, D.9)."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from k8s_bridge.errors import ClusterError, Rejected
from k8s_bridge.errors import NotFound as NotInCluster
from k8s_bridge.names import container_names, namespace_of
from k8s_bridge.results import PodLogs
from workflows.dispatch import CAPTURE_LOGS, send_after_commit
from workflows.domain.errors import Invalid, NotFound
from workflows.domain.statuses import RunPurpose
from workflows.models import NodeLog, NodeRun, WorkflowNode
from workflows.services.backoff import backoff
from workflows.services.cluster import gateway, translated
from workflows.services.diagnoses import clean
from workflows.services.preflight import templates_of

logger = logging.getLogger(__name__)

HOLD = timedelta(seconds=30)
KEPT_LINES = 1000
MOST_TRIES = 5
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
                container=_name_in_pod(node, container),
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


def _name_in_pod(node: WorkflowNode, container: str | None) -> str | None:
    """The pod's name of a container that is given as the template names it; any other name is left to the gateway."""
    template = templates_of([node]).get(node.template_id)
    names = [item["name"] for item in template.containers] if template is not None else []
    if container is None or container not in names:
        return container
    return container_names(names)[names.index(container)]


def want_logs(records: Sequence[NodeRun], *, now: datetime, pods: Mapping[int, str] | None = None) -> None:
    """Notes that the text of these nodes is to be fetched, and wakes a worker for it after commit (contract D.9).

    `pods` names, by record id, the pods whose text it is, where that is known: it saves looking for them.
    """
    if not records:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _WANT,
            {
                "records": [record.pk for record in records],
                "parts": [_part(record).value for record in records],
                "pods": [(pods or {}).get(record.pk) for record in records],
                "statuses": [str(record.status) for record in records],
                "now": now,
            },
        )
        is_new = cursor.rowcount > 0
    if is_new:
        send_after_commit(CAPTURE_LOGS, node_run_ids=[record.pk for record in records])


def _part(record: NodeRun) -> NodeLog.Part:
    return NodeLog.Part.INIT if record.run.purpose == RunPurpose.SETUP else NodeLog.Part.EXECUTION


_WANT = """
INSERT INTO secflow_platform_workflow_node_log (node_run_id, part, pod_name, status_when_fetched, text, tries, due_at)
SELECT node_run_id, part, pod_name, status, '', 0, %(now)s
  FROM unnest(%(records)s::bigint[], %(parts)s::text[], %(pods)s::text[], %(statuses)s::text[])
       AS wanted(node_run_id, part, pod_name, status)
    ON CONFLICT (node_run_id, part) DO NOTHING
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
    project_id: str


def capture_logs(*, node_run_ids: Sequence[int]) -> int:
    """Fetches and keeps the texts that are due for these records, several at once. Returns how many were kept.

    A text that cannot be had any more is noted as such; a cluster that does not answer is asked again later.
    """
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"records": list(node_run_ids), "hold": HOLD}
        cursor.execute(_TAKE, parameters)
        mine = [_Due(*row) for row in cursor.fetchall()]
    texts = _pool().map(_fetch, mine) if len(mine) > 1 else map(_fetch, mine)
    return sum(_keep(log, text) for log, text in zip(mine, texts, strict=True))


_TAKE = """
UPDATE secflow_platform_workflow_node_log AS l SET due_at = now() + %(hold)s, tries = l.tries + 1
  FROM secflow_platform_workflow_node_run AS n, secflow_platform_workflow_workflow_instance AS i
 WHERE l.id IN (
         SELECT id FROM secflow_platform_workflow_node_log
          WHERE node_run_id = ANY(%(records)s) AND due_at IS NOT NULL ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
   AND n.id = l.node_run_id AND i.id = n.instance_id
RETURNING l.id, l.node_run_id, l.due_at, l.tries, l.pod_name, n.spec -> 'containers' -> 0 ->> 'name', n.resource_name,
          i.project_id
"""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix="logs")


def _fetch(log: _Due) -> PodLogs | ClusterError:
    """Talks to the cluster only: the threads of the pool keep no connection to the database."""
    namespace = namespace_of(log.project_id)
    most = settings.SECFLOW.log_limit_bytes
    try:
        if log.pod_name is not None:
            with suppress(NotInCluster):  # another pod of the node may still be there
                return gateway().read_log(
                    namespace, log.pod_name, log.container, tail_lines=KEPT_LINES, limit_bytes=most
                )
        return gateway().pod_logs(namespace, log.resource_name, tail_lines=KEPT_LINES, limit_bytes=most)
    except ClusterError as err:
        return err


def _keep(log: _Due, found: PodLogs | ClusterError) -> bool:
    row = NodeLog.objects.filter(pk=log.pk, due_at=log.due_at)  # whoever took it over since keeps what it found
    if isinstance(found, PodLogs):
        kept = row.update(
            text=clean(found.text),
            pod_name=found.pod_name,
            container=found.container,
            fetched_at=timezone.now(),
            due_at=None,
            error=None,
        )
        NodeRun.objects.filter(pk=log.node_run_id).update(updated_at=timezone.now())
        return bool(kept)
    if found.retryable and log.tries < MOST_TRIES:
        pause = backoff(log.tries, retry_after=found.retry_after, spread=random.random())  # noqa: S311
        row.update(due_at=Now() + pause, error=clean(str(found)))
    else:
        words = f"the text could not be kept: {clean(str(found))}"
        row.update(due_at=None, fetched_at=timezone.now(), error=words)
    return False
