"""The shell's completion, and what version this is."""

from __future__ import annotations

import platform
from typing import Annotated, Any

import typer

from secflow.cli.errors import CliError, NotLoggedIn, UsageProblem
from secflow.cli.options import command
from secflow.cli.routes import READ_HEALTH
from secflow.cli.session import Session

PANEL = "More"
_SHELLS = ("bash", "zsh", "fish")


def completion(
    session: Session,
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Whose words it is written in.")],
) -> None:
    """Print a script that lets the shell complete commands and names.

    \b
    Examples:
      source <(secflow completion bash)
      secflow completion zsh > ~/.zfunc/_secflow
      secflow completion fish > ~/.config/fish/completions/secflow.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    if shell not in _SHELLS:
        raise UsageProblem(f"{shell!r} is no shell that is known here", hint=f"There are: {', '.join(_SHELLS)}.")
    session.out.say(get_completion_script(prog_name="secflow", complete_var="_SECFLOW_COMPLETE", shell=shell), raw=True)


def version(session: Session) -> None:
    """Print the version, and whether the server answers.

    \b
    Examples:
      secflow version
      secflow version -o json
    """
    found: dict[str, Any] = {
        "version": own_version(),
        "python": platform.python_version(),
        "server": None,
        "health": None,
    }
    try:
        found["server"] = session.login[1].url
        found["health"] = _health(session)
    except NotLoggedIn:
        found["health"] = None
    except CliError as err:
        found["health"] = err.message
    if session.out.is_for_people:
        session.out.say(f"secflow {found['version']} (Python {found['python']})")
        if found["server"]:
            session.out.say(f"Server {found['server']}: {found['health']}")
    else:
        session.out.data(found, names=[found["version"]])


def _health(session: Session) -> str:
    transport = session.transport(session.login[1])
    answer = transport.send(READ_HEALTH.method, READ_HEALTH.at(), headers={}, may_repeat=True, tries=1)
    is_ours = answer.status == 200 and b"secflow-workflow-service" in answer.content
    return "ok" if is_ours else f"something else than SecFlow answers there ({answer.status})"


def own_version() -> str:
    """The version of the package that is installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("secflow")
    except PackageNotFoundError:
        return "unknown"


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    nothing = ("form", "project", "context", "url", "ca_file", "insecure", "timeout")
    command(app, "completion", panel=PANEL, without=nothing)(completion)
    command(app, "version", panel=PANEL, without=("project",))(version)
