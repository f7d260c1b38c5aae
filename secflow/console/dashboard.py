"""The first page: how runs go, what failed lately and why, what waits longest, and whether SecFlow itself is well.

Everybody sees the numbers of what they may read; the state of the installation is for those who may read everything. It asks
the database and the broker, never the cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from secflow.console.chart import columns_svg
from secflow.console.display import Table, badge, link, list_url, moment, shortened, stacked
from secflow.console.figures import (
    Failure,
    Period,
    Waiting,
    ended_by_hour,
    failures,
    instances_by_status,
    longest_waiting,
    open_runs,
)
from secflow.console.navigation import may_view
from secflow.console.roles import actor_of
from secflow.console.vitals import Broker, Fact, age_words, ask_broker, due_rows, freshness, passes
from workflows.domain.actors import Right
from workflows.domain.statuses import InstanceStatus, RunPurpose, RunStatus

WORKFLOWS: Final = "workflows"
_FAILURES = 5
_WAITING = 8


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds what this user may see. The number of queries does not depend on how much there is."""
    return context | overview(request)


def overview(request: HttpRequest) -> dict[str, Any]:
    """The page's numbers, tables and lines."""
    now = timezone.now()
    shown: dict[str, Any] = {"refresh_url": reverse("console-overview"), "now": moment(now)}
    if may_view(request, WORKFLOWS, "workflowinstance"):
        numbers = instances_by_status(request)
        shown["instances"] = _instance_tiles(numbers)
        shown["start"] = {} if numbers else _first_steps(request)
    if may_view(request, WORKFLOWS, "run"):
        period = Period.last_day(now)
        hours = ended_by_hour(request, period)
        shown["runs"] = _run_tiles(open_runs(request), sum(hours, Counter()), period)
        shown["chart"] = columns_svg(hours, since=period.since)
        shown["failures"] = [_failure(failure) for failure in failures(request, period, _FAILURES)]
        shown["failures_url"] = list_url(
            WORKFLOWS, "run", status__exact=RunStatus.FAILED.value, **period.filters("finished_at")
        )
        shown["waiting"] = _waiting_table(longest_waiting(request, _WAITING), now)
    return shown | _vitals(request, now)


def _tile(word: str, number: int, url: str) -> dict[str, Any]:
    return {"word": word, "label": badge(word), "number": number, "url": url}


def _instance_tiles(numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        _tile(word, numbers.get(word, 0), list_url(WORKFLOWS, "workflowinstance", status__exact=word))
        for word in InstanceStatus
    ]


def _run_tiles(running: int, ended: Mapping[str, int], period: Period) -> list[dict[str, Any]]:
    is_run = {"purpose__exact": RunPurpose.RUN.value}
    now = list_url(WORKFLOWS, "run", **is_run, status__exact=RunStatus.RUNNING.value, finished_at__isnull=True)
    return [_tile(RunStatus.RUNNING.value, running, now)] + [
        _tile(
            word,
            ended.get(word, 0),
            list_url(WORKFLOWS, "run", **is_run, status__exact=word, **period.filters("finished_at")),
        )
        for word in (RunStatus.SUCCEEDED.value, RunStatus.FAILED.value, RunStatus.STOPPED.value)
    ]


def _failure(failure: Failure) -> dict[str, Any]:
    run, record = failure.run, failure.record
    return {
        "when": moment(run.finished_at),
        "workflow": link(WORKFLOWS, "workflowinstance", run.instance_id, run.instance.name),
        "node": link(WORKFLOWS, "workflownode", record.node_id, record.node_name) if record else "",
        "run": link(WORKFLOWS, "run", run.pk, f"{run.purpose}\N{NO-BREAK SPACE}#{run.number}"),
        "project": run.instance.project_id,
        "summary": shortened(failure.summary, 240),
        "resolution": shortened(failure.resolution, 320) if failure.resolution else "",
    }


def _waiting_table(rows: list[Waiting], now: datetime) -> Table | None:
    if not rows:
        return None
    return Table(
        "Waiting longest",
        ("What", "Workflow", "For", "Why"),
        [
            (
                stacked(link(WORKFLOWS, row.model, row.pk, row.title), row.kind),
                stacked(
                    link(WORKFLOWS, "workflowinstance", row.instance.pk, row.instance.name), row.instance.project_id
                ),
                age_words(max(0.0, (now - row.since).total_seconds())),
                shortened(row.why, 200),
            )
            for row in rows
        ],
    )


def _first_steps(request: HttpRequest) -> dict[str, str]:
    """Where somebody begins who has nothing yet, by what they may do."""
    user, steps = request.user, {}
    if user.has_perm("templates_app.add_jobtemplate"):
        steps["template"] = reverse("admin:templates_app_jobtemplate_add")
    if user.has_perm("workflows.add_workflowinstance"):
        steps["workflow"] = reverse("admin:workflows_workflowinstance_add")
        steps["import"] = reverse("admin:workflows_workflowinstance_import")
    return steps


def _vitals(request: HttpRequest, now: datetime) -> dict[str, Any]:
    broker = ask_broker()
    shown: dict[str, Any] = {"broker_problem": broker.problem}
    if actor_of(request).has_everywhere(Right.READ):
        due = due_rows(now)
        shown["system"] = [*freshness(broker.beats, now), *passes(now), *_processes(broker)]
        shown["queue"] = due
        shown["broker_messages"] = broker.messages  # `messages` are those that Django shows to people
        oldest = max((row.late_seconds for row in due), default=0.0)
        shown["oldest_due"] = age_words(oldest) if oldest else ""
        shown["is_late"] = any(row.is_late for row in due)
    return shown


def _processes(broker: Broker) -> list[Fact]:
    return [
        Fact(f"{beat.role.capitalize()} {beat.pid}", f"alive {age_words(beat.age)} ago", is_well=True, note=beat.host)
        for beat in broker.beats
    ]


def overview_view(request: HttpRequest) -> HttpResponse:
    """The inner part of the first page alone, for the script that keeps the page up to date."""
    return TemplateResponse(request, "console/overview.html", overview(request))


urlpatterns = [path("", admin.site.admin_view(overview_view), name="console-overview")]
