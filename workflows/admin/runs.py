"""Runs of all instances."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    FieldTextFilter,
    MultipleChoicesDropdownFilter,
)
from unfold.decorators import display

from secflow.console.display import json_field, once
from secflow.console.filters import ExactFilter, TimeFilter
from secflow.console.live import LivePage, LivePart
from secflow.console.pages import UncountedAdmin, user_names
from workflows.admin.cells import (
    ActorColumn,
    InstanceColumn,
    StatusColumn,
    TimesColumns,
    instance_link,
)
from workflows.admin.run_live import run_part
from workflows.models import Run


@admin.register(Run)
class RunAdmin(LivePage, InstanceColumn, StatusColumn, TimesColumns, ActorColumn, UncountedAdmin):
    """Runs and set-ups, newest first."""

    live_template = "console/run_live.html"

    class Media:
        css = {"all": ["console/graph.css"]}
        js = ["console/graph.js"]

    actor_field = "actor"
    project_field, creator_field = "instance__project_id", "instance__created_by"
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
        ("instance__project_id", ExactFilter),
        ("started_at", TimeFilter),
        ("finished_at", TimeFilter),
    )
    search_ids = {"wf-inst-": "instance_id"}
    search_fields = ("instance__name", "instance__id__exact", "message")
    search_help_text = "Instance's name or id, or words of the message, in the newest 100,000"
    fieldsets = (
        (
            "What it is",
            {
                "fields": (
                    "number",
                    "purpose",
                    "instance_field",
                    "trigger",
                    "started_by",
                    "started_at",
                    "finished_at",
                )
            },
        ),
        ("Frozen graph", {"classes": ("collapse",), "fields": ("edges_json",)}),
    )
    readonly_fields = ("edges_json", "instance_field", "started_by")

    edges_json = json_field("edges")

    @display(description="Run", ordering="id")
    def number_cell(self, row: Run) -> str:
        return f"#{row.number}"

    @display(description="Instance")
    def instance_field(self, row: Run) -> SafeString:
        return instance_link(row.instance_id, row.instance.name)

    @display(description="By")
    @once
    def started_by(self, row: Run) -> str:
        return user_names({row.actor}).get(row.actor, row.actor)

    def live_part(self, request: HttpRequest, obj: Run) -> LivePart:
        return run_part(obj)

    def live_instance(self, obj: Run) -> str:
        return str(obj.instance_id)
