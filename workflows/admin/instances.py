"""Instances: what they are, what they have, and everything that may be done to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    FieldTextFilter,
    MultipleChoicesDropdownFilter,
)
from unfold.decorators import display

from secflow.console.display import (
    NONE,
    Table,
    badge,
    duration,
    json_field,
    link,
    list_link,
    list_url,
    moment,
    once,
    shortened,
    stacked,
)
from secflow.console.filters import TimeFilter
from secflow.console.operations import OperationsMixin
from secflow.console.pages import ReadOnlyAdmin, user_names
from workflows.admin.cells import WORKFLOWS, ActorColumn, StatusColumn, template_link
from workflows.admin.operations import INSTANCE_OPERATIONS
from workflows.models import Cleanup, Event, Run, WorkflowInstance, WorkflowNode

_NODES = 500
_RUNS = 10
_EVENTS = 15


@admin.register(WorkflowInstance)
class WorkflowInstanceAdmin(OperationsMixin, StatusColumn, ActorColumn, ReadOnlyAdmin):
    """All instances, newest first. Fields are shown only; every change is an operation."""

    operations = INSTANCE_OPERATIONS
    actions_detail = (
        "initialize_button",
        "start_button",
        "trigger_button",
        "stop_button",
        "sync_button",
        {
            "title": "More",
            "items": [
                "force_initialize_button",
                "uninitialize_button",
                "activate_button",
                "deactivate_button",
                "delete_button",
            ],
        },
    )
    actor_field = "created_by"
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
        ("project_id", FieldTextFilter),
        ("run_mode", ChoicesDropdownFilter),
        ("trigger_type", ChoicesDropdownFilter),
        ("has_warning", BooleanRadioFilter),
        ("is_active", BooleanRadioFilter),
        ("created_at", TimeFilter),
        ("last_run_at", TimeFilter),
    )
    search_fields = ("id", "name", "project_id")
    search_help_text = "Name, id or project"
    date_hierarchy = "created_at"
    fieldsets = (
        (
            "State",
            {
                "fields": (
                    "id",
                    "name",
                    "description",
                    "project_id",
                    "status_badge",
                    "message",
                    "warning",
                    "cleanup_state",
                )
            },
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
    readonly_fields = ("edges_json", "status_badge", "warning", "cleanup_state", "creator")

    edges_json = json_field("edges")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        nodes = WorkflowNode.objects.filter(instance=OuterRef("pk")).order_by().values("instance")
        count = Subquery(nodes.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
        return super().get_queryset(request).annotate(node_count=Coalesce(count, 0))

    def describe(self, row: Any) -> str:
        return f"({row.status}, project {row.project_id})"

    @display(description="Name", ordering="name", header=True)
    def name_cell(self, row: WorkflowInstance) -> list[str]:
        return [row.name, row.pk]

    @display(description="Mode", ordering="run_mode")
    def run_mode_cell(self, row: WorkflowInstance) -> SafeString:
        return stacked(row.run_mode, row.trigger_type if row.is_active else f"{row.trigger_type}, inactive")

    @display(description="Nodes", ordering="node_count")
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

    @display(description="Status")
    def status_badge(self, row: WorkflowInstance) -> SafeString | str:
        return badge(row.status)

    @display(description="Warning")
    def warning(self, row: WorkflowInstance) -> SafeString | str:
        return badge("records and cluster differ", variant="warning") if row.has_warning else "none"

    @display(description="Created by")
    @once
    def creator(self, row: WorkflowInstance) -> str:
        return user_names({row.created_by}).get(row.created_by, row.created_by)

    @display(description="Clean-up")
    @once
    def cleanup_state(self, row: WorkflowInstance) -> SafeString | str:
        cleanup = Cleanup.objects.filter(pk=row.pk).first()
        if cleanup is None:
            return "none is open"
        words = format_html("{}, asked for {}, tries {}", cleanup.goal, moment(cleanup.requested_at), cleanup.tries)
        return link(WORKFLOWS, "cleanup", row.pk, words)

    def related_tables(self, request: HttpRequest, obj: WorkflowInstance) -> list[Table]:
        """The nodes, the last runs and the newest journal entries: one query each."""
        return [_node_table(obj), _run_table(obj), _event_table(obj)]


def _node_table(instance: WorkflowInstance) -> Table:
    nodes = instance.node_set.only(
        "id", "instance", "name", "node_type", "template_id", "status", "k8s_resource_name", "service_name",
        "started_at", "finished_at", "message", "created_at",
    )  # fmt: skip
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
                duration(node.started_at, node.finished_at, now=timezone.now()),
                shortened(node.message),
            )
            for node in nodes[:_NODES]
        ],
        more=list_url(WORKFLOWS, "workflownode", instance=instance.pk),
        more_label="All nodes",
    )


def _run_table(instance: WorkflowInstance) -> Table:
    runs = list(Run.objects.filter(instance=instance).defer("edges")[:_RUNS])
    return Table(
        "Last runs",
        ("Run", "Purpose", "Asked by", "Status", "Started", "Took", "Message"),
        [
            (
                link(WORKFLOWS, "run", run.pk, f"#{run.number}"),
                run.purpose,
                run.trigger,
                badge(run.status),
                moment(run.started_at),
                duration(run.started_at, run.finished_at, now=timezone.now()),
                shortened(run.message),
            )
            for run in runs
        ],
        more=list_url(WORKFLOWS, "run", instance=instance.pk),
        more_label="All runs",
    )


def _event_table(instance: WorkflowInstance) -> Table:
    events = Event.objects.filter(instance_id=instance.pk).order_by("-sequence").defer("data")[:_EVENTS]
    return Table(
        "Journal",
        ("#", "When", "What", "Message"),
        [
            (
                link(WORKFLOWS, "event", event.pk, event.sequence),
                moment(event.created_at),
                event.kind,
                shortened(event.message),
            )
            for event in events
        ],
        more=list_url(WORKFLOWS, "event", instance_id=instance.pk),
        more_label="The whole journal",
    )
