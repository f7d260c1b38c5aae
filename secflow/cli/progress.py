"""How a run looks while it is watched: a table that moves on a terminal, one line for each change elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from secflow.cli.output import Output
from secflow.cli.safe import one_line
from secflow.cli.table import STATUS_STYLES, Column, cut, painted, table_lines, width_of
from secflow.cli.times import duration

if TYPE_CHECKING:
    from rich.text import Text

Json = dict[str, Any]

NODE_COLUMNS = (
    Column("NODE", least=12),
    Column("TYPE"),
    Column("STATUS"),
    Column("TIME", right=True),
    Column("MESSAGE", least=10),
)
# What is shown first when not every node has a place.
_URGENCY = {"failed": 0, "running": 1, "stopped": 2, "pending": 3, "succeeded": 4}
_FRAME = 4  # lines around the rows


def node_row(node: Json) -> list[object]:
    """A node as a row of NODE_COLUMNS."""
    return [node["name"], node["node_type"], node["status"], duration(node), trouble_of(node)]


def trouble_of(node: Json) -> str:
    """What there is to say about a node, shortly."""
    diagnosis = node.get("diagnosis") or {}
    return str(diagnosis.get("summary") or node.get("message") or "")


def count_line(nodes: Sequence[Json]) -> str:
    """`5 of 12 nodes done, 2 running, 1 failed`."""
    counts = Counter(node["status"] for node in nodes)
    parts = [f"{counts['succeeded']} of {len(nodes)} nodes done"]
    parts += [f"{counts[word]} {word}" for word in ("running", "failed", "stopped") if counts[word]]
    return ", ".join(parts)


class Progress(Protocol):
    """Shows a workflow each time it was read."""

    def show(self, instance: Json) -> None:
        """As it is now."""

    def note(self, text: str) -> None:
        """Something about the watching itself."""


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """One line for each change of a node, or of the workflow."""

    def __init__(self, stream: TextIO, *, prefix: str = "") -> None:
        self._stream = stream
        self._prefix = f"{one_line(prefix)}: " if prefix else ""
        self._seen: dict[str, tuple[str, str]] = {}
        self._status = ""
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, instance: Json) -> None:
        width = min(24, max((width_of(one_line(node["name"])) for node in instance["nodes"]), default=0))
        for node in instance["nodes"]:
            now = (node["status"], trouble_of(node))
            if self._seen.get(node["id"], ("pending", "")) != now:
                self._seen[node["id"]] = now
                name = one_line(node["name"])
                name += " " * (width - width_of(name))
                self._line(f"{name}  {node['status']:<9}  {one_line(now[1])}")
        if instance["status"] != self._status:
            self._status = instance["status"]
            self._line(f"workflow {self._status}  {one_line(instance['message'] or '')}")

    def note(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str) -> None:
        clock = f"{time.monotonic() - self._began:6.1f} s"
        self._stream.write(f"{clock}  {self._prefix}{text}".rstrip() + "\n")
        self._stream.flush()


class MovingProgress(AbstractContextManager["MovingProgress"]):
    """A table with a row for each node, drawn anew in place; times go on between two reads."""

    def __init__(self, out: Output) -> None:
        # Only a terminal pays for the import.
        from rich.console import Console
        from rich.live import Live

        self._out = out
        self._instance: Json | None = None
        self._note = ""
        self._live = Live(
            console=Console(file=sys.stdout, no_color=not out.has_colour, highlight=False),
            get_renderable=self._drawn,
            refresh_per_second=4,
            transient=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def show(self, instance: Json) -> None:
        self._instance, self._note = instance, ""
        self._live.refresh()

    def note(self, text: str) -> None:
        self._note = text
        self._live.refresh()

    def _drawn(self) -> Text:
        from rich.text import Text

        width, height = shutil.get_terminal_size((100, 24))
        lines = [] if self._instance is None else picture(self._instance, width, height, colour=self._out.has_colour)
        if self._note:
            lines.append(cut(one_line(self._note), width))
        return Text.from_ansi("\n".join(lines), no_wrap=True)


def picture(instance: Json, width: int, height: int, *, colour: bool) -> list[str]:
    """The lines of the moving table. When the terminal is too low for all nodes, those that matter now are shown."""
    nodes: list[Json] = instance["nodes"]
    room = max(3, height - _FRAME)
    shown = nodes
    if len(nodes) > room:
        urgent = sorted(range(len(nodes)), key=lambda place: (_URGENCY.get(nodes[place]["status"], 9), place))
        shown = [nodes[place] for place in sorted(urgent[: room - 1])]
    status = instance["status"]
    head = f"{one_line(instance['name'])}: "
    head = cut(head, max(10, width - 40)) + painted(status, STATUS_STYLES.get(status), colour=colour)
    lines = [f"{head}  {count_line(nodes)}  {duration(instance)}".rstrip()]
    lines += table_lines(NODE_COLUMNS, [node_row(node) for node in shown], width=width, colour=colour)
    if len(shown) < len(nodes):
        lines.append(f"... and {len(nodes) - len(shown)} more")
    return lines


def progress_for(out: Output, *, prefix: str = "") -> PlainProgress | MovingProgress:
    """The moving table on a terminal; else lines, on standard error when standard output is for data."""
    if not out.is_for_people:
        return PlainProgress(sys.stderr, prefix=prefix)
    return PlainProgress(sys.stdout, prefix=prefix) if prefix or not out.is_terminal else MovingProgress(out)
