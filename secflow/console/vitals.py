"""How the installation itself does: who is alive, how fresh its picture of the cluster is, and what is due.

It asks the database and the broker, never the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import redis
from django.conf import settings
from django.db.models import Count, Min, Q, QuerySet

from k8s_bridge.names import SHARDS
from secflow.console.display import list_url
from secflow.console.figures import launching
from secflow.runtime.heartbeat import ROLES, Beat, read, read_length
from workflows.domain.statuses import NodeStatus
from workflows.models import Cleanup, NodeLog, NodeRun, ShardLease, Turn
from workflows.services.turns import RECONCILE, SWEEP

PATIENCE_SECONDS: Final = 2.0  # a broker that does not answer must not hold the page
STALE_SECONDS: Final = 120.0  # the cluster proves its state to a watch about once a minute, also when nothing happens
LATE_SECONDS: Final = 60.0  # what is due is taken within seconds
_WORKFLOWS: Final = "workflows"

_pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="console-broker")


@dataclass(frozen=True, slots=True)
class Broker:
    """What the broker said. `problem` is a sentence when it said nothing."""

    beats: Sequence[Beat] = ()
    messages: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """Rows of one kind that wait for a process: how many, and for how long the oldest of them could have been taken."""

    title: str
    count: int
    late_seconds: float
    url: str = ""

    @property
    def is_late(self) -> bool:
        return self.late_seconds > LATE_SECONDS


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the page: what, how it is, and whether that is well."""

    title: str
    value: str
    is_well: bool
    note: str = ""


def ask_broker() -> Broker:
    """Signs of life, and the length of the queue; within PATIENCE_SECONDS."""
    address = settings.SECFLOW.redis_url
    asked = _pool.submit(lambda: (read(address), read_length(address, settings.CELERY_TASK_DEFAULT_QUEUE)))
    try:
        beats, messages = asked.result(timeout=PATIENCE_SECONDS)
    except NotInTime:
        return Broker(
            problem=f"The broker did not answer within {PATIENCE_SECONDS:g} seconds; which processes live is not known."
        )
    except (redis.RedisError, OSError) as err:
        return Broker(
            problem=f"The broker cannot be reached, so which processes live is not known: {type(err).__name__}."
        )
    missing = [role for role in ROLES if role not in {beat.role for beat in beats}]
    if missing:
        problem = f"No sign of life of: {', '.join(missing)}. Workflows need all of them to make progress."
        return Broker(beats, messages, problem)
    return Broker(beats, messages)


def due_rows(now: datetime) -> list[Due]:
    """What waits in the database to be done, of all projects. Four queries."""
    deadlines = NodeRun.objects.filter(status=NodeStatus.RUNNING, run__finished_at__isnull=True)
    return [
        _due("Launches", launching(), now, list_url(_WORKFLOWS, "noderun", workload__state__exact="launching")),
        _due("Clean-ups", Cleanup.objects.all(), now, list_url(_WORKFLOWS, "cleanup")),
        _due("Logs to fetch", NodeLog.objects.all(), now, list_url(_WORKFLOWS, "nodelog", due_at__isnull=False)),
        _due(
            "Time limits passed",
            deadlines.filter(due_at__lte=now),
            now,
            list_url(
                _WORKFLOWS,
                "noderun",
                status__exact="running",
                due_at__lte=now.isoformat(),
                run__finished_at__isnull=True,
            ),
        ),
    ]


def _due(title: str, rows: QuerySet[Any], now: datetime, url: str) -> Due:
    due = Q(due_at__lte=now)
    found = rows.filter(due_at__isnull=False).aggregate(count=Count("pk"), oldest=Min("due_at", filter=due))
    late = (now - found["oldest"]).total_seconds() if found["oldest"] else 0.0
    return Due(title, found["count"], late, url)


def passes(now: datetime) -> list[Fact]:
    """When somebody last looked for due rows, and last compared records and cluster. One query."""
    taken = dict(Turn.objects.filter(name__in=[SWEEP, RECONCILE]).values_list("name", "taken_at"))
    config = settings.SECFLOW
    return [
        _pass("Last reconcile", taken.get(RECONCILE), config.reconcile_seconds, now),
        _pass("Last sweep", taken.get(SWEEP), config.sweep_seconds, now),
    ]


def _pass(title: str, at: datetime | None, period: float, now: datetime) -> Fact:
    if at is None:
        return Fact(title, "never", is_well=False, note="No worker has run it yet.")
    age = max(0.0, (now - at).total_seconds())
    return Fact(title, f"{age_words(age)} ago", age <= max(3 * period, 30.0), f"every {period:g} s")


def freshness(beats: Sequence[Beat], now: datetime) -> list[Fact]:
    """How old each watcher's newest proof of the cluster's state is, and whether every shard is followed. One query."""
    followed = ShardLease.objects.filter(holder__isnull=False, until__gt=now).count()
    facts = [Fact("Shards followed", f"{followed} of {SHARDS}", followed == SHARDS)]
    return facts + [_news(beat) for beat in beats if beat.role == "watcher"]


def _news(beat: Beat) -> Fact:
    shards = beat.details.get("shards") or []
    title = f"Cluster seen by watcher {beat.pid}"
    if not shards:
        return Fact(title, "follows nothing yet", is_well=True, note=beat.host)
    kinds = beat.details.get("news_seconds") or {}
    note = ", ".join(f"{kind} {_seconds(age)}" for kind, age in sorted(kinds.items()))
    note = f"{len(shards)} shards on {beat.host}" + (f": {note}" if note else "")
    age = beat.details.get("oldest_news_seconds")
    if age is None:
        return Fact(title, "not seen yet", is_well=False, note=note)
    age += beat.age
    return Fact(title, f"{age_words(age)} ago", age <= STALE_SECONDS, note)


def _seconds(age: float | None) -> str:
    return "not seen" if age is None else age_words(age)


def age_words(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = int(seconds)
    for size, name, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller} {small}"
    return f"{whole} s"
