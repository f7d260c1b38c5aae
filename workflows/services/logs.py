"""Logs of nodes: read live from the newest pod, and kept when a node ends (contract C.11, D.5, D.9)."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from k8s_bridge.errors import ClusterError, Rejected
from k8s_bridge.errors import NotFound as NotInCluster
from k8s_bridge.names import namespace_of
from workflows.domain.errors import Invalid, NotFound
from workflows.models import NodeLog, NodeRun, WorkflowNode
from workflows.services.backoff import backoff
from workflows.services.cluster import gateway, translated

logger = logging.getLogger(__name__)

HOLD = timedelta(seconds=30)
KEPT_LINES = 1000
MOST_TRIES = 5


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
                container=container,
                tail_lines=tail_lines,
                previous=previous,
                timestamps=timestamps,
                limit_bytes=settings.SECFLOW.log_limit_bytes,
            )
        except NotInCluster as err:
            raise NotFound("pod", node.k8s_resource_name) from err
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


def capture_logs(*, node_run_ids: Sequence[int], is_last_chance: bool = False) -> int:
    """Fetches and keeps the texts that are due for these records. Returns how many were kept.

    A text that cannot be had any more is noted as such; a cluster that does not answer is asked again later, unless this is
    the last chance, because the pods are about to go.
    """
    kept = 0
    due = NodeLog.objects.filter(node_run_id__in=node_run_ids, due_at__isnull=False)
    for log in due.select_related("node_run", "node_run__instance").defer("node_run__spec"):
        now = timezone.now()
        if not NodeLog.objects.filter(pk=log.pk, due_at=log.due_at).update(due_at=now + HOLD, tries=F("tries") + 1):
            continue  # somebody else has it
        kept += _capture(log, is_last_chance=is_last_chance)
    return kept


def _capture(log: NodeLog, *, is_last_chance: bool) -> bool:
    record: NodeRun = log.node_run
    row = NodeLog.objects.filter(pk=log.pk)
    try:
        found = gateway().pod_logs(
            namespace_of(record.instance.project_id),
            record.resource_name,
            tail_lines=KEPT_LINES,
            limit_bytes=settings.SECFLOW.log_limit_bytes,
        )
    except ClusterError as err:
        if err.retryable and not is_last_chance and log.tries + 1 < MOST_TRIES:
            pause = backoff(log.tries + 1, retry_after=err.retry_after, spread=random.random())  # noqa: S311
            row.update(due_at=timezone.now() + pause, error=str(err))
        else:
            row.update(due_at=None, fetched_at=timezone.now(), error=f"the text could not be kept: {err}")
        return False
    row.update(
        text=found.text.replace("\x00", "\ufffd"),  # PostgreSQL has no place for NUL in a text
        pod_name=found.pod_name,
        container=found.container,
        fetched_at=timezone.now(),
        due_at=None,
        error=None,
    )
    NodeRun.objects.filter(pk=record.pk).update(updated_at=timezone.now())
    return True
