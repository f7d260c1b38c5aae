"""Runs of all instances."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    FieldTextFilter,
    MultipleChoicesDropdownFilter,
)
from unfold.decorators import display

from secflow.console.display import Table, badge, duration, json_field, link, list_url, moment, once, shortened
from secflow.console.filters import TimeFilter
from secflow.console.pages import UncountedAdmin, user_names
from workflows.admin.cells import (
    WORKFLOWS,
    ActorColumn,
    InstanceColumn,
    StatusColumn,
    TimesColumns,
    instance_link,
)
from workflows.models import NodeRun, Run

_NODES = 500


@admin.register(Run)
class RunAdmin(InstanceColumn, StatusColumn, TimesColumns, ActorColumn, UncountedAdmin):
    """Runs and set-ups, newest first."""

    actor_field = "actor"
    list_select_related = ("instance",)
    list_defer = ("edges", "instance__edges", "instance__nodes")
    list_display = (
        "number_cell",
        "instance_cell",
        "project_cell",
        "status_cell",
        "purpose",
        "trigger",
        "actor_cell",
        "started_cell",
        "took_cell",
        "message_cell",
    )
    list_display_links = ("number_cell",)
    list_filter = (
        ("status", MultipleChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
        ("trigger", FieldTextFilter),
        ("instance__project_id", FieldTextFilter),
        ("started_at", TimeFilter),
        ("finished_at", TimeFilter),
    )
    search_fields = ("instance__name", "instance__id__exact", "message")
    search_help_text = "Instance's name or id, or words of the message"
    fieldsets = (
        (
            "State",
            {
                "fields": (
                    "number",
                    "purpose",
                    "instance_field",
                    "status_badge",
                    "message",
                    "trigger",
                    "started_by",
                    "started_at",
                    "finished_at",
                )
            },
        ),
        ("Frozen graph", {"classes": ("collapse",), "fields": ("edges_json",)}),
    )
    readonly_fields = ("edges_json", "status_badge", "instance_field", "started_by")

    edges_json = json_field("edges")

    @display(description="Run", ordering="id")
    def number_cell(self, row: Run) -> str:
        return f"#{row.number}"

    @display(description="Instance")
    def instance_field(self, row: Run) -> SafeString:
        return instance_link(row.instance_id, row.instance.name)

    @display(description="Status")
    def status_badge(self, row: Run) -> SafeString | str:
        return badge(row.status)

    @display(description="By")
    @once
    def started_by(self, row: Run) -> str:
        return user_names({row.actor}).get(row.actor, row.actor)

    def related_tables(self, request: HttpRequest, obj: Run) -> list[Table]:
        """What every node did in this run; one query."""
        records = NodeRun.objects.filter(run=obj).defer("spec", "diagnosis").order_by("id")
        return [
            Table(
                "Nodes",
                ("Node", "Type", "Attempt", "Status", "Cluster object", "Started", "Took", "Message"),
                [
                    (
                        link(WORKFLOWS, "noderun", record.pk, record.node_name),
                        record.node_type,
                        record.attempt,
                        badge(record.status),
                        record.resource_name,
                        moment(record.started_at),
                        duration(record.started_at, record.finished_at, now=timezone.now()),
                        shortened(record.message),
                    )
                    for record in records[:_NODES]
                ],
                more=list_url(WORKFLOWS, "noderun", run=obj.pk),
                more_label="All of them in a list",
            )
        ]
