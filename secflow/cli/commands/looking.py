"""Seeing what there is: ps, get, describe, watch, open."""

from __future__ import annotations

import sys
import time
import webbrowser
from typing import Annotated, Any

import typer

from secflow.cli.client import PAGE, Json
from secflow.cli.describing import describe as describe_instance
from secflow.cli.errors import ExitCode, Interrupted, Missing, Refused, UsageProblem
from secflow.cli.explaining import conclude
from secflow.cli.finding import find_instance, find_node
from secflow.cli.listing import INSTANCE_COLUMNS, NODE_COLUMNS, TEMPLATE_COLUMNS, instance_row, node_row, template_row
from secflow.cli.options import Name, OptionalName, Timeout, command
from secflow.cli.routes import (
    LIST_APP_TEMPLATES,
    LIST_JOB_TEMPLATES,
    READ_APP_TEMPLATE,
    READ_JOB_TEMPLATE,
    READ_LOG_RECORDS,
)
from secflow.cli.session import Session
from secflow.cli.table import Column, table_lines
from secflow.cli.times import age, duration, seconds_of
from secflow.cli.watching import ENDED, has_ended, watch

PANEL = "Look"
_SHOWN = 20
_EVERY = 2.0
_STATUSES = ("pending", "initializing", "initialized", "running", "succeeded", "failed", "stopped", "ready", "unready")

Status = Annotated[
    str | None,
    typer.Option("--status", "-s", metavar="STATUS", help=f"Only those in this status: {', '.join(_STATUSES)}."),
]


def ps(
    session: Session,
    status: Status = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Every one, not just the newest 20.")] = False,
    watching: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing what changes, until Ctrl-C.")] = False,
) -> None:
    """List workflows with their status and progress, newest first.

    \b
    Examples:
      secflow ps
      secflow ps --project p1 --status failed
      secflow ps --all -o wide
      secflow ps --watch
      secflow stop $(secflow ps --all --status running -o name)
    """
    if status is not None and status not in _STATUSES:
        raise UsageProblem(f"{status!r} is no status", hint=f"There are: {', '.join(_STATUSES)}.")
    limit = None if everything else _SHOWN

    def read() -> tuple[list[Json], int]:
        return session.client.instances(limit=limit, project_id=session.project, status=status)

    if watching:
        _ps_again_and_again(session, read)
        return
    found, total = read()
    session.out.items(found, INSTANCE_COLUMNS, instance_row, empty=_nothing(session, status))
    if len(found) < total:
        # Programs are told too, on standard error: what they do to these, they do not do to the rest.
        session.out.remark(f"{len(found)} of {total}; --all shows every one.")


def _nothing(session: Session, status: str | None) -> str:
    where = f" in project {session.project}" if session.project else ""
    if status:
        return f"No workflow{where} is {status}."
    return f"There is no workflow{where} yet. Make one from a file with `secflow apply -f FILE`."


def _ps_again_and_again(session: Session, read: Any) -> None:
    if not session.out.is_for_people:
        raise UsageProblem("--watch shows a table", hint="For programs: `secflow events -f -o json`.")
    try:
        if session.out.is_terminal:
            _moving_list(session, read)
        else:
            _changing_lines(session, read)
    except KeyboardInterrupt:
        raise Interrupted("not watching any more; the workflows go on") from None


def _moving_list(session: Session, read: Any) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(
        console=Console(no_color=not session.out.has_colour), auto_refresh=False, vertical_overflow="crop"
    ) as live:
        while True:
            found, _ = read()
            lines = table_lines(
                INSTANCE_COLUMNS, [instance_row(item) for item in found], width=session.out.width,
                colour=session.out.has_colour, wide=session.out.form == "wide",
            )  # fmt: skip
            live.update(Text.from_ansi("\n".join(lines), no_wrap=True), refresh=True)
            time.sleep(_EVERY)


def _changing_lines(session: Session, read: Any) -> None:
    seen: dict[str, list[object]] = {}
    while True:
        found, _ = read()
        for item in reversed(found):
            row = instance_row(item)
            # The age of everything changes all the time.
            facts = [item["status"], item["message"], [node["status"] for node in item["nodes"]]]
            if seen.get(item["id"]) != facts:
                for line in table_lines(INSTANCE_COLUMNS, [row], width=None, heading=not seen):
                    session.out.say(line, raw=True)
                seen[item["id"]] = facts
        time.sleep(_EVERY)


def get(
    session: Session,
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="instances, nodes, templates, app-templates, job-templates or records."),
    ],
    name: OptionalName = None,
    node: Annotated[str | None, typer.Option("--node", "-n", help="Only this node (nodes, records).")] = None,
) -> None:
    """List things, or show one whole with -o json or yaml.

    For nodes and records (what is kept of each node and run), NAME is the
    workflow.

    \b
    Examples:
      secflow get instances -o json
      secflow get instance nightly -o yaml
      secflow get nodes nightly
      secflow get nodes nightly --node crawler -o json
      secflow get templates --project p1
      secflow get records nightly
    """
    read = _KINDS.get(kind.lower())
    if read is None:
        raise UsageProblem(f"{kind!r} is no kind of thing", hint=f"There are: {', '.join(_PLURALS)}.")
    read(session, name, node)


def _get_instances(session: Session, name: str | None, node: str | None) -> None:
    if name is None:
        found, _ = session.client.instances(project_id=session.project)
        session.out.items(found, INSTANCE_COLUMNS, instance_row, empty=_nothing(session, None))
        return
    _one(session, find_instance(session, name), INSTANCE_COLUMNS, instance_row)


def _get_nodes(session: Session, name: str | None, node: str | None) -> None:
    instance = find_instance(session, _demanded(name, "nodes"))
    if node is not None:
        _one(session, find_node(instance, node), NODE_COLUMNS, node_row)
        return
    session.out.items(instance["nodes"], NODE_COLUMNS, node_row, empty=f"{instance['name']} has no nodes.")


def _get_templates(
    session: Session, name: str | None, node: str | None, kinds: tuple[str, ...] = ("app", "job")
) -> None:
    routes = {"app": (LIST_APP_TEMPLATES, READ_APP_TEMPLATE), "job": (LIST_JOB_TEMPLATES, READ_JOB_TEMPLATE)}
    found: list[Json] = []
    for kind in kinds:
        listed = session.client.get(routes[kind][0], query={"project_id": session.project})["items"]
        found += [{"kind": kind, **item} for item in listed]
    if name is None:
        session.out.items(found, TEMPLATE_COLUMNS, template_row, empty="There are no templates.")
        return
    matching = [item for item in found if item["id"] == name] or [item for item in found if item["name"] == name]
    if not matching:
        raise Missing(f"there is no template {name!r}", hint="`secflow get templates` lists those that you may see.")
    if len(matching) > 1:
        raise UsageProblem(
            f"{len(matching)} templates are called {name!r}",
            lines=[f"{item['id']}  {item['kind']}, project {item['project_id'] or 'none'}" for item in matching],
            hint="Give one of these ids.",
        )
    [item] = matching
    whole = session.client.get(routes[item["kind"]][1], template_id=item["id"])
    _one(session, {"kind": item["kind"], **whole}, TEMPLATE_COLUMNS, template_row)


def _get_records(session: Session, name: str | None, node: str | None) -> None:
    instance = find_instance(session, _demanded(name, "records"))
    node_id = find_node(instance, node)["id"] if node else None
    answer = session.client.get(
        READ_LOG_RECORDS, instance_id=instance["id"], query={"node_id": node_id, "page_size": PAGE}
    )
    session.out.items(
        answer["items"],
        (Column("NODE", least=12), Column("RUN"), Column("STATUS"), Column("TOOK", right=True), Column("AGE"),
         Column("ID", wide=True), Column("MESSAGE", least=10)),
        lambda item: [
            item["node_name"], item["task_id"].removeprefix("run-"), item["status"],
            duration(item), age(item["created_at"]),
            item["id"], item["message"],
        ],
        empty=f"{instance['name']} has not run yet.",
    )  # fmt: skip
    if len(answer["items"]) < answer["total"]:
        only = "" if node_id else "; --node shows those of one node"
        session.out.remark(f"The newest {len(answer['items'])} of {answer['total']}{only}.")


def _demanded(name: str | None, kind: str) -> str:
    if name is None:
        raise UsageProblem("the workflow is not named", hint=f"Write `secflow get {kind} NAME`.")
    return name


def _one(session: Session, item: Json, columns: tuple[Column, ...], row: Any) -> None:
    if session.out.is_for_people:
        session.out.table(columns, [row(item)])
    else:
        session.out.data(item, names=[str(item["id"])])


_KINDS: dict[str, Any] = {}
_PLURALS = ("instances", "nodes", "templates", "app-templates", "job-templates", "records")
for _word, _read in {
    "instances": _get_instances,
    "workflows": _get_instances,
    "nodes": _get_nodes,
    "templates": _get_templates,
    "app-templates": lambda session, name, node: _get_templates(session, name, node, ("app",)),
    "job-templates": lambda session, name, node: _get_templates(session, name, node, ("job",)),
    "records": _get_records,
}.items():
    _KINDS[_word] = _KINDS[_word.removesuffix("s")] = _read


def describe(session: Session, name: Name) -> None:
    """Explain one workflow: where it is, why it failed, what to do.

    Shows its nodes, its latest events, and how to look at it with kubectl.

    \b
    Examples:
      secflow describe nightly
      secflow describe wf-inst-nightly-x81m44zt
    """
    describe_instance(session, find_instance(session, name))


def watch_command(session: Session, name: Name, timeout: Timeout = None) -> None:
    """Follow the run of a workflow to its end.

    The exit code tells how it ended: 0 succeeded, 1 not. A draft has no run to
    follow: 3.

    \b
    Examples:
      secflow watch nightly
      secflow watch nightly --timeout 30m
    """
    instance = find_instance(session, name)
    if instance["status"] == "pending":
        why = "is a draft again since its last run" if instance["run_count"] else "has not run yet"
        raise Refused(
            f"there is no run to follow: {instance['name']} {why}",
            hint=f"`secflow start {instance['id']} --watch` runs it and follows it.",
        )
    is_over = has_ended if instance["status"] not in ENDED else lambda found: True
    finish(session, watch(session, instance, until=is_over, timeout=seconds_of(timeout) if timeout else None))


def finish(session: Session, instance: Json) -> None:
    """Say how the run ended, and end with the code that says the same."""
    if session.out.is_for_people:
        conclude(session.out, instance)
    else:
        session.out.data(instance, names=[instance["id"]])
    if instance["status"] != "succeeded":
        session.out.remark(
            f"Hint: `secflow describe {instance['id']}` says more, `secflow logs {instance['id']}` shows the logs."
        )
        raise typer.Exit(ExitCode.WORKFLOW_FAILED)


def open_command(
    session: Session,
    name: OptionalName = None,
    only_print: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
) -> None:
    """Open the page of a workflow in the console, and print its address.

    \b
    Examples:
      secflow open
      secflow open nightly
      secflow open nightly --print
    """
    url = f"{session.client.url}/admin/"
    if name is not None:
        url = console_url(session, find_instance(session, name))
    session.out.say(url)
    if not only_print and sys.stdout.isatty():
        webbrowser.open(url)


def console_url(session: Session, instance: Json) -> str:
    """The console's page of a workflow."""
    return f"{session.client.url}/admin/workflows/workflowinstance/{instance['id']}/change/"


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    command(app, "ps", panel=PANEL)(ps)
    command(app, "get", panel=PANEL)(get)
    command(app, "describe", panel=PANEL, without=("form",))(describe)
    command(app, "open", panel=PANEL, without=("form",))(open_command)
