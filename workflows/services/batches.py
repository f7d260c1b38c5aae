"""What many observations of one instance change, written together: a large fan-out must not cost a query for each fact."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db.models import Model

from workflows.domain.statuses import NodeStatus
from workflows.domain.transitions import NODE_MOVES, SETUP_MOVES, NodeEvent, SetupEvent
from workflows.models import NodeRun, Run, WorkflowNode, Workload
from workflows.services.advancing import SYSTEM
from workflows.services.journal import Entry
from workflows.services.moves import move_nodes


class Batch:
    """Changes to the rows of one locked instance. The objects show them at once, the database after `flush`.

    Rows that change alike share one UPDATE. A row that changes a second time makes what waits be written first, so the order
    of the changes of one row is kept.
    """

    def __init__(self, run: Run | None, records: dict[int, NodeRun], now: datetime) -> None:
        self.run = run
        self.records = records  # of the open run, by workload id
        self.now = now
        self.entries: list[Entry] = []
        self.ended: list[NodeRun] = []
        self.pods: dict[int, str] = {}  # record id -> the pod that decided its end
        self.confirm: list[int] = []
        self.moved = 0
        self._moves: dict[tuple[NodeEvent | SetupEvent, str | None], list[str]] = defaultdict(list)
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
    ) -> None:
        """Moves the record and its node by an event, with a journal entry; nothing when the table does not allow it."""
        sources, target = NODE_MOVES[event] if isinstance(event, NodeEvent) else SETUP_MOVES[event]
        if record.status not in sources:
            return
        if diagnosis != record.diagnosis:
            self.change_record(record, diagnosis=diagnosis)
        self._order(NodeRun, record.pk, WorkflowNode, record.node_id)
        self._moves[event, message].append(record.node_id)
        record.status, record.message = target, message
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
        """Writes what waits."""
        for (event, message), node_ids in self._moves.items():
            if self.run is not None:
                move_nodes(self.run, node_ids, event, now=self.now, message=message)
        for (model, _), (changes, pks) in self._updates.items():
            model._default_manager.filter(pk__in=pks).update(**changes)
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
