"""Whether this process can do its work: database, queue and cluster, asked at most every two seconds (contract J)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for

import redis
from django.conf import settings
from django.db import connection

from workflows.services.cluster import gateway

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.5  # a probe of a kubelet or dashboard waits 5 s at most
FRESH_SECONDS = 2.0
CALL_SECONDS = 2.0
OK = "ok"
UNUSABLE = "not usable"


class Check:
    """One question, asked in a thread of its own so that a part that hangs cannot hold the answer about the others.

    An answer is reused for two seconds; while a question is open it is not asked again.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._answer: Future[str] | None = None

    def answer(self) -> Future[str]:
        """The answer of the last two seconds, or one that is on its way."""
        with self._lock:
            current = self._answer
            stale = time.monotonic() - self._asked_at > FRESH_SECONDS
            if current is None or (current.done() and stale):
                self._asked_at = time.monotonic()
                current = self._answer = self._pool.submit(self._run)
            return current

    def _run(self) -> str:
        try:
            self._ask()
        except Exception as err:  # noqa: BLE001  whatever is wrong with a part, the answer is that it is not usable
            logger.warning("health check failed: %s: %s", type(err).__name__, err)
            return UNUSABLE
        finally:
            connection.close()
        return OK


def ask_database() -> None:
    """The database answers a query, and takes changes: a standby, or one that was set read-only, does not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only')")
        if cursor.fetchone()[0] == "on":
            raise RuntimeError("the database is read-only")


def ask_queue() -> None:
    """The message broker answers."""
    address = settings.SECFLOW.redis_url
    with redis.Redis.from_url(address, socket_connect_timeout=CALL_SECONDS, socket_timeout=CALL_SECONDS) as client:
        client.ping()


def ask_cluster() -> None:
    """The cluster answers and knows us."""
    gateway().check(timeout=CALL_SECONDS)


_checks = {"database": Check(ask_database), "queue": Check(ask_queue), "cluster": Check(ask_cluster)}


def readiness() -> dict[str, str]:
    """`ok` or what is wrong, for `database`, `queue` and `cluster`, within three seconds. Names no address."""
    answers = {name: check.answer() for name, check in _checks.items()}
    wait_for(answers.values(), timeout=PATIENCE_SECONDS)
    return {name: answer.result() if answer.done() else "no answer" for name, answer in answers.items()}
