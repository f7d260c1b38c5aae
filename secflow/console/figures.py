"""The numbers of the first page: how runs go, what failed and why, and what waits. Everything of what the user may see.

Each function costs a fixed number of queries, which use indexes of unfinished or recent rows only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, F, Func, IntegerField, Q, QuerySet, Value
from django.http import HttpRequest
from django.utils import timezone

from secflow.console.roles import visible_by_instance, visible_instances
from workflows.domain.statuses import NodeStatus, RunPurpose, RunStatus, WorkloadState
from workflows.models import Cleanup, NodeRun, Run, WorkflowInstance, Workload

HOURS: Final = 24
_HEAVY: Final = ("instance__edges", "instance__nodes")


@dataclass(frozen=True, slots=True)
class Period:
    """Two moments to the second, both included: what the filter of a list can say as well."""

    since: datetime
    until: datetime

    @classmethod
    def last_day(cls, now: datetime) -> Period:
        """The last 24 hours, with the second that is just passing."""
        until = now.replace(microsecond=0) + timedelta(seconds=1)
        return cls(until - timedelta(hours=HOURS), until)

    def filters(self, field: str) -> dict[str, str]:
        """The parameters by which a list shows the same rows, in the zone of the pages."""
        ends = (("from", timezone.localtime(self.since)), ("to", timezone.localtime(self.until)))
        return {
            f"{field}_{end}_{place}": moment.strftime(form)
            for end, moment in ends
            for place, form in enumerate(("%Y-%m-%d", "%H:%M:%S"))
        }

    def covers(self, field: str) -> Q:
        """The rows whose moment lies in the period."""
        return Q(**{f"{field}__gte": self.since, f"{field}__lte": self.until})


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed run with the node that failed first and what is known about it."""

    run: Run
    record: NodeRun | None

    @property
    def summary(self) -> str:
        """What happened, in a sentence."""
        said = self._diagnosis.get("summary") or (self.record.message if self.record else None) or self.run.message
        return str(said or "no reason was recorded")

    @property
    def resolution(self) -> str:
        """What to do about it, as far as the diagnosis says."""
        return str(self._diagnosis.get("resolution") or "")

    @property
    def _diagnosis(self) -> dict[str, Any]:
        return (self.record.diagnosis if self.record else None) or {}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that should have gone on already: what, of which instance, since when, and why as far as is known."""

    kind: str
    model: str
    pk: object
    title: str
    instance: WorkflowInstance
    since: datetime
    why: str


def instances_by_status(request: HttpRequest) -> dict[str, int]:
    """How many instances there are in each status. One query."""
    rows = visible_instances(request, WorkflowInstance.objects.all())
    return dict(rows.order_by().values_list("status").annotate(count=Count("*")))


def open_runs(request: HttpRequest) -> int:
    """How many runs are open. One query."""
    return _runs(request).filter(status=RunStatus.RUNNING, finished_at__isnull=True).count()


def ended_by_hour(request: HttpRequest, period: Period) -> list[Counter[str]]:
    """For each hour of the period, oldest first, how many runs ended in which status. One query."""
    hour = Func(
        F("finished_at"),
        Value(period.since),
        template="floor(extract(epoch from (%(expressions)s)) / 3600)::int",
        arg_joiner=" - ",
        output_field=IntegerField(),
    )
    rows = _runs(request).filter(period.covers("finished_at")).annotate(hour=hour)
    counted = rows.order_by().values_list("hour", "status").annotate(count=Count("*"))
    hours: list[Counter[str]] = [Counter() for _ in range(HOURS)]
    for number, status, count in counted:
        # The end of the period is part of it, so its very last moment would be an hour of its own.
        hours[min(number, HOURS - 1)][status] += count
    return hours


def failures(request: HttpRequest, period: Period, most: int) -> list[Failure]:
    """The newest failed runs and set-ups of the period. Two queries."""
    rows = visible_by_instance(request, Run.objects.filter(period.covers("finished_at"), status=RunStatus.FAILED))
    runs = list(rows.select_related("instance").defer("edges", *_HEAVY).order_by("-finished_at", "-id")[:most])
    failed = NodeRun.objects.filter(run_id__in=[run.pk for run in runs], status=NodeStatus.FAILED)
    first = failed.order_by("run_id", "finished_at", "id").distinct("run_id").defer("spec", "evidence")
    record_of = {record.run_id: record for record in first}
    return [Failure(run, record_of.get(run.pk)) for run in runs]


def longest_waiting(request: HttpRequest, most: int) -> list[Waiting]:
    """What waits longest, oldest first: launches, pods that do not begin, set-ups and removals. Four queries."""
    found = [*_launches(request, most), *_nodes(request, most), *_setups(request, most), *_cleanups(request, most)]
    return sorted(found, key=lambda waiting: waiting.since)[:most]


def _runs(request: HttpRequest) -> QuerySet[Run]:
    return visible_by_instance(request, Run.objects.filter(purpose=RunPurpose.RUN))


def launching() -> QuerySet[Workload]:
    """Cluster objects that are still to be made."""
    return Workload.objects.filter(state=WorkloadState.LAUNCHING, due_at__isnull=False)


def _launches(request: HttpRequest, most: int) -> list[Waiting]:
    rows = visible_by_instance(request, launching())
    rows = rows.select_related("instance", "node_run").defer(
        *_HEAVY, "node_run__spec", "node_run__diagnosis", "node_run__evidence"
    )
    return [
        Waiting(
            "Launch",
            "noderun",
            row.node_run_id,
            row.node_run.node_name,
            row.instance,
            row.created_at,
            row.error or (f"tried {row.tries} times" if row.tries else "no worker has taken it yet"),
        )
        for row in rows.order_by("created_at")[:most]
    ]


def _nodes(request: HttpRequest, most: int) -> list[Waiting]:
    """Nodes whose pods were asked for and have not begun: their clock does not run."""
    rows = NodeRun.objects.filter(
        due_at__isnull=False, clock_started_at__isnull=True, status=NodeStatus.RUNNING, workload__state="live"
    )
    rows = visible_by_instance(request, rows).select_related("instance", "workload")
    rows = rows.defer(*_HEAVY, "spec", "evidence").order_by("started_at")
    return [
        Waiting(
            "Node",
            "workflownode",
            row.node_id,
            row.node_name,
            row.instance,
            row.started_at or row.created_at,
            row.message or "its pod has not begun yet",
        )
        for row in rows[:most]
    ]


def _setups(request: HttpRequest, most: int) -> list[Waiting]:
    rows = Run.objects.filter(purpose=RunPurpose.SETUP, finished_at__isnull=True, instance__status="initializing")
    rows = visible_by_instance(request, rows).select_related("instance").defer("edges", *_HEAVY).order_by("started_at")
    return [
        Waiting(
            "Set-up",
            "run",
            row.pk,
            "apps are being made",
            row.instance,
            row.started_at,
            row.instance.message or "it ends when every Deployment is made",
        )
        for row in rows[:most]
    ]


def _cleanups(request: HttpRequest, most: int) -> list[Waiting]:
    rows = visible_by_instance(request, Cleanup.objects.select_related("instance").defer(*_HEAVY))
    return [
        Waiting(
            "Clean-up",
            "cleanup",
            row.pk,
            "to be deleted" if row.goal == "delete" else "objects are being removed",
            row.instance,
            row.requested_at,
            row.error or (f"looked {row.tries} times" if row.tries else "no worker has taken it yet"),
        )
        for row in rows.order_by("requested_at")[:most]
    ]
