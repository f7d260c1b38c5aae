"""What the page of a node shows, read from the database: a fixed number of queries, whatever the size of the workflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.safestring import SafeString

from secflow.console.display import NONE, Table, badge, duration, elapsed, link, list_url, moment, shortened
from secflow.console.help import error_url
from secflow.console.pages import user_names
from workflows.admin.cells import WORKFLOWS
from workflows.admin.evidence import evidence_box
from workflows.domain.statuses import NodeStatus
from workflows.models import Event, NodeRun, WorkflowNode

HISTORY = 20
EVENTS = 50
NEVER = datetime.min.replace(tzinfo=UTC)
_MAY_BE_TROUBLED = frozenset({NodeStatus.PENDING, NodeStatus.RUNNING, NodeStatus.FAILED})


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A node on the other side of an edge."""

    link: SafeString
    status: SafeString | str
    claim: str | None


def newest_record(node: WorkflowNode) -> NodeRun | None:
    """What the node did last, with its run; one query."""
    # By instance: its newest records are those of its nodes, however many runs there were.
    records = NodeRun.objects.filter(instance_id=node.instance_id, node_id=node.pk).select_related("run", "workload")
    return records.defer("run__edges").order_by("-id").first()


def state_of(node: WorkflowNode, record: NodeRun | None, *, now: datetime) -> dict[str, Any]:
    """Status, times, why, and what stands before and after it. One query."""
    diagnosis = (record.diagnosis or {}) if record and node.status in _MAY_BE_TROUBLED else {}
    before, after = neighbours_of(node)
    return {
        "node": node,
        "status": badge(node.status),
        "started": moment(node.started_at),
        "finished": moment(node.finished_at),
        "took": elapsed(node.started_at, node.finished_at, now=now),
        "limit": limit_of(node, record),
        "record": record,
        "diagnosis": diagnosis,
        "help_url": error_url(str(diagnosis.get("category", ""))) if diagnosis else "",
        # The sentence of the diagnosis is the message as well; saying it twice helps nobody.
        "message": "" if diagnosis else node.message or "",
        "evidence": evidence_box(record.evidence) if record and record.evidence and diagnosis else "",
        "before": before,
        "after": after,
    }


def limit_of(node: WorkflowNode, record: NodeRun | None) -> str:
    """The time that the node has, as its last run had it."""
    seconds = record.timeout_seconds if record else node.timeout_seconds
    return duration(NEVER, NEVER + timedelta(seconds=seconds), now=NEVER) if seconds else NONE


def neighbours_of(node: WorkflowNode) -> tuple[list[Neighbour], list[Neighbour]]:
    """The nodes that edges come from, and those that they lead to. One query."""
    edges = node.instance.edges
    incoming = {edge["source"]: edge for edge in edges if edge["target"] == node.pk}
    outgoing = {edge["target"]: edge for edge in edges if edge["source"] == node.pk}
    rows = WorkflowNode.objects.filter(instance_id=node.instance_id, pk__in=[*incoming, *outgoing])
    found = {pk: (name, status) for pk, name, status in rows.values_list("pk", "name", "status")}

    def side(by_node: dict[str, dict[str, Any]]) -> list[Neighbour]:
        return [
            Neighbour(link(WORKFLOWS, "workflownode", pk, found[pk][0]), badge(found[pk][1]), edge.get("shared_pvc"))
            for pk, edge in by_node.items()
            if pk in found
        ]

    return side(incoming), side(outgoing)


def history_of(node: WorkflowNode, *, now: datetime) -> list[Table]:
    """What the node did in its last runs, and what the journal says of it. At most three queries."""
    return [_runs(node, now), _events(node)]


def _runs(node: WorkflowNode, now: datetime) -> Table:
    records = (
        NodeRun.objects.filter(instance_id=node.instance_id, node_id=node.pk)
        .select_related("run")
        .defer("spec", "diagnosis", "evidence", "run__edges")
        .order_by("-id")
    )
    return Table(
        "Runs",
        ("Run", "Attempt", "Status", "Started", "Took", "Message"),
        [
            (
                link(WORKFLOWS, "noderun", record.pk, run_title(record)),
                record.attempt,
                badge(record.status),
                moment(record.started_at),
                elapsed(record.started_at, record.finished_at, now=now),
                shortened(record.message),
            )
            for record in records[:HISTORY]
        ],
        more=list_url(WORKFLOWS, "noderun", node_id=node.pk),
        more_label="All runs of this node",
    )


def _events(node: WorkflowNode) -> Table:
    # By instance: a sequence has an index, a node's id in the journal has none.
    events = list(
        Event.objects.filter(instance_id=node.instance_id, node_id=node.pk).order_by("-sequence").defer("data")[:EVENTS]
    )
    names = user_names({event.actor for event in events})
    return Table(
        "Events",
        ("When", "What", "Run", "By", "Message"),
        [
            (
                moment(event.created_at),
                link(WORKFLOWS, "event", event.pk, event.kind),
                event.run_number if event.run_number is not None else "",
                names.get(event.actor, event.actor),
                shortened(event.message),
            )
            for event in events
        ],
        more=list_url(WORKFLOWS, "event", instance_id=node.instance_id),
        more_label="The journal of the instance",
    )


def run_title(record: NodeRun) -> str:
    """`run #3`, kept on one line."""
    return f"{record.run.purpose}\N{NO-BREAK SPACE}#{record.run.number}"
