"""The command `secflow`: every command, and how each end becomes an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import redirect_stderr, suppress
from typing import Annotated

import typer

from secflow.cli.commands import accounts, acting, files, looking, others, reading
from secflow.cli.errors import CliError, ExitCode, UsageProblem
from secflow.cli.options import command
from secflow.cli.output import Output
from secflow.cli.safe import one_line
from secflow.cli.streams import prepare_streams, release_streams, unwritten

app = typer.Typer(
    name="secflow",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(others.own_version())
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Workflows on Kubernetes from the command line: build, run, watch, understand.

    \b
    First steps:
      secflow login https://secflow.example.org
      secflow run -f workflow.yaml --watch
      secflow describe NAME
      secflow logs NAME -f

    A NAME is the id of a workflow, or its name where only one has it.
    Every command explains itself: secflow COMMAND --help.
    """


# The order in which --help shows them.
files.add_to(app)
looking.add_to(app)
reading.add_to(app)
command(app, "watch", panel=looking.PANEL)(looking.watch_command)
acting.add_to(app)
accounts.add_to(app)
others.add_to(app)


def main() -> None:
    """Run the command line of this process and end it."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    if "_SECFLOW_COMPLETE" in os.environ:
        return _complete(arguments)
    try:
        prepare_streams()
        code = app(args=arguments, prog_name="secflow", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.OK
    except CliError as err:
        return _failed(err)
    except typer.TyperException as err:
        return _misused(err)
    except (KeyboardInterrupt, typer.Abort):
        with suppress(OSError):
            sys.stderr.write("\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.READER_LEFT
    except SystemExit as end:
        # typer and rich end with 1 when the reader leaves, which would be the code of a run that failed.
        if isinstance(end.__context__, BrokenPipeError):
            return ExitCode.READER_LEFT
        raise
    except OSError as err:
        full = unwritten(err)
        return _unexpected(err) if full is None else _failed(full)
    except Exception as err:  # noqa: BLE001  the last one: a traceback would end with the code of a run that failed
        return _unexpected(err)
    finally:
        release_streams()


def _complete(arguments: list[str]) -> int:
    """Words for the shell. Whatever goes wrong, nothing else is printed: the person is in the middle of a line."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()
    with redirect_stderr(io.StringIO()):
        try:
            app(args=arguments, prog_name="secflow", standalone_mode=False)
        except (Exception, KeyboardInterrupt):  # noqa: BLE001
            return ExitCode.UNEXPECTED
    return ExitCode.OK


def _unexpected(error: Exception) -> int:
    """A fault of the command itself, in one line; where it happened is for who asks."""
    if os.environ.get("SECFLOW_TRACEBACK"):
        traceback.print_exception(error)
    what = one_line(f"{type(error).__name__}: {error}".removesuffix(": "))
    fault = CliError(
        f"this command has a fault ({what})",
        hint="Report it, please, with what it prints when SECFLOW_TRACEBACK=1 is set; see that this holds no secrets.",
    )
    fault.code = ExitCode.UNEXPECTED
    return _failed(fault)


def _failed(error: CliError) -> int:
    # Where nobody can be told, the code says it.
    with suppress(OSError):
        Output().fail(error)
    return error.code


def _misused(error: typer.TyperException) -> int:
    """A command line that does not parse. Without arguments, the help was asked for and is shown."""
    text = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        with suppress(OSError):
            sys.stdout.write(f"{text}\n" if text else "")
        return ExitCode.USAGE
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "secflow"
    return _failed(UsageProblem(text, hint=f"`{where} --help` shows how it is used, with examples."))
