"""How commands are declared: each gets a Session first, and the options that all of them have are added to its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from secflow.cli.completing import complete_contexts, complete_instances
from secflow.cli.errors import UsageProblem
from secflow.cli.output import Format
from secflow.cli.session import Choices, Session
from secflow.cli.streams import demand_text

WHERE = "Server"  # the panel of the options that say which server
FORM = "Output"

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The workflow's id, or its name where only one has it.", autocompletion=complete_instances
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Ids or names of workflows.", autocompletion=complete_instances),
]
OptionalName = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The workflow's id or name.", autocompletion=complete_instances),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="TIME", help="Stop waiting after this time, such as 90s or 10m (exit code 7)."),
]

_SHARED: dict[str, tuple[Any, Any]] = {
    "form": (
        Annotated[Format, typer.Option("--output", "-o", help="Form of the result.", rich_help_panel=FORM)],
        Format.TABLE,
    ),
    "project": (
        Annotated[
            str | None,
            typer.Option("--project", "-p", envvar="SECFLOW_PROJECT", help="Only this project.", rich_help_panel=WHERE),
        ],
        None,
    ),
    "context": (
        Annotated[
            str | None,
            typer.Option(
                "--context",
                envvar="SECFLOW_CONTEXT",
                help="A remembered login.",
                rich_help_panel=WHERE,
                autocompletion=complete_contexts,
            ),
        ],
        None,
    ),
    "url": (
        Annotated[
            str | None,
            typer.Option("--url", envvar="SECFLOW_URL", help="Address of the server.", rich_help_panel=WHERE),
        ],
        None,
    ),
    "ca_file": (
        Annotated[
            str | None,
            typer.Option(
                "--ca-file",
                metavar="FILE",
                envvar="SECFLOW_CA_FILE",
                help="Also trust this authority (PEM).",
                rich_help_panel=WHERE,
            ),
        ],
        None,
    ),
    "insecure": (
        Annotated[bool, typer.Option("--insecure", help="Do not check the certificate.", rich_help_panel=WHERE)],
        False,
    ),
    "timeout": (
        Annotated[
            float,
            typer.Option(
                "--request-timeout",
                metavar="SECONDS",
                min=0.1,
                help="Longest wait for an answer.",
                rich_help_panel=WHERE,
            ),
        ],
        30.0,
    ),
}
_PREFIX = "shared_"
_PATHS = ("files", "ca_file")  # a file may have any bytes as its name


def command(
    app: typer.Typer, name: str, *, panel: str | None = None, without: tuple[str, ...] = (), hidden: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare `function(session, ...)` as the command `name`. `without` names shared options that mean nothing to it."""

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        shared = {key: value for key, value in _SHARED.items() if key not in without}

        @functools.wraps(function)
        def run(**given: Any) -> None:
            chosen = {key: given.pop(_PREFIX + key) for key in shared}
            for key, value in {**given, **chosen}.items():
                if key not in _PATHS:
                    demand_text(value)
            function(Session(Choices(**chosen)), **given)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        added = [
            inspect.Parameter(_PREFIX + key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in shared.items()
        ]
        run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in [*own, *added]}
        app.command(name, rich_help_panel=panel, hidden=hidden)(run)
        return function

    return declare


def demand_yes(session: Session, yes: bool, question: str) -> None:
    """Go on only when the person agrees, or `--yes` was given. Raises UsageProblem where nobody can be asked."""
    if yes:
        return
    import sys

    if not sys.stdin.isatty():
        raise UsageProblem(f"{question} Nobody can be asked here", hint="Give --yes when it is meant.")
    if not typer.confirm(question, default=False, err=True):
        raise UsageProblem("nothing was done", hint="Give --yes to do it without this question.")
