"""How a command ends when it does not end well: a sentence, what to do next, and an exit code that scripts can rely on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The exit codes, as docs/command-line.md lists them."""

    OK = 0
    WORKFLOW_FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    NOT_LOGGED_IN = 6
    TIMED_OUT = 7
    UNEXPECTED = 70
    NOT_WRITTEN = 74
    INTERRUPTED = 130
    READER_LEFT = 141


class CliError(Exception):
    """Ends the command. `hint` says what to do next, `lines` are shown below the message."""

    code = ExitCode.REFUSED

    def __init__(self, message: str, *, hint: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.lines = tuple(lines)


class UsageProblem(CliError):
    """The command line cannot be meant as it is written."""

    code = ExitCode.USAGE


class WorkflowFailed(CliError):
    """The command did what it was asked for; the workflow did not succeed."""

    code = ExitCode.WORKFLOW_FAILED


class Refused(CliError):
    """The server said no. `after_lost_answer`: an earlier try of the same request may have got through."""

    code = ExitCode.REFUSED

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        details: Any = None,
        hint: str = "",
        lines: Sequence[str] = (),
        after_lost_answer: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, lines=lines)
        self.status = status
        self.details = details
        self.after_lost_answer = after_lost_answer


class Missing(Refused):
    """There is no such thing, or the caller may not know of it."""

    code = ExitCode.NOT_FOUND


class Unreachable(CliError):
    """No server answers there, or it cannot do its work now. `details` are those of its answer, if it gave one."""

    code = ExitCode.UNREACHABLE

    def __init__(self, message: str, *, details: Any = None, hint: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint, lines=lines)
        self.details = details


class NotLoggedIn(CliError):
    """There is no token, or it is not accepted any more."""

    code = ExitCode.NOT_LOGGED_IN


class TimedOut(CliError):
    """The time that the caller gave is over; what was waited for goes on."""

    code = ExitCode.TIMED_OUT


class NotWritten(CliError):
    """What the command says cannot be written where it was sent."""

    code = ExitCode.NOT_WRITTEN


class Interrupted(CliError):
    """Ctrl-C. `message` says what goes on without us."""

    code = ExitCode.INTERRUPTED
