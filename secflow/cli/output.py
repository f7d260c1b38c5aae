"""What a command says: results on standard output, in the form that was asked for; remarks and errors on standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TextIO

from secflow.cli.errors import CliError
from secflow.cli.safe import is_steering, json_safe, lines_of, one_line
from secflow.cli.table import Column, painted, table_lines

Json = dict[str, Any]


class Format(StrEnum):
    """The forms of a result."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class Output:
    """The two streams of one command."""

    def __init__(self, *, form: Format = Format.TABLE, environ: Mapping[str, str] | None = None) -> None:
        self.form = form
        self._environ = os.environ if environ is None else environ
        self.stdout: TextIO = sys.stdout
        self.stderr: TextIO = sys.stderr

    @property
    def is_for_people(self) -> bool:
        """Whether the result is a table or text, not data for a program."""
        return self.form in (Format.TABLE, Format.WIDE)

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at standard output, on a terminal that can move its cursor."""
        return self.stdout.isatty() and self._environ.get("TERM") != "dumb"

    @property
    def has_colour(self) -> bool:
        """Whether standard output may be coloured."""
        return self.is_terminal and not self._environ.get("NO_COLOR")

    @property
    def width(self) -> int | None:
        """The cells of a line of the terminal, None elsewhere."""
        return shutil.get_terminal_size((100, 24)).columns if self.stdout.isatty() else None

    def items(
        self, items: Sequence[Json], columns: Sequence[Column], row: Callable[[Json], Sequence[object]], *, empty: str
    ) -> None:
        """A list: an array as data, ids as names, else a table; `empty` is said when there is nothing."""
        if not self.is_for_people:
            self.data(list(items), names=[str(item["id"]) for item in items])
        elif items:
            self.table(columns, [row(item) for item in items])
        else:
            self.remark(empty)

    def data(self, value: Any, *, names: Sequence[str] = ()) -> None:
        """`value` as JSON or YAML, or `names`, one a line."""
        if self.form is Format.NAME:
            self.say(*names)
        elif self.form is Format.YAML:
            self.say(_yaml(value).rstrip("\n"), raw=True)
        else:
            self.say(json_safe(json.dumps(value, indent=2, ensure_ascii=False)), raw=True)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[object]], *, indent: str = "") -> None:
        """Rows under their headings."""
        width = None if self.width is None else self.width - len(indent)
        wide = self.form is Format.WIDE
        for line in table_lines(columns, rows, width=width, colour=self.has_colour, wide=wide):
            self.say(indent + line, raw=True)

    def say(self, *lines: str, raw: bool = False) -> None:
        """Lines of the result. What others wrote in them is made harmless unless `raw`."""
        for line in lines:
            for part in [line] if raw else lines_of(line):
                self._write(self.stdout, part)

    def styled(self, text: str, style: str | None) -> str:
        """One harmless line in a style."""
        return painted(one_line(text), style, colour=self.has_colour)

    def remark(self, text: str) -> None:
        """Something for the person, not part of the result."""
        for line in lines_of(text):
            self._write(self.stderr, line)

    def fail(self, error: CliError) -> None:
        """Why the command ends, and what to do next."""
        colour = self.stderr.isatty() and not self._environ.get("NO_COLOR") and self._environ.get("TERM") != "dumb"
        first, *rest = lines_of(error.message)
        self._write(self.stderr, f"{painted('Error:', 'bold red', colour=colour)} {first}")
        for line in rest:
            self._write(self.stderr, f"  {line}")
        for line in error.lines:
            self._write(self.stderr, f"  - {one_line(line)}")
        if error.hint:
            self._write(self.stderr, f"{painted('Hint:', 'cyan', colour=colour)} {one_line(error.hint)}")

    def _write(self, stream: TextIO, line: str) -> None:
        try:
            stream.write(f"{line}\n")
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()


def _yaml(value: Any) -> str:
    import yaml

    is_plain = not is_steering(json.dumps(value, ensure_ascii=False))
    return str(yaml.safe_dump(value, allow_unicode=is_plain, sort_keys=False, width=120))
