"""The journal of all instances, also of those that are gone."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import FieldTextFilter
from unfold.decorators import display

from secflow.console.display import badge, json_field, list_link, moment, once, shortened
from secflow.console.filters import ExactFilter, TimeFilter
from secflow.console.pages import UncountedAdmin, user_names
from secflow.console.roles import access_of, actor_of
from workflows.admin.cells import ActorColumn, instance_link, template_link
from workflows.domain.actors import Right
from workflows.models import Event, WorkflowInstance

_LISTED: Final = 1000  # instances that a query names one by one
_COLOURS = {
    "succeeded": "success",
    "failed": "danger",
    "stopped": "warning",
    "deleted": "danger",
    "running": "info",
    "accepted": "info",
    "initialized": "primary",
}


def _kind_badge(kind: str) -> SafeString | str:
    return badge(kind, variant=_COLOURS.get(kind.rpartition(".")[2], "default"))


@admin.register(Event)
class EventAdmin(ActorColumn, UncountedAdmin):
    """Facts in the order in which they happened, newest first."""

    actor_field = "actor"
    project_field = "project_id"
    list_defer = ("data",)
    list_display = (
        "when_cell",
        "kind_cell",
        "instance_cell",
        "project_id",
        "run_number",
        "node_cell",
        "actor_cell",
        "message_cell",
    )
    list_display_links = ("when_cell",)
    list_filter = (
        ("kind", FieldTextFilter),
        ("project_id", ExactFilter),
        ("instance_id", ExactFilter),
        ("created_at", TimeFilter),
    )
    search_ids = {"wf-inst-": "instance_id"}
    search_fields = ("instance_id__exact", "node_id__exact", "kind", "message")
    search_help_text = "Instance's or node's id, kind, or words of the message, in the newest 100,000"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "sequence",
                    "kind_badge",
                    "instance_field",
                    "project_id",
                    "node_id",
                    "run_number",
                    "done_by",
                    "message",
                    "created_at",
                    "data_json",
                )
            },
        ),
    )
    readonly_fields = ("kind_badge", "instance_field", "done_by", "data_json")

    data_json = json_field("data")

    def visible_rows(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """By project, because the instance may be gone; of one that is there, its creator sees the journal too."""
        actor = actor_of(request)
        if actor.has_everywhere(Right.READ):
            return rows
        projects = access_of(request).projects
        elsewhere = WorkflowInstance.objects.filter(created_by=actor.id).exclude(project_id__in=projects).values("pk")
        # With the ids themselves PostgreSQL joins two indexes by OR. With a subquery it can only walk the journal, which is
        # long for whoever has little in it, and short for whoever has so much that the ids would be too many.
        ids = list(elsewhere.values_list("pk", flat=True)[: _LISTED + 1])
        return rows.filter(Q(project_id__in=projects) | Q(instance_id__in=ids if len(ids) <= _LISTED else elsewhere))

    def has_right(self, request: HttpRequest, right: Right, obj: Any) -> bool:
        """Whoever got the row by `visible_rows` may look at it; nobody may do more."""
        return right is Right.READ

    @display(description="When", ordering="id")
    def when_cell(self, row: Event) -> SafeString | str:
        return moment(row.created_at)

    @display(description="What", ordering="kind")
    def kind_cell(self, row: Event) -> SafeString | str:
        return _kind_badge(row.kind)

    @display(description="Instance or template")
    def instance_cell(self, row: Event) -> SafeString:
        # The instance may be gone; its journal is always there.
        return list_link("workflows", "event", row.instance_id, instance_id=row.instance_id)

    @display(description="Node")
    def node_cell(self, row: Event) -> str:
        return row.node_id or ""

    @display(description="Message")
    def message_cell(self, row: Event) -> str:
        return shortened(row.message)

    @display(description="What")
    def kind_badge(self, row: Event) -> SafeString | str:
        return _kind_badge(row.kind)

    @display(description="Instance or template")
    def instance_field(self, row: Event) -> SafeString | str:
        if row.kind.startswith("template."):
            return template_link(row.data.get("node_type", ""), row.instance_id)
        return instance_link(row.instance_id)

    @display(description="By")
    @once
    def done_by(self, row: Event) -> str:
        return user_names({row.actor}).get(row.actor, row.actor)
