"""The standard streams and arguments of the process, whatever whoever started it made of them."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress

from secflow.cli.errors import NotWritten, UsageProblem

# What the system says of a place that takes no more, or never did.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


class _NoInput(io.StringIO):
    """Standard input that was closed: a sentence for the command that reads it, and nothing to the others."""

    def read(self, size: int | None = -1, /) -> str:
        raise _no_input()

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        raise _no_input()


def _no_input() -> UsageProblem:
    return UsageProblem("standard input is closed", hint="Pipe something in, or name a file.")


def prepare_streams() -> None:
    """Makes the streams fit to be used. Raises UsageProblem when there is no standard output: nothing was done yet then."""
    if sys.stdin is None:
        # Its number is taken, or a connection to the server would get it.
        os.open(os.devnull, os.O_RDONLY)
        sys.stdin = _NoInput()
    elif isinstance(sys.stdin, io.TextIOWrapper):
        # As files are read: by default Python lets bytes through that are no text, and they cannot be sent.
        encoding = None if sys.stdin.isatty() else "utf-8"
        sys.stdin.reconfigure(encoding=encoding, errors="strict")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  until the process ends
    if sys.stdout is None:
        raise UsageProblem("standard output is closed", hint="Nothing was done; `>/dev/null` leaves the result out.")


def release_streams() -> None:
    """Drops what could not be written, about which Python would complain at the end."""
    # typer replaces those of `sys` by some that do not complain, and these complain later.
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError), open(os.devnull, "w", encoding="utf-8") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def unwritten(error: OSError) -> NotWritten | None:
    """The sentence for an error that says that the output takes nothing; None when it is another error."""
    if error.errno not in _UNWRITABLE:
        return None
    return NotWritten(
        f"the output cannot be written: {error.strerror}",
        hint="Make room, or write it elsewhere. What the server was asked to do, it does all the same.",
    )


def demand_text(value: object) -> None:
    """Raises UsageProblem for a word, or one of several, whose bytes are not UTF-8: no name is like that, and it cannot be sent."""
    for word in value if isinstance(value, list) else [value]:
        if isinstance(word, str) and any("\udc80" <= letter <= "\udcff" for letter in word):
            shown = word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            raise UsageProblem(
                f"'{shown}' is not text in UTF-8", hint="Write it in UTF-8: `locale` says what your terminal writes."
            )
