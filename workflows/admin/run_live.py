"""The part of a run's page that follows what happens: progress, why nodes failed, picture, nodes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone

from secflow.console.display import Table, badge, elapsed, link, list_link, list_url, moment, shortened
from secflow.console.live import LivePart
from workflows.admin.cells import WORKFLOWS
from workflows.admin.picture import PictureEdge, PictureNode, graph_svg
from workflows.admin.state import REASONS, progress_of, reasons_of
from workflows.domain.statuses import NodeStatus
from workflows.models import NodeRun, Run

_NODES = 200


def run_part(run: Run) -> LivePart:
    """The live part of a run or set-up; one query."""
    now = timezone.now()
    records = list(NodeRun.objects.filter(run=run).defer("spec", "evidence").order_by("id"))
    facts = (
        (run.pk, run.status, run.message, run.finished_at),
        [
            (record.pk, record.status, record.message, record.diagnosis, record.started_at, record.finished_at)
            for record in records
        ],
    )

    def context() -> dict[str, Any]:
        failed, held = reasons_of(records)
        return {
            "status_badge": badge(run.status),
            "progress": progress_of(record.status for record in records),
            "run": {
                "link": f"{run.purpose.capitalize()} #{run.number}",
                "started": moment(run.started_at),
                "took": elapsed(run.started_at, run.finished_at, now=now),
                "is_open": run.finished_at is None,
            },
            "message": run.message or "",
            "reasons": failed[:REASONS],
            "more_reasons": list_link(
                WORKFLOWS, "noderun", "All failed nodes", run=run.pk, status__exact=NodeStatus.FAILED.value
            ),
            "held": held[:REASONS],
            "picture": _picture(run, records, now),
            "live_tables": [_node_table(run, records, now)],
        }

    return LivePart(facts, context)


def _picture(run: Run, records: Sequence[NodeRun], now: datetime) -> Any:
    newest = {record.node_id: record for record in records}  # of several attempts the last one speaks
    nodes = [
        PictureNode(
            id=record.node_id,
            name=record.node_name,
            kind=record.node_type,
            status=record.status,
            url=reverse(f"admin:{WORKFLOWS}_noderun_change", args=[quote(str(record.pk))]),
            started_at=record.started_at,
            finished_at=record.finished_at,
            note=shortened(record.message, 300) if record.message else "",
            has_trouble=record.status == NodeStatus.RUNNING and bool(record.diagnosis),
        )
        for record in newest.values()
    ]
    edges = [PictureEdge(source, target) for source, target in run.edges]
    return graph_svg(nodes, edges, title=f"{run.purpose} #{run.number} of {run.instance.name}", now=now)


def _node_table(run: Run, records: Sequence[NodeRun], now: datetime) -> Table:
    return Table(
        "Nodes",
        ("Node", "Type", "Attempt", "Status", "Cluster object", "Started", "Took", "Message"),
        [
            (
                link(WORKFLOWS, "noderun", record.pk, record.node_name),
                record.node_type,
                record.attempt,
                badge(record.status),
                record.resource_name,
                moment(record.started_at),
                elapsed(record.started_at, record.finished_at, now=now),
                shortened(record.message),
            )
            for record in records[:_NODES]
        ],
        more=list_url(WORKFLOWS, "noderun", run=run.pk),
        more_label="All of them in a list",
    )
