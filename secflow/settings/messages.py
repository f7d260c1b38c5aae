"""REDIS_URL as Celery wants it."""

from __future__ import annotations

import ssl
from typing import Any


def celery_broker_options(redis_url: str, *, visibility_seconds: int) -> tuple[str, dict[str, Any]]:
    """The broker address in Celery's spelling and the transport options that go with it.

    What was lost with a worker is also found by the sweep, and a message that comes twice changes nothing, so
    `visibility_seconds` can be short.
    """
    options: dict[str, Any] = {
        "visibility_timeout": visibility_seconds,
        # Kombu looks for such messages once in interval x throttle seconds, which is 100 when nobody says otherwise.
        "unacked_restore_interval": max(1, min(10, visibility_seconds // 3)),
        "unacked_restore_throttle": 1,
        "health_check_interval": 10,
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
        "retry_on_timeout": True,
        "global_keyprefix": "secflow:",
    }
    if redis_url.startswith("unix:"):
        return redis_url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host="), options
    return redis_url, options | {"socket_keepalive": True}


def celery_broker_tls(redis_url: str) -> dict[str, Any] | bool:
    """What Celery demands of the broker's certificate: a valid one, where it would take any when nobody says otherwise.

    Parameters of the address such as `ssl_cert_reqs` and `ssl_ca_certs` come before it.
    """
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if redis_url.startswith("rediss:") else False
