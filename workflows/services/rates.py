"""Counting calls over all web processes, in Valkey (contract M.2)."""

from __future__ import annotations

import math
import time
from functools import lru_cache

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CALL_SECONDS = 0.25  # for an answer that takes a millisecond
PAUSE_SECONDS = 2.0  # after a failure: nobody waits again for a server that has just not answered
_PREFIX = "secflow:rate"


class CannotCount(Exception):
    """Valkey did not answer, or was not asked because it has just failed."""


class Counter:
    """Counts by key, in windows that begin with their first call. Atomic, and the same for every process at this address."""

    def __init__(self, address: str) -> None:
        # A connection that the server has closed meanwhile is made anew once. What timed out is not tried again.
        self._client = redis.Redis.from_url(
            address,
            socket_connect_timeout=CALL_SECONDS,
            socket_timeout=CALL_SECONDS,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._pause_until = 0.0

    def count(self, key: str, *, seconds: int) -> tuple[int, int]:
        """Counts one call; how many there were in this window, this one included, and the whole seconds until it ends.

        One round trip, by the server's clock; a key goes away with its window. Raises CannotCount, within a second.
        """
        if time.monotonic() < self._pause_until:
            raise CannotCount("Valkey did not answer a moment ago")
        name = f"{_PREFIX}:{key}:{seconds}"
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.incr(name)
                pipe.expire(name, seconds, nx=True)
                pipe.pttl(name)
                count, _, left = pipe.execute()
        except (redis.RedisError, OSError) as err:
            self._pause_until = time.monotonic() + PAUSE_SECONDS
            raise CannotCount(f"Valkey cannot be used: {err}") from err
        return int(count), max(1, math.ceil(int(left) / 1000))


@lru_cache(maxsize=4)
def counter_at(address: str | None) -> Counter:
    """The process's counter at this address. It connects at the first call. Raises CannotCount when there is no address."""
    if not address:
        raise CannotCount("REDIS_URL is not set")
    return Counter(address)
