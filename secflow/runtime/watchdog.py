"""A worker that lives but gets no messages any more ends itself, so that its supervisor starts another.

Liveness is proved the way work comes: by a message through the broker, on a queue that only this worker consumes.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from celery import current_app, shared_task, signals
from django.conf import settings
from kombu.entity import Queue
from kombu.exceptions import OperationalError

CANARY = "secflow.canary"
EXIT_CODE = 75  # EX_TEMPFAIL: another start is the cure
PER_LIMIT = 6  # canaries within the time after which one is late
LEAST = 3  # canaries that must be on their way, so that one lost message proves nothing

logger = logging.getLogger(__name__)


class Watchdog:
    """Knows when a canary is late. Any task that begins is as good as a canary: it came the same way.

    While the broker takes no messages nothing is late: there is nothing that another worker could do better.
    """

    def __init__(self, send: Callable[[], bool], *, limit: float, now: Callable[[], float] = time.monotonic) -> None:
        self._send, self._limit, self._now = send, limit, now
        self._waiting_since: float | None = None
        self._sent = 0
        self.heard_at = now()

    def hear(self) -> None:
        """A message came through."""
        self.heard_at = self._now()

    def is_late(self) -> bool:
        """Sends the next canary, and tells whether those before it are late."""
        now = self._now()
        if self._waiting_since is not None and self.heard_at > self._waiting_since:
            self._waiting_since, self._sent = None, 0
        if self._waiting_since is not None and now - self._waiting_since >= self._limit and self._sent >= LEAST:
            return True
        if not self._send():
            self._waiting_since, self._sent = None, 0
            return False
        self._sent += 1
        if self._waiting_since is None:
            self._waiting_since = now
        return False


_watchdog: Watchdog | None = None


@shared_task(name=CANARY)
def canary() -> None:
    """Proves by its arrival that messages arrive."""


def queue_name() -> str:
    """The queue of this process's canaries."""
    return f"canary.{socket.gethostname()}.{os.getpid()}"


def send_canary(*, lifetime: float) -> bool:
    """Sends one to this process; False when the broker did not take it. It is of no use after `lifetime` seconds."""
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    try:
        current_app.send_task(CANARY, queue=queue_name(), expires=lifetime, ignore_result=True, retry=False)
        # Nobody consumes the queue of a worker that died: what waits in it goes by itself.
        with redis.Redis.from_url(settings.SECFLOW.redis_url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.expire(f"{options.get('global_keyprefix', '')}{queue_name()}", int(lifetime) + 1)
    except (OperationalError, redis.RedisError, OSError) as err:
        logger.warning("the broker took no canary: %s", err)
        return False
    return True


def _run(watchdog: Watchdog, period: float) -> None:
    while not watchdog.is_late():
        time.sleep(period)
    logger.critical(
        "no message has come to this worker for %g s although the broker takes them: it ends, to be started again",
        settings.SECFLOW.canary_seconds,
    )
    logging.shutdown()
    os._exit(EXIT_CODE)  # what it held is leased or unacknowledged, and an orderly stop may hang on the same connection


def connect_to_celery() -> None:
    """Gives every Celery worker of this process's future a watchdog, from the moment it serves."""
    signals.celeryd_after_setup.connect(_consume_canaries, weak=False)
    signals.worker_ready.connect(_start, weak=False)
    signals.task_prerun.connect(_hear, weak=False)


def _consume_canaries(instance: Any, **_: Any) -> None:
    name = queue_name()
    instance.app.amqp.queues.select_add(Queue(name, routing_key=name, auto_delete=True))


def _start(**_: Any) -> None:
    global _watchdog
    limit = settings.SECFLOW.canary_seconds
    _watchdog = Watchdog(lambda: send_canary(lifetime=limit), limit=limit)
    threading.Thread(target=_run, args=(_watchdog, limit / PER_LIMIT), name="watchdog", daemon=True).start()


def _hear(**_: Any) -> None:
    if _watchdog is not None:
        _watchdog.hear()
