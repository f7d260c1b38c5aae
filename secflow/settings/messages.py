"""REDIS_URL as Celery wants it."""

from __future__ import annotations

from typing import Any

# Longer than any task may take. What was lost with a worker is also found by the reconcile sweep, so it can be short.
VISIBILITY_SECONDS = 60


def celery_broker_options(redis_url: str) -> tuple[str, dict[str, Any]]:
    """The broker address in Celery's spelling and the transport options that go with it."""
    options: dict[str, Any] = {
        "visibility_timeout": VISIBILITY_SECONDS,
        "health_check_interval": 10,
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
        "retry_on_timeout": True,
        "global_keyprefix": "secflow:",
    }
    if redis_url.startswith("unix:"):
        return redis_url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host="), options
    return redis_url, options | {"socket_keepalive": True}
