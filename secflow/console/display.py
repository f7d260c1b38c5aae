"""Small pieces of admin pages. Whatever comes from users, pods or the cluster is escaped here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache, wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

VARIANTS = {
    "pending": "default",
    "initializing": "info",
    "initialized": "primary",
    "running": "info",
    "succeeded": "success",
    "failed": "danger",
    "stopped": "warning",
    "tidy": "default",
    "uninitialize": "warning",
    "delete": "danger",
}
NONE = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """A table below a form: cells are escaped by the template unless they are safe already."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    more: str = field(default="")
    more_label: str = "Show all"

    @property
    def data(self) -> dict[str, Any]:
        """The shape that unfold's table component reads."""
        return {"headers": list(self.headers), "rows": [list(row) for row in self.rows]}


def badge(word: str | None, *, text: str | None = None, variant: str | None = None) -> SafeString | str:
    """A coloured word; statuses have their own colours."""
    if not word:
        return NONE
    return _label((text or word).replace("_", " "), variant or VARIANTS.get(word, "default"))


@lru_cache(maxsize=512)
def _label(label: str, kind: str) -> SafeString:
    # The template ends with a newline, which unfold would show as a line break.
    return SafeString(
        render_to_string("unfold/helpers/label.html", {"text": label, "type": kind}).strip().replace("\n", " ")
    )


def link(app: str, model: str, pk: object, text: object) -> SafeString:
    """A link to one object's page."""
    url = reverse(f"admin:{app}_{model}_change", args=[quote(str(pk))])
    return format_html('<a href="{}" class="text-link">{}</a>', url, text)


def list_url(app: str, model: str, **filters: object) -> str:
    """The address of a list, narrowed by field lookups."""
    url = reverse(f"admin:{app}_{model}_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


def list_link(app: str, model: str, text: object, **filters: object) -> SafeString:
    """A link to a narrowed list."""
    return format_html('<a href="{}" class="text-link">{}</a>', list_url(app, model, **filters), text)


def text_box(text: str, *, is_whole: bool = False) -> SafeString:
    """A long text with its own line breaks; markup in it is shown, not obeyed."""
    if is_whole:
        return format_html('<pre class="console-text console-text--whole">{}</pre>', text)
    # It scrolls, also for those who have no mouse.
    return format_html('<pre class="console-text" tabindex="0">{}</pre>', text)


def once(cell: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A field that is made once for each row: unfold's form asks for the same value five times."""

    @wraps(cell)
    def remembered(page: Any, row: Any) -> Any:
        kept = row.__dict__.setdefault("_console_cells", {})
        if cell.__name__ not in kept:
            kept[cell.__name__] = cell(page, row)
        return kept[cell.__name__]

    return remembered


def json_field(column: str) -> Callable[[Any, Any], Any]:
    """A page's method that shows a JSON column as an indented text; name it `<column>_json`."""

    def show(page: Any, row: Any) -> SafeString | str:
        value = getattr(row, column)
        return text_box(json.dumps(value, indent=2, ensure_ascii=False)) if value else NONE

    show.__name__ = f"{column}_json"
    show.short_description = column.replace("_", " ")  # type: ignore[attr-defined]
    return once(show)


def shortened(text: str | None, limit: int = 120) -> str:
    """The beginning of a message, on one line."""
    return Truncator(" ".join(text.split())).chars(limit) if text else NONE


def moment(when: datetime | None) -> SafeString | str:
    """A point in time to the second, in the zone of the pages, kept on one line."""
    if when is None:
        return NONE
    return format_html('<span class="console-time">{}</span>', date_format(timezone.localtime(when), "DATETIME_FORMAT"))


def stacked(first: object, second: object) -> SafeString:
    """Two lines in one cell, the second one quieter."""
    return format_html(
        '<div>{}</div><div class="text-font-subtle-light dark:text-font-subtle-dark">{}</div>', first, second
    )


def elapsed(start: datetime | None, end: datetime | None, *, now: datetime) -> SafeString | str:
    """How long something took; while it goes on, `console/live.js` counts further."""
    words = duration(start, end, now=now)
    if start is None:
        return words
    if end is not None:
        return format_html('<span class="console-time">{}</span>', words)
    return format_html('<span class="console-time" data-since="{}">{}</span>', start.isoformat(), words)


def duration(start: datetime | None, end: datetime | None, *, now: datetime) -> str:
    """How long something took, or takes so far, without a place to break the line."""
    if start is None:
        return NONE
    seconds = max(0, int(((end or now) - start) / timedelta(seconds=1)))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    words = " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
    return words.replace(" ", "\N{NO-BREAK SPACE}")
