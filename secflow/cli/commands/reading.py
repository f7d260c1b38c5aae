"""What nodes write, and what happens: logs and events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from secflow.cli.errors import Interrupted, Unreachable, UsageProblem
from secflow.cli.feed import event_line, events_until_now, follow_events, past_events
from secflow.cli.finding import find_instance, find_node, read_instance
from secflow.cli.options import Name, OptionalName, command
from secflow.cli.output import Format
from secflow.cli.safe import json_safe, log_line, one_line
from secflow.cli.session import Session
from secflow.cli.table import painted, width_of
from secflow.cli.tailing import MOST_LINES, Line, Tail, Wanted
from secflow.cli.times import ago
from secflow.cli.watching import Patience, has_ended

PANEL = "Look"
Json = dict[str, Any]
_EVERY = 1.0
_LATEST = 50  # events of the past
_COLOURS = ("cyan", "green", "yellow", "red", "bold")
_ENDED_NODE = ("succeeded", "failed", "stopped")


def logs(
    session: Session,
    name: Name,
    node: Annotated[
        str | None, typer.Option("--node", "-n", help="Only this node; otherwise all, each line with its node.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
    container: Annotated[
        str | None, typer.Option("--container", "-c", help="Not the first container, but this one.")
    ] = None,
    previous: Annotated[bool, typer.Option("--previous", help="Of the container before its last restart.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", min=1, max=MOST_LINES, help="Only so many lines of each node.")
    ] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="When each line was written.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only lines of the last 90s, 10m, 2h ...")
    ] = None,
) -> None:
    """Show what the nodes wrote.

    It comes from the cluster while the pods are there, else it is the text that
    SecFlow kept. On a terminal, control characters in it are made harmless;
    piped, it is as it was written.

    \b
    Examples:
      secflow logs nightly
      secflow logs nightly -f
      secflow logs nightly --node crawler --tail 50 --timestamps
      secflow logs nightly --node site --container proxy --previous
      secflow logs nightly --since 10m | grep ERROR
    """
    _demand_lines(session, "logs", Format.YAML, Format.NAME)
    instance = find_instance(session, name)
    wanted = Wanted(tail=tail, container=container, previous=previous, since=ago(since) if since else None)
    chosen = find_node(instance, node)["id"] if node else None
    if (container or previous) and chosen is None:
        raise UsageProblem("--container and --previous are of one node", hint="Name it with --node.")
    writer = _Writer(session, instance, alone=chosen is not None, timestamps=timestamps)
    tails: dict[str, Tail] = {}
    patience = Patience()
    try:
        while True:
            try:
                for one in instance["nodes"]:
                    if chosen in (None, one["id"]):
                        _read(session, instance, one, tails, wanted, writer, follow=follow)
                if not follow or _is_over(instance, chosen):
                    break
                time.sleep(_EVERY)
                instance = read_instance(session.client, instance["id"])
                patience.answered()
            except Unreachable as err:
                if not follow:
                    raise
                if patience.bear(err):
                    session.out.remark(f"({err.message}; trying again)")
                time.sleep(_EVERY)
    except KeyboardInterrupt:
        raise Interrupted(f"not reading any more; {instance['name']} goes on") from None
    if not writer.has_written and not writer.remarks:
        session.out.remark(_why_nothing(instance, chosen))


def _read(
    session: Session,
    instance: Json,
    node: Json,
    tails: dict[str, Tail],
    wanted: Wanted,
    writer: _Writer,
    *,
    follow: bool,
) -> None:
    """Writes what is new of one node. A node that ended before is not asked about again."""
    key = f"{node['id']} {node['started_at']}"
    if key not in tails:
        tails[key] = Tail(session.client, instance["id"], node["id"], wanted)
    tail = tails[key]
    is_live = node["status"] in ("running",) or node["node_type"] == "app"
    if key in writer.finished:
        return
    lines = tail.fresh(is_growing=follow and is_live) if node["k8s_resource_name"] else None
    if lines is None and not wanted.previous and (node["status"] in _ENDED_NODE or not node["k8s_resource_name"]):
        lines = tail.kept()
        if lines:
            writer.remark_kept(wanted)
        if lines is not None and not is_live:
            writer.finished.add(key)
    elif node["status"] in _ENDED_NODE and not is_live:
        writer.finished.add(key)
    if lines is None and wanted.previous and instance["run_count"] and _is_over(instance, node["id"]):
        writer.remark_once("the pod is gone, and nothing is kept of the container before its last restart")
    writer.write(node, lines or [])


def _is_over(instance: Json, chosen: str | None) -> bool:
    """Whether nothing more is to be expected. An app that was asked for by name goes on after the run."""
    node = next((one for one in instance["nodes"] if one["id"] == chosen), None)
    if node is not None and node["node_type"] == "app" and node["status"] == "succeeded":
        return not node["k8s_resource_name"]
    if node is not None and node["status"] in _ENDED_NODE:
        return True
    return has_ended(instance) or instance["status"] == "initialized"


def _why_nothing(instance: Json, chosen: str | None) -> str:
    if not instance["run_count"] and instance["status"] == "pending":
        return f"{instance['name']} has not run yet: `secflow start {instance['id']} --watch` runs it."
    return "Nothing was written." if chosen else "No node has written anything."


class _Writer:
    """Puts lines out: prefixed when several nodes speak, harmless on a terminal, raw elsewhere."""

    def __init__(self, session: Session, instance: Json, *, alone: bool, timestamps: bool) -> None:
        self._out = session.out
        self._alone = alone
        self._timestamps = timestamps
        self._places = {node["id"]: place for place, node in enumerate(instance["nodes"])}
        names = [one_line(node["name"]) for node in instance["nodes"]]
        self._width = min(24, max(map(width_of, names), default=0))
        self.finished: set[str] = set()
        self.has_written = False
        self.remarks: set[str] = set()

    def remark_once(self, text: str) -> None:
        """Something for the person, however many nodes it is true of."""
        if text not in self.remarks:
            self.remarks.add(text)
            self._out.remark(f"({text})")

    def remark_kept(self, wanted: Wanted) -> None:
        """Says what cannot be done with a text that was kept."""
        options = [("--since", wanted.since is not None), ("--timestamps", self._timestamps)]
        if given := [option for option, is_given in options if is_given]:
            self.remark_once(
                f"a pod is gone; the text that was kept of it has no times, so it is shown without {' and '.join(given)}"
            )

    def write(self, node: Json, lines: list[Line]) -> None:
        for line in lines:
            self.has_written = True
            if self._out.form is Format.JSON:
                fact = {"node": node["name"], "node_id": node["id"], "time": line.stamp or None, "text": line.text}
                self._out.say(json_safe(json.dumps(fact, ensure_ascii=False)), raw=True)
            else:
                text = log_line(line.text) if self._out.stdout.isatty() else line.text
                stamp = f"{line.stamp} " if self._timestamps and line.stamp else ""
                self._out.say(f"{self._prefix(node)}{stamp}{text}", raw=True)

    def _prefix(self, node: Json) -> str:
        if self._alone:
            return ""
        name = one_line(node["name"])
        space = " " * (self._width - width_of(name))
        colour = _COLOURS[self._places.get(node["id"], 0) % len(_COLOURS)]
        return painted(f"{name}{space} |", colour, colour=self._out.has_colour) + " "


def events(
    session: Session,
    name: OptionalName = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")] = False,
    after: Annotated[
        str | None, typer.Option("--after", metavar="CURSOR", help="Everything after this point; 0 is the beginning.")
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, help="So many of the past; with -f none unless given.")
    ] = None,
) -> None:
    """Show what happened, to one workflow or to all that you may see.

    With -f the server's stream of events is read, and taken up again where it
    broke; a server that has no stream left is asked again and again instead.
    With -o json every event is a line of JSON; its "cursor" is what --after
    takes.

    \b
    Examples:
      secflow events nightly
      secflow events -f
      secflow events nightly -f --tail 20
      secflow events --after 0 -o json
    """
    _demand_lines(session, "events", Format.YAML)
    instance = find_instance(session, name) if name else None
    instance_id = instance["id"] if instance else None
    project_id = None if instance else session.project
    names = {node["id"]: node["name"] for node in instance["nodes"]} if instance else {}

    def show(event: Json) -> None:
        _show_event(session, event, names, is_of_many=instance is None)

    scope = {"instance_id": instance_id, "project_id": project_id}
    try:
        last = _past(session, scope, after, tail, follow=follow, show=show)
        if follow:
            for event in follow_events(session.client, after=last or after, tell=session.out.remark, **scope):
                show(event)
    except KeyboardInterrupt:
        raise Interrupted("not listening any more") from None


def _demand_lines(session: Session, what: str, *forms: Format) -> None:
    """Raises UsageProblem for a form that lines which come one after the other do not have."""
    if session.out.form in forms:
        raise UsageProblem(f"{what} are not given with -o {session.out.form}", hint="-o json is one object a line.")


def _past(
    session: Session,
    scope: dict[str, str | None],
    after: str | None,
    tail: int | None,
    *,
    follow: bool,
    show: Callable[[Json], None],
) -> str | None:
    """Shows what was; returns the cursor of the last event shown."""
    last = None
    if after is not None:
        found: Any = events_until_now(session.client, after=after, **scope)
    elif follow and not tail:
        return None
    else:
        found = past_events(session.client, newest=_LATEST if tail is None else tail, **scope)
    for event in found:
        last = str(event["cursor"])
        show(event)
    return last


def _show_event(session: Session, event: Json, names: dict[str, str], *, is_of_many: bool) -> None:
    out = session.out
    if out.form in (Format.JSON, Format.YAML):
        out.say(json_safe(json.dumps(event, ensure_ascii=False)), raw=True)
    elif out.form is Format.NAME:
        out.say(event["instance_id"])
    else:
        out.say(event_line(event, names, instance=event["instance_id"] if is_of_many else ""), raw=True)


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    command(app, "logs", panel=PANEL)(logs)
    command(app, "events", panel=PANEL)(events)
