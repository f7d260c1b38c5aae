"""Tables of text: fitted to the width of a terminal, whole and without colours elsewhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from secflow.cli.safe import one_line

GAP = "  "
_SGR = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold red": "1;31"}
STATUS_STYLES = {
    "pending": "dim",
    "initializing": "cyan",
    "initialized": "cyan",
    "running": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "stopped": "yellow",
    "created": "green",
    "updated": "yellow",
    "unchanged": "dim",
    "error": "bold red",
    "warning": "yellow",
    "info": "dim",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `least` is the width below which it is not cut; 0: it is never cut. `wide`: shown with `-o wide` only."""

    heading: str
    least: int = 0
    wide: bool = False
    right: bool = False


def painted(text: str, style: str | None, *, colour: bool) -> str:
    """`text` in a style, where colours are wanted."""
    return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if colour and style else text


def width_of(text: str) -> int:
    """How many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, its end replaced by `…` when something is missing."""
    if width_of(text) <= width:
        return text
    kept, used = [], 0
    for letter in text:
        used += _cells(letter)
        if used > width - 1:
            break
        kept.append(letter)
    return "".join(kept) + "…"


def table_lines(
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    *,
    width: int | None,
    colour: bool = False,
    wide: bool = False,
    heading: bool = True,
) -> list[str]:
    """The lines of a table, cells made harmless. `width`: cells of the terminal, None when nothing is to be cut."""
    shown = [number for number, column in enumerate(columns) if wide or not column.wide]
    cells = [[one_line("" if row[number] is None else row[number]) for number in shown] for row in rows]
    chosen = [columns[number] for number in shown]
    if heading:
        cells.insert(0, [column.heading for column in chosen])
    widths = [max((width_of(row[place]) for row in cells), default=0) for place in range(len(chosen))]
    if width is not None:
        _fit(widths, chosen, width)
    lines = []
    for number, row in enumerate(cells):
        is_heading = heading and number == 0
        parts = [_cell(text, widths[place], chosen[place], is_heading, colour) for place, text in enumerate(row)]
        lines.append(GAP.join(parts).rstrip())
    return lines


def _fit(widths: list[int], columns: Sequence[Column], width: int) -> None:
    """Narrows the columns that may be cut, the last of them first."""
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    for place in sorted(range(len(columns)), key=lambda place: -place):
        least = columns[place].least
        if excess > 0 and least and widths[place] > least:
            taken = min(excess, widths[place] - least)
            widths[place] -= taken
            excess -= taken


def _cell(text: str, width: int, column: Column, is_heading: bool, colour: bool) -> str:
    text = cut(text, width)
    space = " " * (width - width_of(text))
    style = "bold" if is_heading else STATUS_STYLES.get(text.rstrip(" !"))
    shown = painted(text, style, colour=colour)
    return space + shown if column.right else shown + space


def _cells(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
