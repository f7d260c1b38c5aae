"""The part of an instance's page that follows what happens: state, picture, nodes, runs, newest journal entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone

from secflow.console.display import NONE, Table, badge, elapsed, link, list_link, list_url, moment, shortened
from secflow.console.live import LivePart
from secflow.console.operations import Operation
from secflow.console.pages import user_names
from workflows.admin.cells import WORKFLOWS, template_link
from workflows.admin.picture import PictureEdge, PictureNode, graph_svg
from workflows.admin.state import REASONS, next_steps, progress_of, reasons_of
from workflows.domain.statuses import InstanceStatus, NodeStatus, RunPurpose
from workflows.models import Cleanup, Event, NodeRun, Run, WorkflowInstance, WorkflowNode

_NODES = 200
_RUNS = 10
_EVENTS = 15
_ASKED = 100  # nodes whose reasons are read
_NODE_COLUMNS = (
    "id", "name", "node_type", "template_id", "status", "k8s_resource_name", "service_name", "started_at",
    "finished_at", "message",
)  # fmt: skip
_SET_UP = frozenset({InstanceStatus.INITIALIZING, InstanceStatus.INITIALIZED})


def instance_part(instance: WorkflowInstance, operations: Sequence[Operation]) -> LivePart:
    """The live part for a user who may ask for these operations. Five queries, and none of them grows with the nodes."""
    now = timezone.now()
    nodes = list(instance.node_set.only(*_NODE_COLUMNS, "instance", "created_at"))
    records = _newest_records(instance, nodes)
    runs = list(Run.objects.filter(instance=instance).defer("edges")[:_RUNS])
    events = list(Event.objects.filter(instance_id=instance.pk).order_by("-sequence").defer("data")[:_EVENTS])
    cleanup = Cleanup.objects.filter(pk=instance.pk).first()
    facts = (
        [
            getattr(instance, name)
            for name in ("version", "name", "status", "message", "has_warning", "is_active", "edges")
        ],
        [[getattr(node, name) for name in _NODE_COLUMNS] for node in nodes],
        [(record.pk, record.status, record.message, record.diagnosis) for record in records],
        [(run.pk, run.status, run.message, run.finished_at) for run in runs],
        [event.pk for event in events],
        cleanup and (cleanup.goal, cleanup.tries, cleanup.error),
        [operation.name for operation in operations if operation.is_allowed(instance)],
    )

    def context() -> dict[str, Any]:
        failed, held = reasons_of(records)
        steps_sentence, steps = next_steps(instance, operations, has_nodes=bool(nodes))
        return {
            "instance": instance,
            "status_badge": badge(instance.status),
            "progress": _progress(instance, nodes),
            "run": _run_words(instance, runs, now),
            "reasons": failed[:REASONS],
            "more_reasons": list_link(
                WORKFLOWS,
                "workflownode",
                "All failed nodes",
                instance=instance.pk,
                status__exact=NodeStatus.FAILED.value,
            ),
            "held": held[:REASONS],
            "cleanup": cleanup and _cleanup_words(cleanup),
            "steps_sentence": steps_sentence,
            "steps": steps,
            "picture": _picture(instance, nodes, records, now),
            "live_tables": [
                _node_table(instance, nodes, now),
                _run_table(instance, runs, now),
                _event_table(instance, nodes, events),
            ],
        }

    return LivePart(facts, context)


def _newest_records(instance: WorkflowInstance, nodes: Sequence[WorkflowNode]) -> list[NodeRun]:
    """The newest record of each node that failed or runs, if it tells of the status that the node has now."""
    asked = {node.pk: node.status for node in nodes if node.status in (NodeStatus.FAILED, NodeStatus.RUNNING)}
    newest = (
        NodeRun.objects.filter(instance=instance, node_id__in=list(asked)[:_ASKED])
        .order_by("node_id", "-id")
        .distinct("node_id")
        .only("node_id", "node_name", "status", "message", "diagnosis", "finished_at")
    )
    return [record for record in newest if record.status == asked[record.node_id]]


def _progress(instance: WorkflowInstance, nodes: Sequence[WorkflowNode]) -> Any:
    if instance.status in _SET_UP:
        return progress_of((node.status for node in nodes if node.node_type == "app"), noun="apps")
    return progress_of(node.status for node in nodes)


def _run_words(instance: WorkflowInstance, runs: Sequence[Run], now: datetime) -> dict[str, Any] | None:
    if not runs or instance.status == InstanceStatus.PENDING:
        return None
    run = runs[0]
    name = "Set-up" if run.purpose == RunPurpose.SETUP else f"Run #{run.number}"
    return {
        "link": link(WORKFLOWS, "run", run.pk, name),
        "started": moment(run.started_at),
        "took": elapsed(run.started_at, run.finished_at, now=now),
        "is_open": run.finished_at is None and instance.status != InstanceStatus.INITIALIZED,
    }


def _cleanup_words(cleanup: Cleanup) -> dict[str, Any]:
    return {
        "link": link(WORKFLOWS, "cleanup", cleanup.pk, "Clean-up"),
        "goal": cleanup.goal,
        "asked": moment(cleanup.requested_at),
        "tries": cleanup.tries,
        "error": shortened(cleanup.error, 300) if cleanup.error else "",
    }


def _picture(
    instance: WorkflowInstance, nodes: Sequence[WorkflowNode], records: Sequence[NodeRun], now: datetime
) -> Any:
    troubled = {record.node_id for record in records if record.status == NodeStatus.RUNNING and record.diagnosis}
    drawn = [
        PictureNode(
            id=node.pk,
            name=node.name,
            kind=node.node_type,
            status=node.status,
            url=reverse(f"admin:{WORKFLOWS}_workflownode_change", args=[quote(node.pk)]),
            started_at=node.started_at,
            finished_at=node.finished_at,
            note=shortened(node.message, 300) if node.message else "",
            has_trouble=node.pk in troubled,
        )
        for node in nodes
    ]
    edges = [PictureEdge(edge["source"], edge["target"], edge.get("shared_pvc")) for edge in instance.edges]
    return graph_svg(drawn, edges, title=instance.name, now=now)


def _node_table(instance: WorkflowInstance, nodes: Sequence[WorkflowNode], now: datetime) -> Table:
    return Table(
        "Nodes",
        ("Node", "Type", "Template", "Status", "Cluster object", "Service", "Took", "Message"),
        [
            (
                link(WORKFLOWS, "workflownode", node.pk, node.name),
                node.node_type,
                template_link(node.node_type, node.template_id),
                badge(node.status),
                node.k8s_resource_name or NONE,
                node.service_name or NONE,
                elapsed(node.started_at, node.finished_at, now=now),
                shortened(node.message),
            )
            for node in nodes[:_NODES]
        ],
        more=list_url(WORKFLOWS, "workflownode", instance=instance.pk),
        more_label="All nodes",
    )


def _run_table(instance: WorkflowInstance, runs: Sequence[Run], now: datetime) -> Table:
    return Table(
        "Last runs",
        ("Run", "Purpose", "Trigger", "Status", "Started", "Took", "Message"),
        [
            (
                link(WORKFLOWS, "run", run.pk, f"#{run.number}"),
                run.purpose,
                run.trigger,
                badge(run.status),
                moment(run.started_at),
                elapsed(run.started_at, run.finished_at, now=now),
                shortened(run.message),
            )
            for run in runs
        ],
        more=list_url(WORKFLOWS, "run", instance=instance.pk),
        more_label="All runs",
    )


def _event_table(instance: WorkflowInstance, nodes: Sequence[WorkflowNode], events: Sequence[Event]) -> Table:
    names = {node.pk: node.name for node in nodes}
    actors = user_names({event.actor for event in events})
    return Table(
        "Journal",
        ("#", "When", "What", "Node", "By", "Message"),
        [
            (
                link(WORKFLOWS, "event", event.pk, event.sequence),
                moment(event.created_at),
                event.kind,
                names.get(event.node_id, event.node_id) if event.node_id else NONE,
                actors.get(event.actor, event.actor),
                shortened(event.message),
            )
            for event in events
        ],
        more=list_url(WORKFLOWS, "event", instance_id=instance.pk),
        more_label="The whole journal",
    )
