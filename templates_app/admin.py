"""Admin pages of templates. Forms are checked by the rules of the API and written by the same services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from secflow.console.bodies.copying import CopyBody
from secflow.console.bodies.pages import FormPages
from secflow.console.copies import CopyColumn
from secflow.console.display import badge, list_link, moment, once
from secflow.console.filters import ExactFilter, TimeFilter
from secflow.console.operations import Operation, OperationsMixin
from secflow.console.pages import ConsoleAdmin, user_names
from secflow.console.projects import usable_projects
from secflow.console.roles import actor_of
from templates_app import kinds, selectors, services
from templates_app.admin_forms import AppTemplateForm, JobTemplateForm, TemplateBody, TemplateForm
from templates_app.admin_parts import project_part
from templates_app.models import AppTemplate, JobTemplate, Template
from workflows.domain.actors import Actor, Right


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


class TemplateAdmin(FormPages, OperationsMixin, CopyColumn, ConsoleAdmin):
    """What app and job templates have in common."""

    kind: kinds.TemplateKind
    actions_detail = ("copy_button", "delete_button")
    actor_field = creator_field = "created_by"
    project_field = "project_id"
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
        ("project_id", ExactFilter),
        ("created_at", TimeFilter),
    )
    search_fields = ("id", "name", "project_id")
    search_help_text = "Name, id or project"
    readonly_fields = ("id", "creator", "created_at", "updated_at", "users_field")
    change_form_template = "console/template_form.html"

    def visible_rows(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Global templates too: everybody may read and use them."""
        return rows.filter(selectors.visible_to(actor_of(request)))

    def has_right(self, request: HttpRequest, right: Right, obj: Any) -> bool:
        """Members read and use templates; creators and the project's managers change them (contract A.3)."""
        if right is Right.EDIT:
            return services.may_change(actor_of(request), obj)
        return obj.scope == Template.Scope.GLOBAL or super().has_right(request, right, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Only what cannot be changed; the inputs are the form's own."""
        return [("Origin", {"fields": self.readonly_fields})] if obj is not None else []

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.readonly_fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A form that writes by the service of its kind, as the signed-in user."""
        form = super().get_form(request, obj, change=change, **kwargs | {"fields": ()})
        form.kind = self.kind
        form.actor = actor_of(request)
        form.may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return form

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("check/", site(self.check_view), name=f"{name}_check"),
            path("<path:object_id>/check/", site(self.check_view), name=f"{name}_check_one"),
            *super().get_urls(),
        ]

    def has_do_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whether the user may make templates of this kind."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.add_{self.opts.model_name}"))

    def may_copy(self, request: HttpRequest) -> bool:
        return self.has_do_add_permission(request)

    def buttons_of(self, request: HttpRequest, row: Any) -> list[Any]:
        """The buttons of the operations, and the one for a copy."""
        shown = super().buttons_of(request, row)
        return [self.get_unfold_action("copy_button"), *shown] if self.may_copy(request) else shown

    @action(description="Copy", url_path="copy", permissions=["do_add"], icon="content_copy")
    def copy_button(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A second template like this one, under another name."""
        row = self.get_object(request, unquote(object_id))
        if not self.may_copy(request):
            raise PermissionDenied
        if row is None:
            raise Http404(f"there is no {self.opts.verbose_name} with the id {object_id}")
        actor, name = actor_of(request), f"admin:{self.opts.app_label}_{self.opts.model_name}_change"

        def copy(**values: str) -> str:
            return services.copy_template(self.kind, actor=actor, template_id=row.pk, **values).pk

        def body(posted: QueryDict | None) -> CopyBody:
            help = "With the same containers and settings. Nodes go on using the one that they were made from."
            project = None
            if row.scope == Template.Scope.GLOBAL and not actor.is_admin:
                project = project_part(
                    usable_projects(actor),
                    is_required=True,
                    help="Whose the copy will be: only administrators make global templates.",
                )
            return CopyBody(copy, name=f"{row.name[:121]} (copy)", help=help, project=project, posted=posted)

        def done(made_id: str) -> str:
            made = self.kind.model.objects.get(pk=made_id)
            self.log_addition(request, made, f"copied from {row.pk}")
            messages.success(request, f"{made.name} was made.")
            return reverse(name, args=[quote(made_id)])

        context = {"title": f"Copy {row.name}", "save_label": "Copy", "back": reverse(name, args=[quote(row.pk)])}
        return self.form_page(request, body, done, context)

    @method_decorator(require_POST)
    def check_view(self, request: HttpRequest, object_id: str | None = None) -> HttpResponse:
        """What would be refused of an unsaved form, for the page to show while somebody types; nothing is written."""
        row = self.get_object(request, unquote(object_id)) if object_id else None
        if object_id and row is None:
            raise Http404(f"there is no {self.opts.verbose_name} with the id {object_id}")
        if not (self.has_change_permission(request, row) if row else self.has_add_permission(request)):
            raise PermissionDenied
        body = TemplateBody(self.kind, actor=actor_of(request), row=row, posted=request.POST)
        body.try_out()
        return JsonResponse({"problems": body.problems()})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form, row = context["adminform"].form, kwargs.get("obj")
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_check"
        if form.body.only_edits_rows:
            context["errors"] = None
        context |= {
            "body": form.body,
            "stale": form.stale,
            "check_url": ""
            if form.body.is_disabled
            else reverse(f"{name}_one", args=[quote(row.pk)])
            if row
            else reverse(name),
        }
        return super().render_change_form(request, context, *args, **kwargs)

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


@admin.register(JobTemplate)
class JobTemplateAdmin(TemplateAdmin):
    """Job templates, newest first."""

    kind = kinds.JOB
    form = JobTemplateForm
    operations: tuple[Operation, ...] = (_deletion(kinds.JOB),)
