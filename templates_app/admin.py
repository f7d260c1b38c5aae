"""Admin pages of templates. Forms are checked by the rules of the API and written by the same services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter
from unfold.decorators import display
from unfold.enums import ActionVariant

from secflow.console.display import badge, list_link, moment, once
from secflow.console.filters import TimeFilter
from secflow.console.operations import Operation, OperationsMixin, actor_of
from secflow.console.pages import ConsoleAdmin, user_names
from templates_app import kinds, services
from templates_app.admin_forms import AppTemplateForm, JobTemplateForm, TemplateForm
from templates_app.models import AppTemplate, JobTemplate, Template
from workflows.domain.actors import Actor


def _deletion(kind: kinds.TemplateKind) -> Operation:
    def call(template: Any, actor: Actor) -> None:
        services.delete_template(kind, actor=actor, template_id=template.pk)

    return Operation(
        name="delete",
        title="Delete",
        done="deleted",
        effect="Removed for good. A template that a node of any workflow still refers to is kept.",
        call=call,
        icon="delete",
        variant=ActionVariant.DANGER,
        is_destructive=True,
        right="delete",
    )


class TemplateAdmin(OperationsMixin, ConsoleAdmin):
    """What app and job templates have in common."""

    kind: kinds.TemplateKind
    actions_detail = ("delete_button",)
    actor_field = "created_by"
    warn_unsaved_form = True
    list_defer: tuple[str, ...] = ("description",)
    list_display: tuple[str, ...] = (
        "name_cell",
        "scope_cell",
        "project_id",
        "images_cell",
        "users_cell",
        "actor_cell",
        "changed_cell",
    )
    list_display_links = ("name_cell",)
    list_filter = (
        ("scope", ChoicesDropdownFilter),
        ("project_id", FieldTextFilter),
        ("created_at", TimeFilter),
    )
    search_fields = ("id", "name", "project_id")
    search_help_text = "Name, id or project"
    readonly_fields = ("id", "creator", "created_at", "updated_at", "users_field")
    common_fields: tuple[str, ...] = ("name", "description", "scope", "project_id")
    own_fields: tuple[str, ...] = ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fieldsets: list[Any] = [
            ("Template", {"fields": self.common_fields}),
            ("Containers", {"fields": ("containers",)}),
            (self.kind.label.split()[0], {"fields": self.own_fields}),
        ]
        if obj is not None:
            fieldsets.append(("Origin", {"fields": self.readonly_fields}))
        return fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.readonly_fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A form that writes by the service of its kind, as the signed-in user."""
        form = super().get_form(request, obj, change=change, **kwargs)
        form.kind = self.kind
        form.actor = actor_of(request)
        return form

    def save_model(self, request: HttpRequest, obj: Template, form: TemplateForm, change: bool) -> None:
        """Nothing is left to do: the form has written by the service, which could still refuse then."""

    def describe(self, row: Template) -> str:
        return f"({row.scope}{f', project {row.project_id}' if row.project_id else ''})"

    @display(description="Name", ordering="name", header=True)
    def name_cell(self, row: Template) -> list[str]:
        return [row.name, row.pk]

    @display(description="Scope", ordering="scope")
    def scope_cell(self, row: Template) -> SafeString | str:
        return badge(row.scope, variant="primary" if row.scope == Template.Scope.GLOBAL else "default")

    @display(description="Images")
    def images_cell(self, row: Template) -> str:
        images = [str(item.get("image", "")) for item in row.containers if isinstance(item, dict)]
        return ", ".join(images[:2]) + (f" and {len(images) - 2} more" if len(images) > 2 else "")

    @display(description="Used by")
    def users_cell(self, row: Template) -> SafeString:
        return list_link("workflows", "workflownode", "nodes", template_id=row.pk)

    @display(description="By", ordering="created_by")
    def actor_cell(self, row: Any) -> str:
        return str(getattr(row, "actor_name", row.created_by))

    @display(description="Changed", ordering="updated_at")
    def changed_cell(self, row: Template) -> Any:
        return moment(row.updated_at)

    @display(description="Created by")
    @once
    def creator(self, row: Template) -> str:
        return user_names({row.created_by}).get(row.created_by, row.created_by)

    @display(description="Used by")
    def users_field(self, row: Template) -> SafeString:
        return list_link("workflows", "workflownode", "Nodes made from this template", template_id=row.pk)


@admin.register(AppTemplate)
class AppTemplateAdmin(TemplateAdmin):
    """App templates, newest first."""

    kind = kinds.APP
    form = AppTemplateForm
    operations: tuple[Operation, ...] = (_deletion(kinds.APP),)
    list_defer = ("description", "service_ports")
    own_fields = ("replicas", "create_service", "service_name", "service_type", "service_ports")


@admin.register(JobTemplate)
class JobTemplateAdmin(TemplateAdmin):
    """Job templates, newest first."""

    kind = kinds.JOB
    form = JobTemplateForm
    operations: tuple[Operation, ...] = (_deletion(kinds.JOB),)
    own_fields = ("backoff_limit", "ttl_seconds_after_finished")
