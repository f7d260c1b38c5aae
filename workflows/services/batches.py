"""What many observations of one instance change, written together: a large fan-out must not cost a query for each fact."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model

from workflows.domain.statuses import NodeStatus
from workflows.domain.transitions import NODE_MOVES, SETUP_MOVES, NodeEvent, SetupEvent
from workflows.models import NodeRun, WorkflowNode, Workload
from workflows.services.journal import SYSTEM, Entry
from workflows.services.loading import Facts
from workflows.services.moves import add_move
from workflows.services.statements import Statements, update_rows

LATE = timedelta(seconds=5)  # what ended longer ago than this was not seen as it happened


class Batch:
    """Changes to the rows of one locked instance. The objects show them at once, the database after `flush`.

    Rows that change alike share one UPDATE. A row that changes a second time makes what waits be added to the statements first,
    so the order of the changes of one row is kept.
    """

    def __init__(self, facts: Facts) -> None:
        self.run = facts.run
        self.records = facts.records
        self.now: datetime = facts.instance.locked_at
        self.statuses = facts.statuses
        self.writes = Statements()
        self.entries: list[Entry] = []
        self.ended: list[NodeRun] = []
        self.pods: dict[int, str] = {}  # record id -> the pod that decided its end
        self.confirm: list[int] = []
        self.unwanted: list[int] = []  # workloads that are to be removed, because their nodes were given up
        self.moved = 0
        self._moves: dict[tuple[NodeEvent | SetupEvent, str | None, datetime | None], list[str]] = defaultdict(list)
        self._updates: dict[tuple[type[Model], str], tuple[dict[str, Any], list[int | str]]] = {}
        self._waiting: set[tuple[type[Model], int | str]] = set()

    def change_workload(self, workload: Workload, **changes: Any) -> None:
        self._change(Workload, workload.pk, changes)
        _show(workload, changes)

    def change_record(self, record: NodeRun, **changes: Any) -> None:
        self._change(NodeRun, record.pk, changes)
        _show(record, changes)

    def change_node(self, node_id: str, **changes: Any) -> None:
        self._change(WorkflowNode, node_id, changes)

    def move(
        self,
        record: NodeRun,
        event: NodeEvent | SetupEvent,
        message: str | None,
        diagnosis: dict[str, str] | None,
        *,
        pod: str | None = None,
        finished_at: datetime | None = None,
    ) -> None:
        """Moves the record and its node by an event, with a journal entry; nothing when the table does not allow it.

        `finished_at` is when the cluster says that it ended. It counts when we hear of it late, after an outage; otherwise our own
        time is more exact, because the cluster's has whole seconds.
        """
        sources, target = NODE_MOVES[event] if isinstance(event, NodeEvent) else SETUP_MOVES[event]
        if record.status not in sources:
            return
        if diagnosis != record.diagnosis:
            self.change_record(record, diagnosis=diagnosis)
        self._order(NodeRun, record.pk, WorkflowNode, record.node_id)
        is_late = finished_at is not None and finished_at < self.now - LATE
        self._moves[event, message, finished_at if is_late else None].append(record.node_id)
        record.status, record.message = target, message
        if self.statuses is not None:
            self.statuses[record.node_id] = (target, record.node_type)
        self.moved += 1
        data = {"diagnosis": diagnosis} if diagnosis else {}
        self.entries.append(
            Entry(f"node.{target.value}", SYSTEM, message or "", record.node_id, record.run.number, data)
        )
        if target in (NodeStatus.SUCCEEDED, NodeStatus.FAILED):
            self.ended.append(record)
            if pod is not None:
                self.pods[record.pk] = pod

    def flush(self) -> None:
        """Adds what waits to the statements."""
        for (event, message, finished_at), node_ids in self._moves.items():
            if self.run is not None:
                add_move(self.writes, self.run, node_ids, event, now=self.now, message=message, finished_at=finished_at)
        for (model, _), (changes, pks) in self._updates.items():
            update_rows(self.writes, model, pks, changes)
        self._moves.clear()
        self._updates.clear()
        self._waiting.clear()

    def _change(self, model: type[Model], pk: int | str, changes: dict[str, Any]) -> None:
        self._order(model, pk)
        _, pks = self._updates.setdefault((model, repr(sorted(changes.items()))), (changes, []))
        pks.append(pk)

    def _order(self, *rows: Any) -> None:
        keys = set(zip(rows[::2], rows[1::2], strict=True))
        if keys & self._waiting:
            self.flush()
        self._waiting |= keys


def _show(row: Model, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(row, name, value)
