"""`manage.py up` and `manage.py quickstart`, without Django: the supervisor stays small."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secflow.runtime import parts
from secflow.runtime.console import Console, standard_console
from secflow.runtime.errors import StandError
from secflow.runtime.layout import open_layout, take_lock, write_private
from secflow.runtime.parts import Stand
from secflow.runtime.processes import end_leftovers, spawn
from secflow.runtime.supervisor import Supervisor
from secflow.settings import environment
from secflow.settings.environment import BASE_DIR, ConfigurationError


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    example: bool = False
    leave: bool = False
    plain: bool = False


def add_arguments(parser: argparse.ArgumentParser, *, quickstart: bool) -> None:
    """Declare the options of one of the two commands."""
    parser.add_argument("--plain", action="store_true", help="plain lines: no colours, no table that moves")
    if quickstart:
        parser.add_argument("--exit", action="store_true", help="stop after the example; code 0 only if it succeeded")


def main(arguments: Sequence[str]) -> int:
    """Run `up` or `quickstart` with its arguments; returns the exit code."""
    command, *rest = arguments
    quickstart = command == "quickstart"
    parser = argparse.ArgumentParser(
        prog=f"manage.py {command}",
        description="Start everything and run the example workflow."
        if quickstart
        else "Start everything and keep it running.",
    )
    add_arguments(parser, quickstart=quickstart)
    found = parser.parse_args(rest)
    return run(Options(example=quickstart, leave=getattr(found, "exit", False), plain=found.plain))


def run(options: Options) -> int:
    """Start the stand, run the example if asked, serve until a signal.

    Returns 0 for a good end, 1 when the example failed, 2 when something prevents the start (a sentence says what), 130
    when it was interrupted before.
    """
    os.umask(0o077)
    given = environment.process_environment()
    console = standard_console(given, plain=options.plain)
    try:
        layout = open_layout(environment.data_dir(given))
        take_lock(layout)  # kept by the kernel until this process ends
        if ended := end_leftovers(layout.pids, patience=5):
            console.warn(f"{ended} processes of an earlier start were still there and have been ended.")
        return _serve(parts.assemble(layout, given), console, options)
    except ConfigurationError as err:
        console.fail("SecFlow cannot start:\n" + "\n".join(f"  - {problem}" for problem in err.problems))
        return 2
    except StandError as err:
        console.fail(f"SecFlow cannot start: {err}")
        return 2


def _serve(stand: Stand, console: Console, options: Options) -> int:
    layout = stand.layout
    began = time.monotonic()
    console.say(f"SecFlow starts; data in {layout.root}")
    console.muted = True
    given = environment.process_environment()
    names = tuple(variable.name for variable in environment.variables())
    supervisor = Supervisor(
        stand.services,
        console=console,
        env=stand.env,
        cwd=BASE_DIR,
        logs=layout.logs,
        pids=layout.pids,
        stop_order=stand.stop_order,
    )
    code = 0
    try:
        with supervisor:
            write_private(layout.env, parts.env_file(stand.addresses, given, names))
            supervisor.bring_up()
            if supervisor.stop_asked:
                return 130
            console.done("all parts", "ready", time.monotonic() - began)
            if options.example:
                code = _run_example(stand, supervisor, options)
            if not supervisor.stop_asked and not (options.example and options.leave):
                _say_where(stand, console)
                console.muted = options.example
                supervisor.run()
            console.muted = True
            console.say("SecFlow stops.")
    finally:
        layout.env.unlink(missing_ok=True)
    return code


def _run_example(stand: Stand, supervisor: Supervisor, options: Options) -> int:
    """The example in a process of its own: it owns the terminal meanwhile, and the supervisor stays small."""
    command = [sys.executable, "-m", "secflow.runtime.example", f"--url={stand.url}"]
    command.append(f"--password-file={stand.layout.admin_password}")
    if options.plain:
        command.append("--plain")
    child = spawn(command, env=stand.env, cwd=BASE_DIR, stdout=None, own_group=False)
    try:
        supervisor.run(until=lambda: child.poll() is not None)
    finally:
        if child.poll() is None:
            child.terminate()
        code = child.wait()
    return code if code >= 0 else 130


def _login_command(stand: Stand) -> str:
    """How a person at this terminal begins with the command line: no password has to be typed on this machine."""
    folder = Path(sys.executable).parent
    command = folder / "secflow"
    if folder.is_relative_to(BASE_DIR):
        command = command.relative_to(BASE_DIR)
    elsewhere = "" if stand.layout.root == BASE_DIR / ".secflow" else f"DATA_DIR={shlex.quote(str(stand.layout.root))} "
    return f"{elsewhere}{command} login --local"


def _say_where(stand: Stand, console: Console) -> None:
    settings, layout = stand.settings, stand.layout
    password = "the one you gave" if settings.superuser_password else f"in {layout.admin_password}"
    console.say()
    console.say(f"  Console     {stand.url}/admin/")
    console.say(f"  Swagger UI  {stand.url}/api/docs/")
    console.say(f"  API         {stand.url}/api/workflow")
    console.say(f"  User        {settings.superuser_username}, password {password}")
    console.say(
        f"  Cluster     KUBECONFIG={stand.addresses.get('KUBECONFIG') or settings.kubeconfig or '(in the pod)'}"
    )
    console.say(f"  Logs        {layout.logs}")
    console.say(f"  Commands    {_login_command(stand)}")
    console.say("  Ctrl-C stops everything; the data stays.")
    console.say()
