"""Who may take the next turn at a periodic pass, however many processes ask for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection

SWEEP = "sweep"
RECONCILE = "reconcile"
FORGET_EXPIRED = "forget_expired"


def take_turn(name: str, *, least: float) -> bool:
    """True for exactly one caller when the last turn was taken at least `least` seconds ago, by the database's clock."""
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"name": name, "least": timedelta(seconds=least)}
        cursor.execute(_TAKE, parameters)
        return bool(cursor.rowcount)


# A time that is far ahead was written by a clock that has been set right since.
_TAKE = """
INSERT INTO secflow_platform_workflow_turn AS turn (name, taken_at) VALUES (%(name)s, now())
    ON CONFLICT (name) DO UPDATE SET taken_at = now()
 WHERE turn.taken_at <= now() - %(least)s OR turn.taken_at > now() + %(least)s
"""
