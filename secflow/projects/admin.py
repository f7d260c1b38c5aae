"""Who belongs to which project: operators edit it here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter
from unfold.decorators import display

from secflow.console.display import badge, moment
from secflow.console.filters import TimeFilter
from secflow.console.pages import ConsoleAdmin
from secflow.projects.models import ProjectMember


class ProjectMemberForm(forms.ModelForm):
    """With SecFlow's own users a name may be typed instead of an id, and unknown users are refused."""

    class Meta:
        model = ProjectMember
        fields = ("project_id", "user_id", "role")
        labels = {"project_id": "Project", "user_id": "User"}
        help_texts = {"user_id": "The user's name, or the id as it stands in tokens."}

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
    actor_field = "user_id"
    list_display = ("user_cell", "project_id", "role_cell", "created_cell")
    list_display_links = ("user_cell",)
    list_filter = (
        ("project_id", FieldTextFilter),
        ("role", ChoicesDropdownFilter),
        ("created_at", TimeFilter),
    )
    search_fields = ("project_id", "user_id__exact")
    search_help_text = "Project or a user's id"

    @display(description="User", ordering="user_id", header=True)
    def user_cell(self, row: Any) -> list[str]:
        return [getattr(row, "actor_name", row.user_id), f"id {row.user_id}"]

    @display(description="Role", ordering="role")
    def role_cell(self, row: ProjectMember) -> Any:
        return badge(row.role, variant="primary" if row.role == ProjectMember.Role.MANAGER else "default")

    @display(description="Since", ordering="created_at")
    def created_cell(self, row: ProjectMember) -> Any:
        return moment(row.created_at)
