"""Nodes of all instances."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import FieldTextFilter, MultipleChoicesDropdownFilter
from unfold.decorators import display

from secflow.console.display import NONE, Table, badge, duration, json_field, link, list_url, moment, shortened
from secflow.console.filters import TimeFilter
from secflow.console.pages import UncountedAdmin
from workflows.admin.cells import (
    WORKFLOWS,
    InstanceColumn,
    StatusColumn,
    TimesColumns,
    instance_link,
    template_link,
)
from workflows.models import NodeRun, WorkflowNode

_HISTORY = 20


@admin.register(WorkflowNode)
class WorkflowNodeAdmin(InstanceColumn, StatusColumn, TimesColumns, UncountedAdmin):
    """Nodes as they are now; what they did in each run is in the table below."""

    list_select_related = ("instance",)
    ordering = ("id",)  # the only order of all nodes that has an index; ids begin with names
    list_defer = (
        "position",
        "env_vars",
        "volume_mounts",
        "input_env_vars",
        "input_volume_mounts",
        "resources",
        "depends_on",
        "downstream_node_ids",
        "service_ports",
        "instance__edges",
        "instance__nodes",
    )
    list_display = (
        "name_cell",
        "instance_cell",
        "project_cell",
        "node_type",
        "status_cell",
        "object_cell",
        "service_cell",
        "started_cell",
        "took_cell",
        "message_cell",
    )
    list_display_links = ("name_cell",)
    list_filter = (
        ("status", MultipleChoicesDropdownFilter),
        ("node_type", FieldTextFilter),
        ("instance__project_id", FieldTextFilter),
        ("template_id", FieldTextFilter),
        ("started_at", TimeFilter),
    )
    search_fields = ("id", "name", "k8s_resource_name", "service_name", "instance__id__exact")
    search_help_text = "Name, id, cluster object, Service, or an instance's id"
    fieldsets = (
        (
            "State",
            {
                "fields": (
                    "id",
                    "name",
                    "instance_field",
                    "status_badge",
                    "message",
                    "started_at",
                    "finished_at",
                    "created_at",
                )
            },
        ),
        (
            "Workload",
            {"fields": ("node_type", "template_field", "k8s_resource_type", "k8s_resource_name", "timeout_seconds")},
        ),
        (
            "Service",
            {
                "fields": (
                    "create_service",
                    "service_name",
                    "requested_service_name",
                    "service_type",
                    "service_ports_json",
                    "create_ingress",
                    "ingress_type",
                    "ingress_host",
                    "ingress_ip",
                )
            },
        ),
        (
            "Settings",
            {
                "fields": (
                    "env_vars_json",
                    "volume_mounts_json",
                    "input_env_vars_json",
                    "input_volume_mounts_json",
                    "resources_json",
                )
            },
        ),
        ("Graph", {"fields": ("depends_on_json", "downstream_node_ids_json", "position_json")}),
    )
    readonly_fields = (
        "status_badge",
        "instance_field",
        "template_field",
        "env_vars_json",
        "volume_mounts_json",
        "input_env_vars_json",
        "input_volume_mounts_json",
        "resources_json",
        "depends_on_json",
        "downstream_node_ids_json",
        "position_json",
        "service_ports_json",
    )

    env_vars_json = json_field("env_vars")
    volume_mounts_json = json_field("volume_mounts")
    input_env_vars_json = json_field("input_env_vars")
    input_volume_mounts_json = json_field("input_volume_mounts")
    resources_json = json_field("resources")
    depends_on_json = json_field("depends_on")
    downstream_node_ids_json = json_field("downstream_node_ids")
    position_json = json_field("position")
    service_ports_json = json_field("service_ports")

    @display(description="Node", ordering="name", header=True)
    def name_cell(self, row: WorkflowNode) -> list[str]:
        return [row.name, row.pk]

    @display(description="Cluster object")
    def object_cell(self, row: WorkflowNode) -> str:
        return row.k8s_resource_name or NONE

    @display(description="Service")
    def service_cell(self, row: WorkflowNode) -> str:
        return row.service_name or NONE

    @display(description="Instance")
    def instance_field(self, row: WorkflowNode) -> SafeString:
        return instance_link(row.instance_id, row.instance.name)

    @display(description="Template")
    def template_field(self, row: WorkflowNode) -> SafeString | str:
        return template_link(row.node_type, row.template_id)

    @display(description="Status")
    def status_badge(self, row: WorkflowNode) -> SafeString | str:
        return badge(row.status)

    def related_tables(self, request: HttpRequest, obj: WorkflowNode) -> list[Table]:
        """What the node did in its last runs; one query."""
        records = NodeRun.objects.filter(node_id=obj.pk).select_related("run").defer("spec", "diagnosis", "run__edges")
        return [
            Table(
                "In its last runs",
                ("Run", "Attempt", "Status", "Cluster object", "Started", "Took", "Message"),
                [
                    (
                        link(
                            WORKFLOWS,
                            "noderun",
                            record.pk,
                            f"{record.run.purpose}\N{NO-BREAK SPACE}#{record.run.number}",
                        ),
                        record.attempt,
                        badge(record.status),
                        record.resource_name,
                        moment(record.started_at),
                        duration(record.started_at, record.finished_at, now=timezone.now()),
                        shortened(record.message),
                    )
                    for record in records[:_HISTORY]
                ],
                more=list_url(WORKFLOWS, "noderun", node_id=obj.pk),
                more_label="All runs of this node",
            )
        ]
