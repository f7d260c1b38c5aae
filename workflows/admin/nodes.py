"""Nodes of all instances."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import MultipleChoicesDropdownFilter
from unfold.decorators import display

from secflow.console.display import NONE, json_field
from secflow.console.filters import ExactFilter, TimeFilter
from secflow.console.pages import UncountedAdmin
from workflows.admin.cells import InstanceColumn, StatusColumn, TimesColumns, template_link
from workflows.admin.node_page import NodePage
from workflows.models import WorkflowNode


@admin.register(WorkflowNode)
class WorkflowNodeAdmin(NodePage, InstanceColumn, StatusColumn, TimesColumns, UncountedAdmin):
    """Nodes as they are now, and the page of each: status, why, logs, history, inputs, manifest."""

    project_field, creator_field = "instance__project_id", "instance__created_by"
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
        ("node_type", ExactFilter),
        ("instance__project_id", ExactFilter),
        ("template_id", ExactFilter),
        ("started_at", TimeFilter),
    )
    search_ids = {"wf-node-": "id__startswith", "wf-inst-": "instance_id"}
    search_newest = None  # ids are no numbers
    search_fields = ("id", "name", "k8s_resource_name", "service_name", "instance__id__exact")
    search_help_text = "Name, id, cluster object, Service, or an instance's id"
    fieldsets = (
        (
            "Workload",
            {
                "fields": (
                    "id",
                    "name",
                    "node_type",
                    "template_field",
                    "k8s_resource_type",
                    "k8s_resource_name",
                    "timeout_seconds",
                    "created_at",
                )
            },
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
            "As stored",
            {
                "classes": ("collapse",),
                "fields": (
                    "env_vars_json",
                    "volume_mounts_json",
                    "input_env_vars_json",
                    "input_volume_mounts_json",
                    "resources_json",
                    "depends_on_json",
                    "downstream_node_ids_json",
                    "position_json",
                ),
            },
        ),
    )
    readonly_fields = (
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

    @display(description="Template")
    def template_field(self, row: WorkflowNode) -> SafeString | str:
        return template_link(row.node_type, row.template_id)
