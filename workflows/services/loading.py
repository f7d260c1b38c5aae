"""Reading what observations are applied to. Every hand-off comes this way, so it is plain SQL and only the columns needed."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from workflows.domain.statuses import NodeStatus
from workflows.models import NodeRun, Run, WorkflowInstance, Workload
from workflows.services.statements import Rows, Statements

Statuses = dict[str, tuple[NodeStatus, str]]


def _columns_of(model: type[Model], names: str) -> tuple[str, ...]:
    """The named columns in the order of the model, which is the one that `from_db` wants."""
    wanted = set(names.split())
    return tuple(field.attname for field in model._meta.concrete_fields if field.attname in wanted)


_INSTANCE = _columns_of(WorkflowInstance, "id status project_id version has_warning message run_count")
_WORKLOAD = _columns_of(
    Workload, "id instance_id node_id kind name state uid is_pulled is_ready is_finished due_at lease_until"
)
_RECORD = _columns_of(
    NodeRun,
    "id run_id instance_id workload_id node_id node_name node_type status message diagnosis timeout_seconds"
    " clock_started_at clock_used due_at due_reason",
)
_RUN = _columns_of(Run, "id instance_id number purpose status finished_at")

M = TypeVar("M", bound=Model)


@dataclass(slots=True)
class Facts:
    """What observations of one locked instance are applied to. Workloads are the wanted ones among those observed, records those of
    the open run, both by workload id; all records share one run object, without its graph. `statuses` has every node of the open
    run: id -> (status, node type); None when it was not asked for.
    """

    instance: WorkflowInstance
    workloads: dict[int, Workload] = field(default_factory=dict)
    records: dict[int, NodeRun] = field(default_factory=dict)
    run: Run | None = None
    statuses: Statuses | None = None


def read_facts(instance_id: str, workload_ids: Collection[int], *, with_statuses: bool) -> Facts | None:
    """Locks the instance and reads what is known of these workloads, in one round trip. None when the instance is gone.

    Columns that facts do not need are read when asked for.
    """
    answers: list[Rows] = []

    def keep(rows: Rows, _: int) -> None:
        answers.append(rows)

    statements = Statements()
    statements.add(_LOCK, [instance_id], keep)
    statements.add(_LOAD, [instance_id, list(workload_ids)], keep)
    if with_statuses:
        statements.add(_STATUSES_OF_OPEN, [instance_id], keep)
    statements.send()
    locked, loaded, *listed = answers
    if not locked:
        return None
    facts = Facts(_instance(locked[0]))
    _fill(facts, loaded)
    if listed:
        facts.statuses = _statuses(listed[0])
    return facts


def _instance(row: tuple[Any, ...]) -> WorkflowInstance:
    instance = _row(WorkflowInstance, _INSTANCE, row[:-1])
    instance.locked_at = row[-1]
    return instance


def _fill(facts: Facts, rows: Rows) -> None:
    record_at, run_at = len(_WORKLOAD), len(_WORKLOAD) + len(_RECORD)
    for row in rows:
        workload = _row(Workload, _WORKLOAD, row[:record_at])
        facts.workloads[workload.pk] = workload
        if row[record_at] is None:
            continue
        record = _row(NodeRun, _RECORD, row[record_at:run_at])
        if isinstance(record.diagnosis, str):  # a plain cursor gives JSON as text
            record.diagnosis = json.loads(record.diagnosis)
        facts.run = facts.run or _row(Run, _RUN, row[run_at:])
        record.run = facts.run
        facts.records[workload.pk] = record


def statuses_of(run: Run) -> Statuses:
    """Status and node type of every node of the run, by node id."""
    found: list[tuple[Any, ...]] = []
    statements = Statements()
    statements.add(_STATUSES, [run.pk], lambda rows, _: found.extend(rows))
    statements.send()
    return _statuses(found)


def _statuses(rows: Rows) -> Statuses:
    return {node_id: (NodeStatus(status), node_type) for node_id, status, node_type in rows}


def _row(model: type[M], names: tuple[str, ...], values: tuple[Any, ...]) -> M:
    return model.from_db(DEFAULT_DB_ALIAS, names, values)


def _listed(alias: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


# The column names above are constants of this module: nothing of a caller gets into these texts.
_LOCK = f"""
SELECT {_listed("i", _INSTANCE)}, clock_timestamp()
  FROM secflow_platform_workflow_workflow_instance AS i WHERE i.id = %s FOR NO KEY UPDATE
"""  # noqa: S608
_LOAD = f"""
SELECT {_listed("w", _WORKLOAD)}, {_listed("n", _RECORD)}, {_listed("r", _RUN)}
  FROM secflow_platform_workflow_workload AS w
  LEFT JOIN (secflow_platform_workflow_node_run AS n
             JOIN secflow_platform_workflow_run AS r ON r.id = n.run_id AND r.finished_at IS NULL) ON n.workload_id = w.id
 WHERE w.instance_id = %s AND w.id = ANY(%s) AND w.state IN ('launching', 'live')
"""  # noqa: S608
_STATUSES = "SELECT node_id, status, node_type FROM secflow_platform_workflow_node_run WHERE run_id = %s"
_STATUSES_OF_OPEN = """
SELECT n.node_id, n.status, n.node_type
  FROM secflow_platform_workflow_run AS r JOIN secflow_platform_workflow_node_run AS n ON n.run_id = r.id
 WHERE r.instance_id = %s AND r.finished_at IS NULL
"""
