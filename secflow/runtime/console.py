"""What the supervisor says on the terminal: short lines, coloured only where a person looks at them."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

_COLOURS = ("36", "32", "33", "35", "34", "96", "92", "93", "95")
_DIM, _BOLD, _RED, _GREEN, _YELLOW = "2", "1", "31", "32", "33"


class Console:
    """Writes to one stream. `plain` drops colours; so do NO_COLOR, TERM=dumb and a stream that is no terminal."""

    def __init__(self, stream: TextIO, *, environ: Mapping[str, str], plain: bool = False) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty() and environ.get("TERM") != "dumb"
        self._coloured = self.is_terminal and not plain and not environ.get("NO_COLOR")
        self._numbers: dict[str, int] = {}
        self.muted = False

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured else text

    def say(self, text: str = "") -> None:
        """One line for the person who started this."""
        self._write(text)

    def done(self, name: str, what: str, seconds: float) -> None:
        """A part finished a step of the start."""
        self._write(f"  {self._paint('✓', _GREEN)} {name:<11} {what:<28} {self._paint(f'{seconds:5.1f} s', _DIM)}")

    def warn(self, text: str) -> None:
        """Something that needs attention but stops nothing."""
        self._write(self._paint(text, _YELLOW))

    def fail(self, text: str) -> None:
        """Why this ends."""
        self._write(self._paint(text, _RED))

    def line_of(self, name: str, line: str) -> None:
        """A line that process `name` wrote. Nothing while `muted`."""
        if self.muted:
            return
        colour = _COLOURS[self._numbers.setdefault(name, len(self._numbers)) % len(_COLOURS)]
        clock = time.strftime("%H:%M:%S")
        self._write(f"{self._paint(clock, _DIM)} {self._paint(f'{name:<9}', colour)} {line}")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            # The reader left (`| head`). The parts go on; their logs are in files.
            self._stream = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115  lives as long as the process


def standard_console(environ: Mapping[str, str], *, plain: bool = False) -> Console:
    """The console on standard output."""
    return Console(sys.stdout, environ=environ, plain=plain)
