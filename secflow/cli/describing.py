"""A page about one workflow, for reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from secflow.cli.client import Query
from secflow.cli.errors import CliError
from secflow.cli.explaining import explain, failed_nodes
from secflow.cli.feed import event_line, past_events
from secflow.cli.output import Output
from secflow.cli.progress import count_line, trouble_of
from secflow.cli.routes import READ_LOG_RECORDS
from secflow.cli.safe import lines_of, one_line
from secflow.cli.session import Session
from secflow.cli.table import STATUS_STYLES, Column
from secflow.cli.times import age, duration, local

Json = dict[str, Any]
_EVENTS = 10
_LAST_LINES = 5  # of each container of a failed node
_MOST_LOGS = 5  # nodes whose last lines are shown: each is a request
_NODES = (
    Column("NAME", least=12),
    Column("TYPE"),
    Column("STATUS"),
    Column("TIME", right=True),
    Column("AFTER", least=10),
    Column("MESSAGE", least=10),
)


def describe(session: Session, instance: Json) -> None:
    """Where it is, why it failed, nodes, latest events, kubectl, and what can be done next."""
    out = session.out
    _facts(session, instance)
    if failed_nodes(instance):
        with_lines = [node["id"] for node in instance["nodes"] if node["status"] == "failed"][:_MOST_LOGS]
        out.say("", "Why")
        explain(
            out,
            instance,
            detail=True,
            more=lambda node: _last_lines(session, node) if node["id"] in with_lines else (),
        )
    _nodes(out, instance)
    _events(session, instance)
    _kubectl(out, instance)
    out.say("", "Next", *(f"  {line}" for line in next_steps(instance)))


def _facts(session: Session, instance: Json) -> None:
    out = session.out
    status = out.styled(instance["status"], STATUS_STYLES.get(instance["status"]))
    facts = [
        ("Name", out.styled(instance["name"], "bold")),
        ("Id", instance["id"]),
        ("Project", f"{one_line(instance['project_id'])} (namespace {namespace_of(instance)})"),
        ("Status", f"{status}, {count_line(instance['nodes'])}"),
        ("Message", one_line(instance["message"] or "")),
        ("Warning", "cluster and records differ; see the message" if instance["has_warning"] else ""),
        ("About", one_line(instance["description"] or "")),
        ("Mode", _mode(instance)),
        ("Run", _run(instance)),
        ("Made", f"{local(instance['created_at'])} ({age(instance['created_at'])} ago)"),
        ("Console", f"{session.client.url}/admin/workflows/workflowinstance/{instance['id']}/change/"),
    ]
    for heading, text in facts:
        if text:
            out.say(f"{heading:<9} {text}", raw=True)


def _mode(instance: Json) -> str:
    if instance["run_mode"] == "once":
        return "once"
    words = ["persistent", "accepts triggers" if instance["is_active"] else "refuses triggers (see `secflow activate`)"]
    if instance["trigger_url"]:
        words.append(f"HTTP trigger {instance['trigger_url']}")
    return ", ".join(words)


def _run(instance: Json) -> str:
    if not instance["run_count"]:
        return "none yet"
    began = local(instance["started_at"])
    return f"number {instance['run_count']}" + (f", began {began}, took {duration(instance)}" if began else "")


def _last_lines(session: Session, node: Json) -> Iterator[str]:
    """The end of what the containers of a failed node wrote, of the evidence that was taken when it failed."""
    query: Query = {"node_id": node["id"], "page_size": 1}
    try:
        records = session.client.get(READ_LOG_RECORDS, instance_id=node["instance_id"], query=query)["items"]
    except CliError as err:
        yield f"its log cannot be read: {one_line(err.message)}"
        return
    # Of a container that was started again, what is newer comes later.
    texts = {log["container"]: log["text"] for log in _evidence_logs(records) if log["text"].strip()}
    for container, text in texts.items():
        yield f"last lines of {one_line(container)}"
        yield from (f"  {line}" for line in lines_of(text.rstrip())[-_LAST_LINES:])


def _evidence_logs(records: list[Json]) -> list[Json]:
    failed = [record for record in records if record["status"] == "failed"]
    return ((failed[0]["metadata"].get("evidence") or {}).get("logs") or []) if failed else []


def _nodes(out: Output, instance: Json) -> None:
    names = {node["id"]: node["name"] for node in instance["nodes"]}
    rows = [
        [
            node["name"],
            node["node_type"],
            node["status"],
            duration(node),
            ", ".join(names.get(one, one) for one in node["depends_on"]),
            trouble_of(node),
        ]
        for node in instance["nodes"]
    ]
    out.say("", "Nodes")
    if rows:
        out.table(_NODES, rows, indent="  ")
    else:
        out.say("  none yet")


def _events(session: Session, instance: Json) -> None:
    out = session.out
    out.say("", "Latest events")
    try:
        found = past_events(session.client, instance_id=instance["id"], newest=_EVENTS)
    except CliError as err:
        out.say(f"  cannot be read: {err.message}")
        return
    names = {node["id"]: node["name"] for node in instance["nodes"]}
    for event in found:
        out.say(f"  {event_line(event, names)}", raw=True)


def namespace_of(instance: Json) -> str:
    """Where its objects are in the cluster."""
    return one_line(f"secflow-{instance['project_id']}")


def _kubectl(out: Output, instance: Json) -> None:
    namespace = namespace_of(instance)
    label = f"secflow.io/instance-id={instance['id']}"
    lines = [
        f"kubectl -n {namespace} get deployments,jobs,services,pods -l {label}",
        f"kubectl -n {namespace} get events --sort-by=.lastTimestamp",
    ]
    for node in instance["nodes"]:
        if node["status"] == "failed" and node["k8s_resource_name"]:
            kind, name = str(node["k8s_resource_type"]).lower(), one_line(node["k8s_resource_name"])
            lines += [
                f"kubectl -n {namespace} describe {kind}/{name}",
                f"kubectl -n {namespace} logs {kind}/{name} --all-containers",
            ]
    out.say("", "In the cluster", *(f"  {line}" for line in lines))


def next_steps(instance: Json) -> list[str]:
    """Commands that make sense in this status."""
    one = instance["id"]
    steps = {
        "pending": [f"secflow start {one} --watch"],
        "initializing": [f"secflow ps --watch     or: secflow events {one} -f"],
        "initialized": [f"secflow start {one} --watch", f"secflow uninit {one}        (to edit it)"],
        "running": [f"secflow watch {one}", f"secflow logs {one} -f", f"secflow stop {one}"],
        "succeeded": [f"secflow logs {one}", f"secflow trigger {one} --watch        (once more)"],
        "failed": [
            f"secflow logs {one}",
            f"secflow trigger {one} --watch        (once more, as it is)",
            f"secflow uninit {one}; secflow export {one} > workflow.yaml        (to edit the file)",
            "secflow run -f workflow.yaml --watch        (as edited)",
        ],
        "stopped": [f"secflow start {one} --watch", f"secflow uninit {one}        (to edit it)"],
    }
    return steps.get(instance["status"], [f"secflow events {one}"])
