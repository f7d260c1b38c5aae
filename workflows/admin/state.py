"""What the top of a page says of an instance or a run: how far it is, why nodes failed, what can be done next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.safestring import SafeString

from secflow.console.display import link
from secflow.console.help import error_url
from workflows.admin.cells import WORKFLOWS
from workflows.domain.statuses import InstanceStatus, NodeStatus

REASONS: Final = 5  # shown of each kind; the others are in the table and the picture
_NAMES: Final = 8
_ORDER: Final = (
    NodeStatus.SUCCEEDED,
    NodeStatus.RUNNING,
    NodeStatus.FAILED,
    NodeStatus.STOPPED,
    NodeStatus.PENDING,
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How many nodes are where. `bars` are status, start and length, in percent of the whole."""

    total: int
    sentence: str
    bars: tuple[tuple[str, float, float], ...]


def progress_of(statuses: Iterable[str], *, noun: str = "nodes") -> Progress:
    """The progress of these nodes; statuses that nobody knows count as pending."""
    counts = Counter(status if status in set(NodeStatus) else NodeStatus.PENDING.value for status in statuses)
    total = sum(counts.values())
    bars: list[tuple[str, float, float]] = []
    at = 0.0
    for status in _ORDER:
        if counts[status]:
            length = 100 * counts[status] / total
            bars.append((status.value, round(at, 2), round(length, 2)))
            at += length
    others = [f"{counts[status]} {status}" for status in _ORDER[1:] if counts[status]]
    sentence = ", ".join([f"{counts[NodeStatus.SUCCEEDED]} of {total} {noun} succeeded", *others])
    return Progress(total, sentence if total else "no nodes", tuple(bars))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why nodes failed, or why nodes that run cannot get on: one reason for all that have the same.

    `nodes` are links to their pages, `more` the number of those that are left out, `record` leads to one of the records.
    """

    nodes: tuple[SafeString, ...]
    more: int
    record: SafeString
    status: str
    summary: str
    detail: str
    resolution: str
    category: str
    category_url: str


def reasons_of(records: Sequence[Any]) -> tuple[list[Reason], list[Reason]]:
    """Reasons of failures, first failure first, and of what holds running nodes up; from records of nodes in runs."""
    failed = sorted(
        (record for record in records if record.status == NodeStatus.FAILED),
        key=lambda record: (record.finished_at is None, record.finished_at, record.pk),
    )
    held = [record for record in records if record.status == NodeStatus.RUNNING and record.diagnosis]
    return _grouped(failed), _grouped(held)


def _grouped(records: Sequence[Any]) -> list[Reason]:
    alike: dict[tuple[str, str, str], list[Any]] = {}
    for record in records:
        diagnosis = record.diagnosis or {}
        summary = diagnosis.get("summary") or record.message or "No reason was recorded."
        key = (diagnosis.get("category") or "", summary, diagnosis.get("resolution") or "")
        alike.setdefault(key, []).append(record)
    return [
        Reason(
            nodes=tuple(link(WORKFLOWS, "workflownode", record.node_id, record.node_name) for record in found[:_NAMES]),
            more=max(0, len(found) - _NAMES),
            record=link(WORKFLOWS, "noderun", found[0].pk, "its record, with evidence and logs"),
            status=found[0].status,
            summary=summary,
            detail=(found[0].diagnosis or {}).get("detail") or "",
            resolution=resolution,
            category=category.replace("_", " "),
            category_url=error_url(category) if category else "",
        )
        for (category, summary, resolution), found in alike.items()
    ]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that can be done now: a button's title, its page, and what it does."""

    title: str
    url: str
    effect: str
    is_destructive: bool


_NEXT: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    InstanceStatus.PENDING: ("This is a draft: nothing of it is in the cluster.", ("start", "initialize")),
    InstanceStatus.INITIALIZING: ("Its apps are being made in the cluster.", ()),
    InstanceStatus.INITIALIZED: ("Its apps are in the cluster, and no run is under way.", ("start", "stop")),
    InstanceStatus.RUNNING: ("A run is under way.", ("stop",)),
    InstanceStatus.SUCCEEDED: ("The last run succeeded.", ("trigger", "uninitialize")),
    InstanceStatus.FAILED: (
        "The last run or set-up failed. Templates can be changed now; nodes and edges can be changed in a draft, so "
        "uninitialize first.",
        ("trigger", "uninitialize"),
    ),
    InstanceStatus.STOPPED: (
        "It was stopped, and its objects are taken out of the cluster. Uninitialize makes it a draft that can be edited.",
        ("start", "trigger", "uninitialize"),
    ),
}


def next_steps(instance: Any, operations: Sequence[Any], *, has_nodes: bool) -> tuple[str, list[Step]]:
    """Where the instance stands in a sentence, and the operations that fit; `operations` are those the user may ask for."""
    sentence, names = _NEXT.get(instance.status, ("", ()))
    if instance.status == InstanceStatus.PENDING and not has_nodes:
        return "This is a draft without nodes. It needs at least one before it can be started.", []
    fitting = {operation.name: operation for operation in operations if operation.is_allowed(instance)}
    steps = [
        Step(
            title=fitting[name].title,
            url=reverse(f"admin:{WORKFLOWS}_workflowinstance_{name}_button", args=[quote(instance.pk)]),
            effect=fitting[name].effect,
            is_destructive=fitting[name].is_destructive,
        )
        for name in names
        if name in fitting
    ]
    return sentence, steps
