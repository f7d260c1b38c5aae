"""What one does with workflows: start, stop, init, uninit, trigger, activate, deactivate, sync, delete."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from secflow.cli.client import Json, new_key
from secflow.cli.commands.looking import finish
from secflow.cli.errors import CliError, ExitCode, Missing, Refused, Unreachable
from secflow.cli.finding import find_instance, read_instance
from secflow.cli.options import Names, Timeout, Yes, command, demand_yes
from secflow.cli.routes import (
    ACTIVATE,
    DEACTIVATE,
    DELETE_INSTANCE,
    INITIALIZE,
    START,
    STOP,
    SYNC,
    TRIGGER,
    UNINITIALIZE,
    Route,
)
from secflow.cli.safe import one_line
from secflow.cli.session import Session
from secflow.cli.table import STATUS_STYLES
from secflow.cli.times import seconds_of
from secflow.cli.watching import has_ended, watch

PANEL = "Act"
Wait = Annotated[bool, typer.Option("--wait", help="Return only when it is done.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow the run to its end.")]
Key = Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key starts no second run.")]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of the API. `leads_to`: statuses that say that it was done, should its answer get lost."""

    route: Route
    leads_to: Collection[str]


_START = Verb(START, ("running",))
_TRIGGER = Verb(TRIGGER, ("running",))
_STOP = Verb(STOP, ("stopped",))
_INIT = Verb(INITIALIZE, ("initializing", "initialized"))
_UNINIT = Verb(UNINITIALIZE, ("pending",))
_DELETE = Verb(DELETE_INSTANCE, ())


def start(session: Session, names: Names, watching: Watch = False, timeout: Timeout = None, key: Key = None) -> None:
    """Start a run of drafts, and of what is initialized or stopped.

    Those that have run already: secflow trigger. A lost answer is asked for
    again with the same idempotency key, so nothing runs twice.

    \b
    Examples:
      secflow start nightly --watch
      secflow start nightly weekly
      secflow start nightly --key "$BUILD_ID"
    """
    _run(session, names, _START, watching, timeout, key)


def trigger(session: Session, names: Names, watching: Watch = False, timeout: Timeout = None, key: Key = None) -> None:
    """Run workflows again that have succeeded, failed or stopped.

    \b
    Examples:
      secflow trigger nightly --watch
      secflow trigger nightly --key "$BUILD_ID"
    """
    _run(session, names, _TRIGGER, watching, timeout, key)


def stop(session: Session, names: Names, wait: Wait = False, timeout: Timeout = None) -> None:
    """End runs, and remove what they have in the cluster.

    \b
    Examples:
      secflow stop nightly
      secflow stop $(secflow ps --all --status running -o name)
    """
    _each(session, names, _STOP, _until("stopped") if wait else None, timeout)


def init(
    session: Session,
    names: Names,
    force: Annotated[
        bool, typer.Option("--force", help="Also what is initialized or stopped: its objects are replaced.")
    ] = False,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Set up the apps of drafts, so that a run finds them ready.

    \b
    Examples:
      secflow init nightly --wait
      secflow init nightly --force
    """
    is_done = _until("initialized", "failed", "running", "succeeded") if wait else None
    _each(session, names, _INIT, is_done, timeout, body={"force": force}, good=("initialized", "initializing"))


def uninit(session: Session, names: Names, yes: Yes = False, wait: Wait = False, timeout: Timeout = None) -> None:
    """Take workflows down: nothing in the cluster, drafts again.

    A draft can be changed. Kept logs and counters stay. A run in progress ends.

    \b
    Examples:
      secflow uninit nightly
      secflow uninit nightly --yes --wait
    """
    _each(session, names, _UNINIT, _until("pending") if wait else None, timeout, ask=None if yes else "Take down")


def activate(session: Session, names: Names) -> None:
    """Let persistent workflows accept triggers.

    \b
    Example:
      secflow activate nightly
    """
    _each(session, names, Verb(ACTIVATE, ()), None, None)


def deactivate(session: Session, names: Names) -> None:
    """Let persistent workflows refuse triggers.

    A run in progress goes on.

    \b
    Example:
      secflow deactivate nightly
    """
    _each(session, names, Verb(DEACTIVATE, ()), None, None)


def sync(session: Session, names: Names) -> None:
    """Compare records with the cluster, and say where they differ.

    SecFlow does so by itself all the time; this does it now.

    \b
    Example:
      secflow sync nightly
    """
    _each(session, names, Verb(SYNC, ()), None, None)


def delete(session: Session, names: Names, yes: Yes = False, wait: Wait = False, timeout: Timeout = None) -> None:
    """Delete workflows, with their logs and all they have in the cluster.

    Runs are stopped first.

    \b
    Examples:
      secflow delete nightly
      secflow delete nightly weekly --yes --wait
    """
    _each(session, names, _DELETE, (lambda found: False) if wait else None, timeout, ask=None if yes else "Delete")


def begin_run(session: Session, instance: Json, *, key: str) -> Json:
    """Start or trigger, whichever the status allows. Returns the workflow with its new run."""
    verb = _TRIGGER if instance["status"] in ("succeeded", "failed") else _START
    return _act(session, instance, verb, key=key)


def _run(session: Session, names: list[str], verb: Verb, watching: bool, timeout: str | None, key: str | None) -> None:
    key = key or new_key()
    if not watching:
        _each(session, names, verb, None, None, key=key)
        return
    seconds = seconds_of(timeout) if timeout else None
    begun, errors = _attempt(session, _found(session, names), lambda one: _act(session, one, verb, key=key))
    for error in errors:
        session.out.fail(error)
    # What did begin is followed all the same; the first refusal is the result.
    code = ExitCode(errors[0].code) if errors else ExitCode.OK
    for instance in begun:
        prefix = instance["name"] if len(begun) > 1 else ""
        ended = watch(session, instance, until=has_ended, timeout=seconds, prefix=prefix)
        try:
            finish(session, ended)
        except typer.Exit as end:
            code = code or ExitCode(end.exit_code)
    if code:
        raise typer.Exit(code)


def _until(*statuses: str) -> Callable[[Json], bool]:
    return lambda found: found["status"] in statuses


def _each(
    session: Session,
    names: list[str],
    verb: Verb,
    until: Callable[[Json], bool] | None,
    timeout: str | None,
    *,
    body: Json | None = None,
    key: str | None = None,
    ask: str | None = None,
    good: Collection[str] | None = None,
) -> None:
    """Does the verb to each workflow and shows it; raises the first refusal at the end."""
    instances = _found(session, names)
    if ask:
        listed = ", ".join(f"{one_line(one['name'])} ({one['status']})" for one in instances)
        demand_yes(session, False, f"{ask} {listed}?")

    def do(instance: Json) -> Json:
        found = _act(session, instance, verb, body=body, key=key, is_followed=until is not None)
        if until is not None:
            found = _waited(session, found, verb, until, timeout)
        if good is not None and found["status"] not in good and until is not None:
            raise Refused(f"{found['name']} is {found['status']}: {found['message'] or ''}", hint=_DESCRIBE)
        if session.out.is_for_people:
            _say(session, found, verb)
        return found

    done, errors = _attempt(session, instances, do)
    if not session.out.is_for_people:
        session.out.data(done, names=[one["id"] for one in done])
    for error in errors[1:]:
        session.out.fail(error)
    if errors:
        raise errors[0]


def _found(session: Session, names: list[str]) -> list[Json]:
    return [find_instance(session, name) for name in dict.fromkeys(names)]


def _attempt(session: Session, instances: list[Json], do: Callable[[Json], Json]) -> tuple[list[Json], list[CliError]]:
    """What was done, and what was not; one that is refused does not keep the others from it."""
    done: list[Json] = []
    errors: list[CliError] = []
    for instance in instances:
        try:
            done.append(do(instance))
        except CliError as err:
            if len(instances) > 1:
                err.message = f"{instance['name']}: {err.message}"
            errors.append(err)
    return done, errors


_DESCRIBE = "`secflow describe NAME` says why."


def _say(session: Session, found: Json, verb: Verb) -> None:
    status = session.out.styled(found["status"], STATUS_STYLES.get(found["status"]))
    extra = ""
    if verb.route is SYNC:
        extra = f"  {one_line(found['message'])}" if found["has_warning"] else "  records and cluster agree"
    elif verb.route in (ACTIVATE, DEACTIVATE):
        extra = "  accepts triggers" if found["is_active"] else "  refuses triggers"
    session.out.say(f"{session.out.styled(found['name'], 'bold')}  {status}{extra}", raw=True)


def _act(
    session: Session,
    instance: Json,
    verb: Verb,
    *,
    body: Json | None = None,
    key: str | None = None,
    is_followed: bool = False,
) -> Json:
    """The workflow after the verb. Should the answer get lost and the repeat be refused because it is done, it is done.

    `is_followed`: a deletion that takes its time is no error, but the caller's to wait for.
    """
    instance_id = instance["id"]
    is_final = _is_on_its_way if verb is _DELETE and is_followed else None
    try:
        answer = session.client.act(verb.route, body=body, key=key, is_final=is_final, instance_id=instance_id)
    except Unreachable as err:
        if is_final is not None and is_final(err.details):
            return instance
        raise
    except Missing as err:
        if verb is _DELETE and err.after_lost_answer:
            return {**instance, "status": "deleted"}
        raise
    except Refused as err:
        status = err.details.get("status") if isinstance(err.details, dict) else None
        if err.after_lost_answer and status in verb.leads_to:
            return read_instance(session.client, instance_id)
        err.hint = err.hint.replace("NAME", instance_id)
        raise
    if verb is _DELETE:
        return {**instance, "status": "deleted"}
    # The trigger answers with a message.
    return answer if "status" in answer else read_instance(session.client, instance_id)


def _is_on_its_way(details: Any) -> bool:
    """Whether the details of an outage say that the workflow goes as soon as the cluster lets it."""
    return isinstance(details, dict) and details.get("pending") == "delete"


def _waited(session: Session, found: Json, verb: Verb, until: Callable[[Json], bool], timeout: str | None) -> Json:
    """The workflow once the verb has done its work."""
    if found["status"] == "deleted" or until(found):
        return found
    try:
        return watch(
            session, found, until=until, timeout=seconds_of(timeout) if timeout else None, what="the work on it"
        )
    except Missing:
        if verb is _DELETE:
            return {**found, "status": "deleted"}
        raise


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    for name, function in _COMMANDS.items():
        command(app, name, panel=PANEL)(function)


_COMMANDS: dict[str, Callable[..., None]] = {
    "start": start,
    "stop": stop,
    "trigger": trigger,
    "init": init,
    "uninit": uninit,
    "activate": activate,
    "deactivate": deactivate,
    "sync": sync,
    "delete": delete,
}
