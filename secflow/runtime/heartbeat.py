"""Signs of life of the background processes, kept in Redis and gone by themselves when a process is gone."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import redis
from celery import signals
from django.conf import settings

ROLES = ("worker", "beat", "watcher")
PERIOD_SECONDS = 10.0
LIFETIME_SECONDS = 30
_PREFIX = "secflow:heartbeat"
_TIMEOUT = 5.0

logger = logging.getLogger(__name__)
_silent = threading.Event()


@dataclass(frozen=True, slots=True)
class Beat:
    """One process that gave a sign of life: who, how many seconds ago, and what else it said of itself."""

    role: str
    host: str
    pid: int
    age: float
    details: Mapping[str, Any] = field(default_factory=dict)


def write(role: str, details: Mapping[str, Any] | None = None) -> None:
    """Say that this process lives; it is believed for LIFETIME_SECONDS. An absent Redis is logged, never raised.

    HEARTBEAT_FILE, when set, is touched as well.
    """
    if settings.SECFLOW.heartbeat_file is not None:
        settings.SECFLOW.heartbeat_file.touch(mode=0o600)
    value = json.dumps({"at": time.time(), "details": dict(details or {})})
    try:
        _client(settings.SECFLOW.redis_url).set(_key(role), value, ex=LIFETIME_SECONDS)
    except (redis.RedisError, OSError) as err:
        if not _silent.is_set():
            logger.warning("the sign of life cannot be written: %s", err)
        _silent.set()
    else:
        _silent.clear()


def start(role: str) -> threading.Event:
    """Write a sign of life at once and then every PERIOD_SECONDS from a thread, until the returned event is set."""
    stop = threading.Event()

    def run() -> None:
        while True:
            write(role)
            if stop.wait(PERIOD_SECONDS):
                return

    threading.Thread(target=run, name="heartbeat", daemon=True).start()
    return stop


def read(redis_url: str) -> tuple[Beat, ...]:
    """All processes that lived within the last LIFETIME_SECONDS, by role, host and pid. Raises redis.RedisError."""
    client = _client(redis_url)
    keys = sorted(client.scan_iter(match=f"{_PREFIX}:*", count=1000))
    beats = [_beat(key.decode(), raw) for key, raw in zip(keys, client.mget(keys) if keys else (), strict=True) if raw]
    return tuple(sorted(beats, key=lambda beat: (beat.role, beat.host, beat.pid)))


def read_length(redis_url: str, queue: str) -> int:
    """How many messages wait in a queue; those that a worker holds are not counted. Raises redis.RedisError."""
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    return int(_client(redis_url).llen(f"{prefix}{queue}"))


def _beat(key: str, raw: bytes | str) -> Beat:
    role, host, pid = key.removeprefix(f"{_PREFIX}:").split(":")
    found = json.loads(raw)
    return Beat(role=role, host=host, pid=int(pid), age=max(0.0, time.time() - found["at"]), details=found["details"])


def _key(role: str) -> str:
    return f"{_PREFIX}:{role}:{socket.gethostname()}:{os.getpid()}"


@cache
def _client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)


def connect_to_celery() -> None:
    """Give every Celery worker and beat of this process's future a heartbeat, from the moment it serves."""
    signals.worker_ready.connect(_start_worker, weak=False)
    signals.beat_init.connect(_start_beat, weak=False)


def _start_worker(**_: Any) -> None:
    start("worker")


def _start_beat(**_: Any) -> None:
    start("beat")
