"""What the bench reports: one row per figure, its aim and the verdict, as a table, as JSON and as Markdown. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rich.table import Table

_DIGITS = {"ms": 1, "s": 2, "MB": 0, "%": 1, "/s": 1}
HEADINGS = ("Figure", "SecFlow", "Floor", "Ratio", "Aim", "Verdict", "Note")


class Skipped(Exception):
    """A part cannot be measured here; the text says why."""


class Verdict(StrEnum):
    """What became of one figure."""

    MET = "met"
    MISSED = "MISSED"
    REPORTED = "reported"
    SKIPPED = "skipped"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `floor` is the same measured on what SecFlow is compared with, in the same run.

    The aims are limits of the value itself (`most`) and of value / floor (`most_ratio`, `least_ratio`); all that are given have to
    hold. `outcome` is set when there is no value.
    """

    figure: str
    value: float | None = None
    unit: str = ""
    floor: float | None = None
    most: float | None = None
    most_ratio: float | None = None
    least_ratio: float | None = None
    note: str = ""
    outcome: Verdict | None = None

    @property
    def ratio(self) -> float | None:
        """Value / floor, None without a floor."""
        if self.value is None or not self.floor:
            return None
        return self.value / self.floor

    @property
    def verdict(self) -> Verdict:
        """Whether every aim holds. An aim whose ratio cannot be formed is missed."""
        if self.outcome is not None:
            return self.outcome
        checks: list[bool] = []
        if self.most is not None:
            checks.append(self.value is not None and self.value <= self.most)
        if self.most_ratio is not None:
            checks.append(self.ratio is not None and self.ratio <= self.most_ratio)
        if self.least_ratio is not None:
            checks.append(self.ratio is not None and self.ratio >= self.least_ratio)
        if not checks:
            return Verdict.REPORTED
        return Verdict.MET if all(checks) else Verdict.MISSED

    @property
    def aim(self) -> str:
        """The aims in words."""
        parts = []
        if self.most is not None:
            parts.append(f"<= {shown(self.most, self.unit, digits=None)}")
        if self.most_ratio is not None:
            parts.append(f"<= {self.most_ratio:g}x")
        if self.least_ratio is not None:
            parts.append(f">= {self.least_ratio:g}x")
        return ", ".join(parts)

    def cells(self) -> tuple[str, ...]:
        """The texts of the row, in the order of HEADINGS."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        value, floor = shown(self.value, self.unit), shown(self.floor, self.unit)
        return (self.figure, value, floor, ratio, self.aim, str(self.verdict), self.note)


def shown(value: float | None, unit: str, *, digits: int | None = -1) -> str:
    """The number with its unit; `digits` None writes it as short as it is."""
    if value is None:
        return ""
    number = f"{value:g}" if digits is None else f"{value:.{_DIGITS.get(unit, 2)}f}"
    return f"{number} {unit}".strip()


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of all lie, between two neighbours in proportion. Raises ValueError for no values."""
    if not values:
        raise ValueError("there are no values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def is_bad(rows: Sequence[Row]) -> bool:
    """Some aim was missed, or a part failed."""
    return any(row.verdict in (Verdict.MISSED, Verdict.FAILED) for row in rows)


def line(row: Row) -> str:
    """The figure in a line, as far as there is one."""
    value, floor, aim = shown(row.value, row.unit), shown(row.floor, row.unit), row.aim
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x of {floor}"
    parts = [value, ratio, aim and f"aim {aim}", str(row.verdict), row.note if row.value is None else ""]
    return f"{row.figure}: {', '.join(part for part in parts if part)}"


def table(rows: Sequence[Row], title: str) -> Table:
    """For a terminal; the notes would make it too wide and stand in `notes`."""
    made = Table(*HEADINGS[:-1], title=title)
    colours = {Verdict.MET: "green", Verdict.MISSED: "red", Verdict.FAILED: "red", Verdict.SKIPPED: "yellow"}
    for row in rows:
        cells = list(row.cells()[:-1])
        colour = colours.get(row.verdict)
        cells[5] = f"[{colour}]{cells[5]}[/]" if colour else cells[5]
        made.add_row(*cells)
    return made


def notes(rows: Sequence[Row]) -> str:
    """One line for each row that has a note."""
    return "\n".join(f"{row.figure}: {row.note}" for row in rows if row.note)


def markdown(rows: Sequence[Row]) -> str:
    """For the README's section on speed."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def as_data(row: Row) -> dict[str, Any]:
    """For --json."""
    return {**asdict(row), "outcome": None, "ratio": row.ratio, "aim": row.aim, "verdict": str(row.verdict)}
