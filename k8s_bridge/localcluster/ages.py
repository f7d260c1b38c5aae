"""Durations as kubectl shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

_DAY: Final = 86400
_YEAR: Final = 365 * _DAY
_UNITS: Final = (("y", _YEAR), ("d", _DAY), ("h", 3600), ("m", 60), ("s", 1))
# Below each bound (seconds): the largest unit shown, and whether the next smaller one is shown with it.
_STEPS: Final = (
    (120, "s", False),
    (600, "m", True),
    (3 * 3600, "m", False),
    (8 * 3600, "h", True),
    (2 * _DAY, "h", False),
    (8 * _DAY, "d", True),
    (2 * _YEAR, "d", False),
    (8 * _YEAR, "y", True),
)


def human_duration(seconds: float) -> str:
    """`45s`, `3m20s`, `17m`, `4h5m`, `30h`, `3d2h`, `20d`, `2y3d`: two units where the second one still matters."""
    whole = int(max(seconds, 0))
    unit, both = next(((unit, both) for bound, unit, both in _STEPS if whole < bound), ("y", False))
    place = next(at for at, (name, _) in enumerate(_UNITS) if name == unit)
    size = _UNITS[place][1]
    text = f"{whole // size}{unit}"
    if not both:
        return text
    smaller, smaller_size = _UNITS[place + 1]
    rest = whole % size // smaller_size
    return f"{text}{rest}{smaller}" if rest else text


def age(moment: str | None, now: datetime) -> str:
    """The time since an RFC 3339 moment, `<unknown>` when there is none."""
    if not moment:
        return "<unknown>"
    return human_duration((now - datetime.fromisoformat(moment)).total_seconds())
