"""The time that decides: the database's. The clocks of the processes may be wrong, each in its own way."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.db.models import DateTimeField, Func


class ClockTimestamp(Func):
    """The database's time while the row is read. In a SELECT that had to wait for a changed row: the time after the wait."""

    function = "clock_timestamp"
    output_field = DateTimeField()


def now() -> datetime:
    """The database's time; one query. Who holds an instance's lock has it for nothing in `locked_at`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
