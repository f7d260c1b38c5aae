"""Log records of an instance: one per node and run (contract D.9). Whoever calls has checked the actor's right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from secflow.http.query import Page
from workflows.models import NodeLog, NodeRun

_COLUMNS: Final = (
    "id",
    "node_id",
    "node_name",
    "node_type",
    "instance_id",
    "instance__project_id",
    "resource_name",
    "resource_type",
    "status",
    "started_at",
    "finished_at",
    "message",
    "diagnosis",
    "evidence",
    "created_at",
    "updated_at",
    "run__number",
    "run__purpose",
)
_LOG_COLUMNS: Final = (
    "node_run_id",
    "part",
    "text",
    "pod_name",
    "container",
    "status_when_fetched",
    "fetched_at",
    "error",
)


@dataclass(frozen=True, slots=True)
class RecordList:
    """One page of records, newest first, each with the texts kept for it by part (`init`, `execution`)."""

    total: int
    rows: list[dict[str, Any]]
    texts: dict[int, dict[str, dict[str, Any]]]


def list_log_records(*, instance_id: str, node_id: str | None, page: Page) -> RecordList:
    """The records of an instance or of one of its nodes, also of a deleted one. Unknown node: none. Three queries."""
    records = NodeRun.objects.filter(instance_id=instance_id)
    if node_id is not None:
        records = records.filter(node_id=node_id)
    rows = list(records.order_by("-id").values(*_COLUMNS)[page.window])
    texts: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for log in NodeLog.objects.filter(node_run_id__in=[row["id"] for row in rows]).values(*_LOG_COLUMNS):
        texts[log["node_run_id"]][log["part"]] = log
    return RecordList(total=records.count(), rows=rows, texts=texts)
