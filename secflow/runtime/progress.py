"""How a run looks while it happens: a table that moves on a terminal, a line per change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

if TYPE_CHECKING:
    from rich.table import Table

Json = dict[str, Any]
_STYLES = {"pending": "dim", "running": "cyan", "succeeded": "green", "failed": "bold red", "stopped": "yellow"}


class Progress(Protocol):
    """Shows the instance each time it was read."""

    def show(self, instance: Json) -> None:
        """Show it as it is now."""


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """One line per change of a node's status or message."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._seen: dict[str, tuple[str, str | None]] = {}
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, instance: Json) -> None:
        for node in instance["nodes"]:
            now = (node["status"], node["message"])
            if self._seen.get(node["id"]) == now:
                continue
            self._seen[node["id"]] = now
            clock = f"{time.monotonic() - self._began:5.1f} s"
            line = f"  {clock}  {node['name']:<20} {node['node_type']:<4} {node['status']:<10} {node['message'] or ''}"
            self._stream.write(f"{line.rstrip()}\n")
        self._stream.flush()


class TableProgress(AbstractContextManager["TableProgress"]):
    """A table with a row per node, drawn anew in place."""

    def __init__(self, title: str, *, coloured: bool) -> None:
        # Only a terminal pays for the import.
        from rich.console import Console
        from rich.live import Live

        self._title = title
        self._live = Live(console=Console(no_color=not coloured), auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def show(self, instance: Json) -> None:
        self._live.update(self._table(instance), refresh=True)

    def _table(self, instance: Json) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"{self._title}: {instance['status']}", box=SIMPLE_HEAD, title_justify="left")
        for heading, options in _COLUMNS.items():
            table.add_column(heading, **options)
        now = datetime.now(tz=UTC)
        for node in instance["nodes"]:
            style = _STYLES.get(node["status"], "")
            table.add_row(
                Text(node["name"]), node["node_type"], Text(node["status"], style=style), duration_of(node, now),
                Text(node["message"] or ""),
            )  # fmt: skip
        return table


_COLUMNS: Mapping[str, dict[str, Any]] = {
    "Node": {"no_wrap": True, "min_width": 20},
    "Type": {"no_wrap": True},
    "Status": {"no_wrap": True, "min_width": 10},
    "Time": {"no_wrap": True, "min_width": 7, "justify": "right"},
    "Message": {"overflow": "ellipsis", "max_width": 60},
}


def duration_of(node: Json, now: datetime) -> str:
    """How long the node has been or was at work, such as `1.4 s`; empty before it starts."""
    began = _time(node["started_at"])
    if began is None:
        return ""
    ended = _time(node["finished_at"]) or now
    return f"{max(0.0, (ended - began).total_seconds()):.1f} s"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def progress_for(
    stream: TextIO, *, title: str, environ: Mapping[str, str], plain: bool
) -> PlainProgress | TableProgress:
    """The table on a terminal that can draw one, else plain lines. NO_COLOR takes the colours away."""
    if plain or not stream.isatty() or environ.get("TERM") == "dumb":
        return PlainProgress(stream)
    return TableProgress(title, coloured=not environ.get("NO_COLOR"))
