"""What still has to be removed from the cluster."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from secflow.console.display import badge, moment, once, shortened
from secflow.console.filters import ExactFilter, TimeFilter
from secflow.console.pages import ReadOnlyAdmin, user_names
from workflows.admin.cells import ActorColumn, InstanceColumn, instance_link
from workflows.models import Cleanup


@admin.register(Cleanup)
class CleanupAdmin(InstanceColumn, ActorColumn, ReadOnlyAdmin):
    """Open clean-ups, oldest first. They end by themselves; to change one, use the instance's operations."""

    actor_field = "actor"
    project_field, creator_field = "instance__project_id", "instance__created_by"
    list_select_related = ("instance",)
    list_defer = ("instance__edges", "instance__nodes")
    list_display = (
        "requested_cell",
        "instance_cell",
        "project_cell",
        "goal_cell",
        "tries",
        "due_cell",
        "actor_cell",
        "error_cell",
    )
    list_display_links = ("requested_cell",)
    list_filter = (
        ("goal", ChoicesDropdownFilter),
        ("instance__project_id", ExactFilter),
        ("requested_at", TimeFilter),
    )
    search_fields = ("instance__name", "instance__id", "error")
    search_help_text = "Instance's name or id, or words of the problem"
    fields = (
        "instance_field",
        "goal_badge",
        "requested_at",
        "asked_by",
        "tries",
        "due_at",
        "error",
        "generation",
    )
    readonly_fields = ("instance_field", "goal_badge", "asked_by")

    @display(description="Asked for", ordering="requested_at")
    def requested_cell(self, row: Cleanup) -> SafeString | str:
        return moment(row.requested_at)

    @display(description="Then", ordering="goal")
    def goal_cell(self, row: Cleanup) -> SafeString | str:
        return badge(row.goal)

    @display(description="Next try", ordering="due_at")
    def due_cell(self, row: Cleanup) -> SafeString | str:
        return moment(row.due_at)

    @display(description="Last problem")
    def error_cell(self, row: Cleanup) -> str:
        return shortened(row.error)

    @display(description="Instance")
    def instance_field(self, row: Cleanup) -> SafeString:
        return instance_link(row.instance_id, row.instance.name)

    @display(description="Then")
    def goal_badge(self, row: Cleanup) -> SafeString | str:
        return badge(row.goal)

    @display(description="Asked for by")
    @once
    def asked_by(self, row: Cleanup) -> str:
        return user_names({row.actor}).get(row.actor, row.actor)
