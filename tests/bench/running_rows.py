"""`python -m tests.bench.running_rows < JSON`: the rows of nodes whose objects are in the cluster and run (see `sync`)."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from k8s_bridge.specs import JOB  # noqa: E402
from workflows.models import NodeRun, Run, WorkflowInstance, WorkflowNode, Workload  # noqa: E402

_BATCH = 1000


def write(*, project: str, template: str, made: list[dict[str, Any]]) -> None:
    """One run of one instance for each `instance_id`, one running node for each item; its attempt is the id of its rows."""
    now = timezone.now()
    runs = {item["instance_id"]: item["run_id"] for item in made}
    with transaction.atomic():
        WorkflowInstance.objects.bulk_create(
            WorkflowInstance(
                id=pk, name=pk, project_id=project, status="running", run_count=1, created_by="1", started_at=now
            )
            for pk in runs
        )
        Run.objects.bulk_create(
            Run(id=number, instance_id=pk, number=1, trigger="start", actor="1", started_at=now)
            for pk, number in runs.items()
        )
        WorkflowNode.objects.bulk_create(
            (_node(item, template, now) for item in made),
            batch_size=_BATCH,
        )
        NodeRun.objects.bulk_create((_record(item, now) for item in made), batch_size=_BATCH)
        Workload.objects.bulk_create((_workload(item, now) for item in made), batch_size=_BATCH)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE secflow_platform_workflow_node_run SET workload_id = id")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _node(item: dict[str, Any], template: str, now: Any) -> WorkflowNode:
    pk = item["node_id"]
    return WorkflowNode(
        id=pk,
        node_id=pk,
        instance_id=item["instance_id"],
        node_type="job",
        template_id=template,
        name=pk,
        status="running",
        started_at=now,
    )


def _record(item: dict[str, Any], now: Any) -> NodeRun:
    return NodeRun(
        id=item["attempt"],
        run_id=item["run_id"],
        instance_id=item["instance_id"],
        node_id=item["node_id"],
        node_name=item["node_id"],
        node_type="job",
        status="running",
        spec=item["spec"],
        resource_name=item["spec"]["name"],
        resource_type=JOB,
        timeout_seconds=86400,
        started_at=now,
        clock_started_at=now,
    )


def _workload(item: dict[str, Any], now: Any) -> Workload:
    return Workload(
        id=item["attempt"],
        instance_id=item["instance_id"],
        node_id=item["node_id"],
        node_run_id=item["attempt"],
        run_number=1,
        kind=JOB,
        namespace=item["spec"]["namespace"],
        name=item["spec"]["name"],
        state="live",
        uid=item["uid"],
        is_pulled=True,
        launched_at=now - timedelta(hours=1),
    )


if __name__ == "__main__":
    write(**json.load(sys.stdin))
