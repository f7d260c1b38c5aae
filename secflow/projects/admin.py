"""Who belongs to which project: administrators edit it here, other staff looks at it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldBooleanSwitchWidget

from secflow.console.display import badge, moment
from secflow.console.filters import ExactFilter, TimeFilter
from secflow.console.pages import ConsoleAdmin
from secflow.http.roles import Role
from secflow.projects.models import ProjectMember
from secflow.projects.roles import give_roles, roles_of_user


class ProjectMemberForm(forms.ModelForm):
    """With SecFlow's own users a name may be typed instead of an id, and unknown users are refused."""

    class Meta:
        model = ProjectMember
        fields = ("project_id", "user_id", "role")
        labels = {"project_id": "Project", "user_id": "User"}
        help_texts = {"user_id": "The user's name, or the id as it stands in tokens."}

    opens_console = forms.BooleanField(
        label="May use this console",
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Gives the user the role project member, with which they may sign in here and see their own projects.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if settings.SECFLOW.auth_mode != "own" or not self.instance._state.adding:
            # Whoever is known by tokens alone has no account here; what an account may do is changed on its own page.
            self.fields.pop("opens_console", None)

    def clean_project_id(self) -> str:
        return str(self.cleaned_data["project_id"]).strip()

    def clean_user_id(self) -> str:
        given = str(self.cleaned_data["user_id"]).strip()
        if settings.SECFLOW.auth_mode != "own":
            return given
        users = get_user_model()
        named = users.objects.filter(**{users.USERNAME_FIELD: given}).values_list("pk", flat=True).first()
        if named is not None:
            return str(named)
        if given.isdecimal() and len(given) < 10 and users.objects.filter(pk=int(given)).exists():
            return given
        raise forms.ValidationError(f"there is no user with the name or id {given}; make the user first")


@admin.register(ProjectMember)
class ProjectMemberAdmin(ConsoleAdmin):
    """Members by project. A project without any member is open to every authenticated caller."""

    form = ProjectMemberForm
    project_field = "project_id"
    actor_field = "user_id"
    list_display = ("user_cell", "project_id", "role_cell", "created_cell")
    list_display_links = ("user_cell",)
    list_filter = (
        ("project_id", ExactFilter),
        ("role", ChoicesDropdownFilter),
        ("created_at", TimeFilter),
    )
    search_fields = ("project_id", "user_id__exact")
    search_help_text = "Project or a user's id"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = ["project_id", "user_id", "role"]
        return [*fields, "opens_console"] if obj is None and settings.SECFLOW.auth_mode == "own" else fields

    def save_model(self, request: HttpRequest, obj: ProjectMember, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.cleaned_data.get("opens_console") and request.user.has_perm("auth.change_user"):
            user = get_user_model().objects.get(pk=obj.user_id)
            if Role.MEMBER not in roles_of_user(user):
                give_roles(user, [*roles_of_user(user), Role.MEMBER])

    @display(description="User", ordering="user_id", header=True)
    def user_cell(self, row: Any) -> list[str]:
        return [getattr(row, "actor_name", row.user_id), f"id {row.user_id}"]

    @display(description="Role", ordering="role")
    def role_cell(self, row: ProjectMember) -> Any:
        return badge(row.role, variant="primary" if row.role == ProjectMember.Role.MANAGER else "default")

    @display(description="Since", ordering="created_at")
    def created_cell(self, row: ProjectMember) -> Any:
        return moment(row.created_at)
