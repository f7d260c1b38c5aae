"""What the server or the offline check finds in a workflow file, with the line where it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from secflow.cli.documents import Document
from secflow.cli.errors import CliError
from secflow.cli.safe import one_line

Json = dict[str, Any]
# A word, a number in brackets, or a key in brackets and quotes: `spec.templates["a b"].containers[0]`.
_PART = re.compile(r'\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\.?([^.\[]+)')


def place(findings: Sequence[Json], document: Document) -> None:
    """Gives the findings the lines of the file, where something else than its text was sent."""
    for item in findings:
        # Of what was sent, which has other lines.
        item.pop("line", None)
        item.pop("column", None)
        line = document.lines.line_of(path_of(item["path"])) if document.lines else None
        if line is not None:
            item["line"] = line


def path_of(text: str) -> tuple[str | int, ...]:
    """The keys and numbers that a path in words stands for."""
    return tuple(
        int(number) if number else json.loads(quoted) if quoted else word
        for number, quoted, word in _PART.findall(text)
    )


def in_words(item: Json, *, source: str, file: str) -> str:
    """One finding without its severity: file and line, path, message. `source` is said where no line is known."""
    where = f"{one_line(file)}:{item['line']}" if item.get("line") else one_line(source)
    path = f"{one_line(item['path'])}: " if item["path"] else ""
    return f"{where}: {path}{one_line(item['message'])}"


def tell_refused(error: CliError, document: Document, findings: Sequence[Json]) -> None:
    """Makes the error say each finding once, as `lint` does: the only error as its message, everything else below it."""
    errors = [item for item in findings if item["severity"] == "error"]
    below = [item for item in findings if item["severity"] != "error" or len(errors) > 1]

    def words(item: Json) -> str:
        return in_words(item, source=document.place, file=document.source)

    error.message = words(errors[0]) if len(errors) == 1 else f"{document.place}: {len(errors)} errors"
    error.lines = tuple(f"{item['severity']}: {words(item)}" for item in below)
