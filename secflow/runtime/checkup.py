"""What `manage.py doctor` looks at on this machine, in the database and in the broker. Each check gives findings."""

from __future__ import annotations

import socket
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import psycopg
import redis

from secflow.runtime import heartbeat
from secflow.runtime.errors import StandError
from secflow.runtime.parts import READY_PATH, answers
from secflow.settings import environment
from secflow.settings.variables import SecFlowSettings

Level = Literal["ok", "warn", "fail"]
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
OLDEST_POSTGRESQL = 140000
OLDEST_REDIS = (6, 2)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `advice` says what to do about a warning or a failure."""

    part: str
    level: Level
    text: str
    advice: str = ""


Check = Callable[[SecFlowSettings], Iterable[Finding]]


def check_python(found: SecFlowSettings) -> Iterable[Finding]:
    """The interpreter's version."""
    version = ".".join(str(item) for item in sys.version_info[:3])
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        yield Finding("python", "ok", version)
    else:
        yield Finding("python", "fail", f"{version} is not supported", "Use Python 3.11, 3.12 or 3.13.")


def check_environment(found: SecFlowSettings) -> Iterable[Finding]:
    """Settings that are allowed one by one and unwise together."""
    problems = [
        *(Finding("environment", "fail", text) for text in environment.missing(found)),
        *_unwise(found),
    ]
    yield from problems or [Finding("environment", "ok", "all variables are usable")]


def _unwise(found: SecFlowSettings) -> Iterable[Finding]:
    if problem := environment.local_cluster_problem(found):
        yield Finding("environment", "fail", problem)
    if found.debug and found.bind not in _LOOPBACK:
        yield Finding(
            "environment", "fail", f"DEBUG is on and BIND={found.bind} offers it to the network", "Set DEBUG=false."
        )
    elif found.debug:
        yield Finding("environment", "warn", "DEBUG is on", "Set DEBUG=false anywhere but on your own machine.")
    if found.https is False and found.bind not in _LOOPBACK:
        yield Finding(
            "environment",
            "warn",
            f"HTTPS=false and BIND={found.bind}: passwords and tokens cross the network in the clear",
            "Put a proxy with TLS in front and set HTTPS=true.",
        )


def check_database(found: SecFlowSettings) -> Iterable[Finding]:
    """PostgreSQL answers, is new enough and lets SecFlow make tables."""
    if not found.database_url:
        return
    try:
        with psycopg.connect(found.database_url, connect_timeout=5) as connection:
            version = connection.info.server_version
            row = connection.execute("SELECT has_schema_privilege(current_schema(), 'CREATE'), current_user").fetchone()
    except psycopg.Error as err:
        yield Finding(
            "database",
            "fail",
            f"PostgreSQL does not accept a session: {' '.join(str(err).split())}",
            "Correct DATABASE_URL.",
        )
        return
    assert row is not None
    shown = f"PostgreSQL {version // 10000}.{version % 10000}"
    if version < OLDEST_POSTGRESQL:
        yield Finding("database", "fail", f"{shown} is too old", "Use PostgreSQL 14 or newer.")
    elif not row[0]:
        yield Finding(
            "database",
            "fail",
            f"{row[1]} may not make tables",
            f"GRANT CREATE ON SCHEMA public TO {row[1]}; as the owner.",
        )
    else:
        yield Finding("database", "ok", shown)


def check_migrations(found: SecFlowSettings) -> Iterable[Finding]:
    """The tables are those of this version."""
    from django.db import DatabaseError, connection
    from django.db.migrations.executor import MigrationExecutor

    if not found.database_url:
        return
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as err:
        yield Finding(
            "migrations", "fail", f"cannot be read: {' '.join(str(err).split())}", "See the line on the database."
        )
        return
    if waiting:
        first = waiting[0][0]
        yield Finding(
            "migrations", "fail", f"{len(waiting)} are missing, the first is {first}", "Run `python manage.py prepare`."
        )
    else:
        yield Finding("migrations", "ok", "all are there")


def check_broker(found: SecFlowSettings) -> Iterable[Finding]:
    """Redis or Valkey answers and will not throw messages away silently."""
    if not found.redis_url:
        return
    try:
        with redis.Redis.from_url(found.redis_url, socket_timeout=5, socket_connect_timeout=5) as client:
            info = client.info()
    except (redis.RedisError, OSError) as err:
        yield Finding(
            "broker",
            "fail",
            f"Redis does not answer: {str(err).rstrip('.')}",
            "Correct REDIS_URL; runs go on when it is back.",
        )
        return
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    policy = str(info.get("maxmemory_policy", ""))
    if tuple(int(item) for item in version.split(".")[:2]) < OLDEST_REDIS:
        yield Finding("broker", "fail", f"{name} {version} is too old", "Use Redis 6.2 or any Valkey.")
    elif policy not in ("noeviction", ""):
        yield Finding(
            "broker",
            "warn",
            f"{name} {version} with maxmemory-policy {policy} may drop messages, which costs seconds each time",
            "Set maxmemory-policy noeviction.",
        )
    else:
        yield Finding("broker", "ok", f"{name} {version}")


def check_processes(found: SecFlowSettings) -> Iterable[Finding]:
    """Worker, beat and watcher gave a sign of life."""
    if not found.redis_url:
        return
    try:
        beats = heartbeat.read(found.redis_url)
    except (redis.RedisError, OSError):
        return  # the line on the broker says it
    wanted = {"worker": found.workers, "watcher": found.watchers}
    for role in heartbeat.ROLES:
        alive = [beat for beat in beats if beat.role == role]
        shown = ", ".join(_alive(beat) for beat in alive)
        if len(alive) >= wanted.get(role, 1):
            yield Finding(role, "ok", f"{shown}, last seen {max(beat.age for beat in alive):.0f} s ago")
        elif alive:
            yield Finding(
                role,
                "warn",
                f"{len(alive)} of {wanted[role]} give a sign of life: {shown}",
                f"See the log of the others, or set {role.upper()}S to the number that is to run.",
            )
        else:
            yield Finding(role, "fail", "no sign of life", f"Start it: {_START[role]} (`manage.py up` starts all).")


def check_shards(found: SecFlowSettings) -> Iterable[Finding]:
    """Every part of the cluster is followed by a watcher that lives."""
    from django.db import DatabaseError

    from k8s_bridge.names import SHARDS
    from workflows.services.sharding import followed

    if not found.database_url:
        return
    try:
        there = followed()
    except DatabaseError:
        return  # the lines on the database and the migrations say it
    if missing := sorted(set(range(SHARDS)) - there.keys()):
        yield Finding(
            "shards",
            "fail",
            f"nobody follows {len(missing)} of {SHARDS}: {', '.join(map(str, missing))}",
            "Start a watcher, or wait 15 seconds for the others to take over from one that died.",
        )
    else:
        yield Finding("shards", "ok", f"all {SHARDS} are followed, by {', '.join(sorted(set(there.values())))}")


def _alive(beat: heartbeat.Beat) -> str:
    part = f" with {len(beat.details['shards'])} shards" if "shards" in beat.details else ""
    return f"process {beat.pid} on {beat.host}{part}"


_START = {
    "worker": "`celery -A secflow worker --pool threads`",
    "beat": "`celery -A secflow beat`",
    "watcher": "`python manage.py watch_cluster`",
}


def check_web(found: SecFlowSettings) -> Iterable[Finding]:
    """The web process answers, or its port is free for it."""
    where = f"{found.bind}:{found.port}"
    if answers(found.bind, found.port, READY_PATH, timeout=10):
        yield Finding("web", "ok", f"ready on {where}")
        return
    if answers(found.bind, found.port, "/api/workflow/health", timeout=5):
        yield Finding("web", "fail", f"answers on {where} but is not ready", f"See the other lines, and {READY_PATH}.")
        return
    with socket.socket(socket.AF_INET6 if ":" in found.bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((found.bind, found.port))
        except OSError as err:
            yield Finding("web", "fail", f"{where} cannot be used: {err.strerror}", "Stop what uses it, or set PORT.")
            return
    yield Finding("web", "warn", f"nothing listens on {where}", "Start it: `python manage.py up`.")


def check_folder(found: SecFlowSettings) -> Iterable[Finding]:
    """Nobody else reads the secrets of the stand."""
    root = found.data_dir or environment.BASE_DIR / ".secflow"
    if not root.exists():
        return
    secret = [root / name for name in ("env", "kubeconfig", "secret-key", "admin-password")]
    open_files = [path for path in secret if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    # Others may pass through by name when PostgreSQL runs as nobody, but may not list.
    if stat.S_IMODE(root.stat().st_mode) & 0o066 or open_files:
        names = " ".join(str(path) for path in [root, *open_files])
        yield Finding("data folder", "fail", "others may read it", f"chmod go-rw {names}")
    else:
        yield Finding("data folder", "ok", f"{root} is private")


def demand(checks: Iterable[Check], found: SecFlowSettings) -> None:
    """Raise StandError with the first failure of `checks`."""
    for check in checks:
        for finding in check(found):
            if finding.level == "fail":
                raise StandError(f"{finding.part}: {finding.text}. {finding.advice}".rstrip())


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among them; ok when there are none."""
    order: tuple[Level, ...] = ("ok", "warn", "fail")
    return max((finding.level for finding in findings), key=order.index, default="ok")


LOCAL_CHECKS: tuple[Check, ...] = (
    check_python,
    check_environment,
    check_folder,
    check_database,
    check_migrations,
    check_broker,
)
PROCESS_CHECKS: tuple[Check, ...] = (check_processes, check_shards, check_web)
