"""The table of fault scenarios in docs/promises.md, made from the tests: `python -m tests.faults.listing` writes it anew."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "promises.md"
BEGIN, END = "<!-- scenarios: made by `python -m tests.faults.listing` -->\n", "<!-- scenarios end -->"
_NAME = re.compile(r"test_(f\d\d)_\w+")
_TEXT = re.compile(r"Fault: (?P<fault>.+?) Criterion: (?P<criterion>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault test. `number` is F01 to F46; the texts are those of its docstring."""

    number: str
    fault: str
    criterion: str
    file: str
    name: str


def scenarios() -> list[Scenario]:
    """Every fault test, sorted by number. Raises ValueError for one whose docstring does not say fault and criterion."""
    found = [item for path in sorted((ROOT / "tests").rglob("test_*.py")) for item in _of_file(path)]
    return sorted(found, key=lambda item: (item.number, item.file, item.name))


def _of_file(path: Path) -> Iterator[Scenario]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or (match := _NAME.fullmatch(function.name)) is None:
            continue
        said = _TEXT.fullmatch(" ".join((ast.get_docstring(function) or "").split()))
        where = path.relative_to(ROOT).as_posix()
        if said is None:
            raise ValueError(f"{where}: {function.name} needs a docstring of the form `Fault: ... Criterion: ...`")
        yield Scenario(match[1].upper(), said["fault"], said["criterion"], where, function.name)


def table() -> str:
    """The table, one row for each test."""
    by_number: dict[str, list[Scenario]] = defaultdict(list)
    for item in scenarios():
        by_number[item.number].append(item)
    lines = ["| # | Fault | Criterion | Test |", "|---|---|---|---|"]
    for number, items in sorted(by_number.items()):
        for place, item in enumerate(items):
            shown = _sentence(item.fault), _sentence(item.criterion), f"[{item.name}](../{item.file})"
            lines.append(
                f"| {'' if place else number} | " + " | ".join(text.replace("|", "\\|") for text in shown) + " |"
            )
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def main() -> None:
    """Writes the table into the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
