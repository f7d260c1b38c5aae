"""DATABASE_URL as Django wants it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def database_config(url: str, *, pool_max: int) -> dict[str, Any]:
    """The entry of DATABASES for a checked postgresql address; query parameters become libpq options.

    Connections come from a pool of at most `pool_max` per process, opened when first needed.
    """
    parts = urlsplit(url)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    host = options.pop("host", "") or unquote(parts.hostname or "")
    options.setdefault("application_name", "secflow")
    options.setdefault("connect_timeout", "10")
    # Statements of the engine are kept planned from their fifth use on.
    options["prepare_threshold"] = 5
    # max_lifetime renews connections, so that a failover or a changed password is picked up without a restart.
    options["pool"] = {"min_size": 0, "max_size": pool_max, "timeout": 15, "max_idle": 300, "max_lifetime": 3600}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
        # After a restart of the database the pool holds dead connections, one of which would be an error for each request.
        "CONN_HEALTH_CHECKS": True,
        "CONN_MAX_AGE": 0,  # the pool keeps connections; Django must give them back
    }
