"""A small picture of how runs ended, hour by hour: stacked columns as SVG, coloured by the style sheet in both themes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

STATUSES: Final = ("succeeded", "stopped", "failed")  # from the bottom up
_WIDTH, _HEIGHT = 720, 150
_LEFT, _TOP, _BOTTOM = 36, 8, 20
_GAP = 0.18  # of a column's width


def columns_svg(hours: Sequence[Counter[str]], *, since: datetime) -> SafeString:
    """The picture. Each hour has a title with its numbers; the whole has a sentence for who does not see it."""
    most = _round_up(max((sum(hour.values()) for hour in hours), default=0))
    floor = _HEIGHT - _BOTTOM
    step = (_WIDTH - _LEFT) / len(hours)
    unit = (floor - _TOP) / most
    columns = format_html_join(
        "", "{}", ((_column(hour, number, step, unit, floor, since),) for number, hour in enumerate(hours))
    )
    totals: Counter[str] = sum(hours, Counter())
    label = f"Runs by hour over {len(hours)} hours: {_words(totals)}."
    return format_html(
        '<svg class="columns" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>',
        _WIDTH,
        _HEIGHT,
        label,
        _lines(most, unit, floor),
        columns,
        _hours(len(hours), step, since),
    )


def _column(hour: Counter[str], number: int, step: float, unit: float, floor: float, since: datetime) -> SafeString:
    start = timezone.localtime(since + timedelta(hours=number))
    title = f"{start:%H:%M} to {start + timedelta(hours=1):%H:%M}: {_words(hour)}"
    x, width = _LEFT + step * (number + _GAP / 2), step * (1 - _GAP)
    parts, bottom = [], floor
    for status in STATUSES:
        height = hour[status] * unit
        if hour[status]:
            bottom -= height
            parts.append((status, f"{x:.1f}", f"{bottom:.1f}", f"{width:.1f}", f"{height:.1f}"))
    bars = format_html_join(
        "", '<rect class="columns-bar columns-bar--{}" x="{}" y="{}" width="{}" height="{}" rx="1.5"/>', parts
    )
    # An invisible column as high as the picture: what is small can be pointed at, too.
    return format_html(
        '<g class="columns-hour"><title>{}</title><rect class="columns-back" x="{}" y="{}" width="{}" height="{}"/>{}</g>',
        title,
        f"{_LEFT + step * number:.1f}",
        _TOP,
        f"{step:.1f}",
        f"{floor - _TOP:.1f}",
        bars,
    )


def _lines(most: int, unit: float, floor: float) -> SafeString:
    levels = sorted({0, most // 2, most}) if most > 1 else (0, most)
    return format_html_join(
        "",
        '<line class="columns-line" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="columns-word" x="{}" y="{}" '
        'text-anchor="end">{}</text>',
        (
            (
                _LEFT,
                _WIDTH,
                f"{floor - level * unit:.1f}",
                f"{floor - level * unit:.1f}",
                _LEFT - 6,
                f"{floor - level * unit + 4:.1f}",
                level,
            )
            for level in levels
        ),
    )


def _hours(count: int, step: float, since: datetime) -> SafeString:
    return format_html_join(
        "",
        '<text class="columns-word" x="{}" y="{}">{}</text>',
        (
            (
                f"{_LEFT + step * number:.1f}",
                _HEIGHT - 5,
                f"{timezone.localtime(since + timedelta(hours=number)):%H:%M}",
            )
            for number in range(0, count, 4)
        ),
    )


def _words(hour: Counter[str]) -> str:
    return ", ".join(f"{hour[status]} {status}" for status in reversed(STATUSES) if hour[status]) or "none ended"


def _round_up(number: int) -> int:
    """A round number that is not smaller: 1, 2, 4 or 10 times a power of ten."""
    size = 1
    while True:
        for factor in (1, 2, 4):
            if number <= factor * size:
                return factor * size
        size *= 10
