"""Times as the API writes them (UTC, no offset) and as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from secflow.cli.errors import UsageProblem

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")


def moment(text: str | None) -> datetime | None:
    """The moment that the API means, or None."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def now() -> datetime:
    """This moment."""
    return datetime.now(tz=UTC)


def span(seconds: float) -> str:
    """A length of time in at most two units: `0.4 s`, `12 s`, `3m05s`, `2h10m`, `4d`. Whole seconds have no decimal."""
    if seconds < 9.95 and not isinstance(seconds, int):
        return f"{max(0.0, seconds):.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 2 * 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


def age(text: str | None) -> str:
    """How long ago it was, shortly; empty when it was never."""
    then = moment(text)
    return "" if then is None else span(round((now() - then).total_seconds()))


def duration(item: dict[str, Any]) -> str:
    """How long a run or node has been or was at work; empty before it starts."""
    began = moment(item.get("started_at"))
    if began is None:
        return ""
    return span(((moment(item.get("finished_at")) or now()) - began).total_seconds())


def local(text: str | None) -> str:
    """A moment in the caller's own time zone, to the second."""
    then = moment(text)
    return "" if then is None else then.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds_of(text: str) -> float:
    """The seconds that `90s`, `10m`, `1h30m`, `2d` or a bare number mean. Raises UsageProblem."""
    given = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", given):
        return float(given)
    if not _DURATION.fullmatch(given):
        raise UsageProblem(f"{text!r} is no length of time", hint="Write it as 90s, 10m, 1h30m or 2d.")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhd])", given))


def ago(text: str) -> datetime:
    """The moment `text` (a length of time) before now."""
    return now() - timedelta(seconds=seconds_of(text))
