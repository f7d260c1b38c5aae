"""What the first page shows: how runs go, what failed lately, what is still to be removed, and who is alive.

It asks the database and the broker, never the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from datetime import datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest
from django.utils import timezone

from secflow.console.display import Table, badge, link, list_url, moment, shortened
from secflow.console.navigation import may_view
from secflow.runtime.heartbeat import ROLES, Beat, read
from workflows.domain.statuses import InstanceStatus, RunPurpose, RunStatus
from workflows.models import Cleanup, Run, WorkflowInstance

PERIOD = timedelta(hours=24)
PATIENCE_SECONDS = 2.0  # a broker that does not answer must not hold the page
_ROWS = 10
WORKFLOWS = "workflows"

_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="console-heartbeats")


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds `cards` and `tables` of what this user may view. At most five queries."""
    now = timezone.now()
    cards: list[tuple[str, list[dict[str, Any]]]] = []
    tables: list[Table] = []
    if may_view(request, WORKFLOWS, "workflowinstance"):
        cards.append(("Instances now", _instance_cards()))
    if may_view(request, WORKFLOWS, "run"):
        cards.append(("Runs of the last 24 hours", _run_cards(now)))
        tables.append(_failures(now))
    if may_view(request, WORKFLOWS, "cleanup"):
        tables.append(_cleanups())
    problem, processes = _processes()
    return context | {"cards": cards, "tables": [*tables, processes], "broker_problem": problem}


def _card(title: str, number: int, url: str) -> dict[str, Any]:
    return {"label": badge(title), "number": number, "url": url}


def _instance_cards() -> list[dict[str, Any]]:
    counted = WorkflowInstance.objects.order_by().values_list("status").annotate(count=Count("pk"))
    numbers: dict[str, int] = dict(counted)
    return [
        _card(word, numbers.get(word, 0), list_url(WORKFLOWS, "workflowinstance", status__exact=word))
        for word in InstanceStatus
    ]


def _run_cards(now: datetime) -> list[dict[str, Any]]:
    since = now - PERIOD
    runs = Run.objects.filter(purpose=RunPurpose.RUN)
    ended = runs.filter(finished_at__gte=since).order_by().values_list("status").annotate(count=Count("pk"))
    numbers: dict[str, int] = dict(ended)
    numbers[RunStatus.RUNNING] = runs.filter(finished_at__isnull=True).count()
    return [_card(word, numbers.get(word, 0), list_url(WORKFLOWS, "run", status__exact=word)) for word in RunStatus]


def _failures(now: datetime) -> Table:
    failed = (
        Run.objects.filter(status=RunStatus.FAILED, finished_at__gte=now - PERIOD)
        .select_related("instance")
        .defer("edges", "instance__edges", "instance__nodes")
        .order_by("-id")[:_ROWS]
    )
    return Table(
        "Failures of the last 24 hours",
        ("When", "Workflow", "Run", "Message"),
        [
            (
                moment(run.finished_at),
                link(WORKFLOWS, "workflowinstance", run.instance_id, run.instance.name),
                link(WORKFLOWS, "run", run.pk, f"{run.purpose}\N{NO-BREAK SPACE}#{run.number}"),
                shortened(run.message, 200),
            )
            for run in failed
        ],
        more=list_url(WORKFLOWS, "run", status__exact=RunStatus.FAILED.value),
        more_label="All failed runs",
    )


def _cleanups() -> Table:
    rows = (
        Cleanup.objects.select_related("instance")
        .defer("instance__edges", "instance__nodes")
        .order_by("requested_at")[:_ROWS]
    )
    return Table(
        "Open clean-ups",
        ("Asked for", "Workflow", "Then", "Tries", "Last problem"),
        [
            (
                moment(row.requested_at),
                link(WORKFLOWS, "workflowinstance", row.pk, row.instance.name),
                badge(row.goal),
                row.tries,
                shortened(row.error, 200),
            )
            for row in rows
        ],
        more=list_url(WORKFLOWS, "cleanup"),
        more_label="All clean-ups",
    )


def _processes() -> tuple[str, Table]:
    """A sentence when something is wrong, and the processes that gave a sign of life."""
    try:
        beats: Sequence[Beat] = _pool.submit(read, settings.SECFLOW.redis_url).result(timeout=PATIENCE_SECONDS)
    except NotInTime:
        return (
            f"The broker did not answer within {PATIENCE_SECONDS:g} seconds; which processes live is not known.",
            _beats(()),
        )
    except (redis.RedisError, OSError) as err:
        return f"The broker cannot be reached, so which processes live is not known: {type(err).__name__}.", _beats(())
    missing = [role for role in ROLES if role not in {beat.role for beat in beats}]
    if missing:
        return f"No sign of life of: {', '.join(missing)}. Workflows need all of them to make progress.", _beats(beats)
    return "", _beats(beats)


def _beats(beats: Sequence[Beat]) -> Table:
    return Table(
        "Background processes",
        ("Role", "Host", "Process", "Last sign of life"),
        [(beat.role, beat.host, beat.pid, f"{beat.age:.0f} s ago") for beat in beats],
    )
