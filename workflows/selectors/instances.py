"""Reads of instances, scoped to an actor (contract A.3, A.7). Lists of any size cost the same number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value, When

from secflow.http.query import Page
from secflow.projects.access import is_member, member_projects
from workflows.domain.actors import Actor, Right
from workflows.domain.errors import Forbidden, NotFound
from workflows.domain.node_types.registry import node_types
from workflows.domain.statuses import InstanceStatus, NodeStatus, Readiness
from workflows.models import WorkflowInstance, WorkflowNode

_WORDS: Final = {Right.READ: "use", Right.OPERATE: "run", Right.EDIT: "change"}
STATUS_WORDS: Final = tuple(dict.fromkeys([*map(str, InstanceStatus), *map(str, Readiness)]))

_COLUMNS: Final = (
    "id",
    "name",
    "description",
    "project_id",
    "status",
    "run_mode",
    "trigger_type",
    "trigger_enabled",
    "is_active",
    "run_count",
    "last_run_at",
    "edges",
    "message",
    "has_warning",
    "last_sync_at",
    "created_by",
    "started_at",
    "finished_at",
    "created_at",
    "updated_at",
)


@dataclass(frozen=True, slots=True)
class VisibleInstance:
    """An instance that the actor may read and change."""

    id: str
    project_id: str


@dataclass(frozen=True, slots=True)
class InstanceList:
    """Rows of instances, newest first, and the number of matches before paging (contract A.6)."""

    total: int
    rows: list[dict[str, Any]]


def visible_instances(actor: Actor) -> QuerySet[WorkflowInstance]:
    """What the actor may read: its own, those of its projects; everything for administrators, operators and auditors
    (contract A.3).
    """
    rows = WorkflowInstance.objects.all()
    if actor.has_everywhere(Right.READ):
        return rows
    return rows.filter(Q(created_by=actor.id) | Q(project_id__in=member_projects(actor)))


def get_visible_instance(*, actor: Actor, instance_id: str, right: Right = Right.READ) -> VisibleInstance:
    """The instance, for what `right` names. Raises NotFound, then Forbidden (contract A.3). At most two queries."""
    row = WorkflowInstance.objects.filter(pk=instance_id).values("id", "project_id", "created_by").first()
    if row is None:
        raise NotFound("workflow_instance", instance_id)
    check_right(actor, right, instance_id=row["id"], project_id=row["project_id"], created_by=row["created_by"])
    return VisibleInstance(id=row["id"], project_id=row["project_id"])


def check_right(actor: Actor, right: Right, *, instance_id: str, project_id: str, created_by: str) -> None:
    """Raises Forbidden unless the actor has the right on an instance with these columns. At most one query."""
    if actor.has_everywhere(right) or created_by == actor.id or is_member(actor, project_id):
        return
    word = _WORDS[right] if actor.has_everywhere(Right.READ) else "use"
    raise Forbidden(
        f"only its creator and members of project {project_id} may {word} this workflow; ask to be added",
        {"resource": "workflow_instance", "id": instance_id},
    )


def list_instances(
    *,
    actor: Actor,
    project_id: str | None = None,
    name: str | None = None,
    status: str | None = None,
    page: Page | None = None,
) -> InstanceList:
    """Instances as rows of columns. `status` is a word of B.4 or B.5; no page means all of them (contract A.7)."""
    found = visible_instances(actor)
    if project_id is not None:
        found = found.filter(project_id=project_id)
    if name is not None:
        found = found.filter(name=name)
    if status is not None:
        found = found.filter(_with_status(status))
    rows = found.order_by("-created_at", "id").values(*_COLUMNS)
    if page is None:
        everything = list(rows)
        return InstanceList(total=len(everything), rows=everything)
    return InstanceList(total=found.count(), rows=list(rows[page.window]))


def instance_row(instance_id: str) -> dict[str, Any]:
    """The columns of one instance. Raises NotFound."""
    row = WorkflowInstance.objects.filter(pk=instance_id).values(*_COLUMNS).first()
    if row is None:
        raise NotFound("workflow_instance", instance_id)
    return row


def count_by_word(instances: QuerySet[WorkflowInstance], *, readiness: bool) -> dict[str, int]:
    """How many instances show each status word; words that none shows have 0 (contract B, D.10)."""
    if readiness:
        words, shown = [str(word) for word in Readiness], instances.annotate(word=_READINESS)
    else:
        words, shown = [str(word) for word in InstanceStatus], instances.annotate(word=F("status"))
    counted = dict(shown.order_by().values_list("word").annotate(count=Count("pk")))
    return {word: counted.get(word, 0) for word in words}


def _waits_for_an_app() -> Exists:
    """Some node that is set up by initialize is not ready (contract B, readiness mapping)."""
    set_up = [node_type.name for node_type in node_types() if node_type.is_set_up]
    nodes = WorkflowNode.objects.filter(instance=OuterRef("pk"), node_type__in=set_up)
    return Exists(nodes.exclude(status=NodeStatus.SUCCEEDED))


_READINESS: Final = Case(
    When(status=InstanceStatus.PENDING, then=Value(str(Readiness.PENDING))),
    When(status=InstanceStatus.SUCCEEDED, then=Value(str(Readiness.READY))),
    When(Q(status=InstanceStatus.INITIALIZED) & ~Q(_waits_for_an_app()), then=Value(str(Readiness.READY))),
    default=Value(str(Readiness.UNREADY)),
    output_field=CharField(),
)


def _with_status(word: str) -> Q:
    """The instances that show this word, in either vocabulary. `pending` means the same in both."""
    if word in (Readiness.READY, Readiness.UNREADY):
        initialized = Q(status=InstanceStatus.INITIALIZED)
        ready = Q(status=InstanceStatus.SUCCEEDED) | (initialized & ~Q(_waits_for_an_app()))
        if word == Readiness.READY:
            return ready
        others = set(InstanceStatus) - {InstanceStatus.PENDING, InstanceStatus.SUCCEEDED, InstanceStatus.INITIALIZED}
        return Q(status__in=sorted(others)) | (initialized & Q(_waits_for_an_app()))
    return Q(status=word)
