"""Instances: what they are, what they have, and everything that may be done to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    MultipleChoicesDropdownFilter,
)
from unfold.decorators import display

from secflow.console.display import (
    json_field,
    list_link,
    moment,
    once,
    shortened,
    stacked,
)
from secflow.console.filters import ExactFilter, TimeFilter
from secflow.console.live import LivePage, LivePart
from secflow.console.operations import OperationsMixin
from secflow.console.pages import ReadOnlyAdmin, user_names
from workflows.admin.building.pages import BuildingPages
from workflows.admin.cells import WORKFLOWS, ActorColumn, StatusColumn
from workflows.admin.instance_live import instance_part
from workflows.admin.operations import INSTANCE_OPERATIONS
from workflows.models import WorkflowInstance, WorkflowNode


@admin.register(WorkflowInstance)
class WorkflowInstanceAdmin(BuildingPages, OperationsMixin, LivePage, StatusColumn, ActorColumn, ReadOnlyAdmin):
    """All instances, newest first. Fields are shown only; every change is an operation."""

    live_template = "console/instance_live.html"

    class Media:
        css = {"all": ["console/graph.css"]}
        js = ["console/graph.js"]

    operations = INSTANCE_OPERATIONS
    actions_list = ("import_button",)
    actions_detail = (
        "edit_button",
        "initialize_button",
        "start_button",
        "trigger_button",
        "stop_button",
        "sync_button",
        {
            "title": "More",
            "items": [
                "dry_run_button",
                "copy_button",
                "export_button",
                "force_initialize_button",
                "uninitialize_button",
                "activate_button",
                "deactivate_button",
                "force_delete_pods_button",
                "delete_button",
            ],
        },
    )
    actor_field = creator_field = "created_by"
    project_field = "project_id"
    list_defer = ("edges", "nodes", "description", "trigger_url")
    list_display = (
        "name_cell",
        "project_id",
        "status_cell",
        "run_mode_cell",
        "nodes_cell",
        "runs_cell",
        "created_cell",
        "message_cell",
    )
    list_display_links = ("name_cell",)
    list_filter = (
        ("status", MultipleChoicesDropdownFilter),
        ("project_id", ExactFilter),
        ("run_mode", ChoicesDropdownFilter),
        ("trigger_type", ChoicesDropdownFilter),
        ("has_warning", BooleanRadioFilter),
        ("is_active", BooleanRadioFilter),
        ("created_at", TimeFilter),
        ("last_run_at", TimeFilter),
    )
    search_fields = ("name", "project_id__exact")
    search_ids = {"wf-inst-": "id__startswith"}
    search_help_text = "Words of the name, an id or its beginning, or a project"
    fieldsets = (
        (
            "What it is",
            {"fields": ("id", "name", "description", "project_id")},
        ),
        (
            "Runs",
            {
                "classes": ("collapse",),
                "fields": ("run_count", "last_run_at", "started_at", "finished_at", "last_sync_at"),
            },
        ),
        (
            "Triggers",
            {"classes": ("collapse",), "fields": ("run_mode", "trigger_type", "trigger_enabled", "is_active")},
        ),
        ("Origin", {"classes": ("collapse",), "fields": ("creator", "created_at", "updated_at", "version")}),
        ("Graph", {"classes": ("collapse",), "fields": ("edges_json",)}),
    )
    readonly_fields = ("edges_json", "creator")

    edges_json = json_field("edges")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        nodes = WorkflowNode.objects.filter(instance=OuterRef("pk")).order_by().values("instance")
        count = Subquery(nodes.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
        return super().get_queryset(request).annotate(node_count=Coalesce(count, 0))

    def describe(self, row: Any) -> str:
        return f"({row.status}, project {row.project_id})"

    @display(description="Name", ordering="name")
    def name_cell(self, row: WorkflowInstance) -> SafeString:
        return stacked(row.name, row.pk)

    @display(description="Mode", ordering="run_mode")
    def run_mode_cell(self, row: WorkflowInstance) -> SafeString:
        return stacked(row.run_mode, row.trigger_type if row.is_active else f"{row.trigger_type}, inactive")

    @display(description="Nodes")  # no order by it: it would be counted for all instances
    def nodes_cell(self, row: Any) -> SafeString:
        return list_link(WORKFLOWS, "workflownode", row.node_count, instance=row.pk)

    @display(description="Runs", ordering="last_run_at")
    def runs_cell(self, row: WorkflowInstance) -> SafeString:
        runs = list_link(WORKFLOWS, "run", row.run_count, instance=row.pk)
        return stacked(runs, moment(row.last_run_at) if row.last_run_at else "")

    @display(description="Created", ordering="created_at")
    def created_cell(self, row: WorkflowInstance) -> SafeString:
        return stacked(moment(row.created_at), f"by {self.actor_cell(row)}")

    @display(description="Message")
    def message_cell(self, row: WorkflowInstance) -> str:
        return ("⚠ " if row.has_warning else "") + shortened(row.message, 80)

    @display(description="Created by")
    @once
    def creator(self, row: WorkflowInstance) -> str:
        return user_names({row.created_by}).get(row.created_by, row.created_by)

    def live_part(self, request: HttpRequest, obj: WorkflowInstance) -> LivePart:
        return instance_part(obj, [operation for operation in self.operations if self._may(request, operation, obj)])

    def live_buttons(self, request: HttpRequest, obj: WorkflowInstance) -> list[Any]:
        return self.arranged_buttons(request, obj)

    def live_instance(self, obj: WorkflowInstance) -> str:
        return str(obj.pk)
