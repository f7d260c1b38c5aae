"""Log records of an instance: one per node and run (contract D.9). Whoever calls has checked the actor's right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, F, Func, IntegerField, OuterRef, TextField, Value, When
from django.db.models.functions import Concat, Right

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
    "pod_name",
    "container",
    "status_when_fetched",
    "fetched_at",
    "error",
)


# A page is held in memory whole, several times over: rows, JSON, bytes. Texts of LOG_LIMIT_BYTES each would be too much.
PAGE_CHARACTERS: Final = 16 * 1024 * 1024
_LEFT_OUT: Final = "[the beginning is left out: ask for fewer records at once with page_size]\n"


class _Bytes(Func):
    function = "octet_length"
    output_field = IntegerField()


@dataclass(frozen=True, slots=True)
class RecordList:
    """One page of records, newest first, each with the texts kept for it by part (`init`, `execution`)."""

    total: int
    rows: list[dict[str, Any]]
    texts: dict[int, dict[str, dict[str, Any]]]


def list_log_records(*, instance_id: str, node_id: str | None, page: Page) -> RecordList:
    """The records of an instance or of one of its nodes, also of a deleted one. Unknown node: none. Three queries.

    All texts together hold at most `PAGE_CHARACTERS` (and one line each that says so): of the longest ones the end is given.
    """
    records = NodeRun.objects.filter(instance_id=instance_id)
    if node_id is not None:
        records = records.filter(node_id=node_id)
    # The sizes are told without reading the texts. No text has more characters than bytes.
    logs = NodeLog.objects.annotate(size=_Bytes("text"))
    sizes = ArraySubquery(logs.filter(node_run=OuterRef("pk")).values("size"))
    rows = list(records.annotate(sizes=sizes).order_by("-id").values(*_COLUMNS, "sizes")[page.window])
    most = fair_share((size for row in rows for size in row["sizes"]), PAGE_CHARACTERS)
    texts: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    shortened = Case(
        When(size__gt=most, then=Concat(Value(_LEFT_OUT), Right("text", most))),
        default=F("text"),
        output_field=TextField(),
    )
    kept = logs.filter(node_run_id__in=[row["id"] for row in rows]).annotate(shortened=shortened)
    for log in kept.values(*_LOG_COLUMNS, "shortened"):
        texts[log["node_run_id"]][log["part"]] = {**log, "text": log["shortened"]}
    return RecordList(total=records.count(), rows=rows, texts=texts)


def fair_share(sizes: Iterable[int], budget: int) -> int:
    """The bound at which the sizes, each cut down to it, come to at most the budget; the budget when they do so uncut, since a
    text may have been written after its size was read.
    """
    left, waiting = budget, sorted(sizes)
    for place, size in enumerate(waiting):
        share = left // (len(waiting) - place)
        if size > share:
            return share
        left -= size
    return budget
