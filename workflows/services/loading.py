"""Reading what observations are applied to. Every hand-off comes this way, so it is plain SQL and only the columns needed."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model

from workflows.models import NodeRun, Run, WorkflowInstance, Workload


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


def lock_for_facts(instance_id: str) -> WorkflowInstance | None:
    """The instance under its lock, None when it is gone. Columns that facts do not need are read when asked for."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [instance_id])
        row = cursor.fetchone()
    if row is None:
        return None
    instance = _row(WorkflowInstance, _INSTANCE, row[:-1])
    instance.locked_at = row[-1]
    return instance


def load_facts(
    instance: WorkflowInstance, workload_ids: Collection[int]
) -> tuple[dict[int, Workload], dict[int, NodeRun]]:
    """The wanted ones among these workloads, and their records in the open run, both by workload id; one statement.

    All records share one run object, without its graph.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [instance.pk, list(workload_ids)])
        rows = cursor.fetchall()
    workloads: dict[int, Workload] = {}
    records: dict[int, NodeRun] = {}
    run: Run | None = None
    record_at, run_at = len(_WORKLOAD), len(_WORKLOAD) + len(_RECORD)
    for row in rows:
        workload = _row(Workload, _WORKLOAD, row[:record_at])
        workloads[workload.pk] = workload
        if row[record_at] is None:
            continue
        record = _row(NodeRun, _RECORD, row[record_at:run_at])
        if isinstance(record.diagnosis, str):  # a plain cursor gives JSON as text
            record.diagnosis = json.loads(record.diagnosis)
        run = run or _row(Run, _RUN, row[run_at:])
        record.run = run
        records[workload.pk] = record
    return workloads, records


def statuses_of(run: Run) -> list[tuple[str, str, str]]:
    """Node id, status and node type of every record of the run."""
    with connection.cursor() as cursor:
        cursor.execute(_STATUSES, [run.pk])
        return cursor.fetchall()


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
