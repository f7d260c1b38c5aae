"""Users and groups in the console's style, and which pages of other packages are not offered."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from secflow.console.display import NONE, badge
from secflow.http.roles import Role
from secflow.projects.roles import EFFECTS, give_roles, roles_of_user

admin.site.index_title = "Overview"
admin.site.index_template = "console/index.html"
admin.site.empty_value_display = "–"

for model in (User, Group, OutstandingToken, BlacklistedToken):
    # The token pages would show every user's refresh token in full.
    admin.site.unregister(model)

_ROLE_HELP = (
    "Whoever has a role may sign in to this console. Roles add up. Of which projects somebody is a member is set under"
    " Project members."
)


def _short(role: Role) -> str:
    return role.value.removeprefix("SecFlow ").removesuffix("s").capitalize()


def _roles_field() -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        choices=[(role.value, f"{_short(role)}: {EFFECTS[role]}") for role in Role],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        required=False,
        help_text=_ROLE_HELP,
    )


class NewUserForm(UserCreationForm):
    """Name, password and roles."""

    roles = _roles_field()


class UserForm(UserChangeForm):
    """A user with its roles; the field `groups` is about all other groups."""

    roles = _roles_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "roles" in self.fields:
            self.fields["roles"].initial = [role.value for role in roles_of_user(self.instance)]
        if "groups" in self.fields:
            others = Group.objects.exclude(name__in=[role.value for role in Role])
            self.fields["groups"].queryset = others
            self.initial["groups"] = list(others.filter(user=self.instance))


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """SecFlow's own users."""

    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    show_full_result_count = False
    list_display = ("username", "roles_cell", "email", "is_active", "is_staff", "last_login")
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("username", "usable_password", "password1", "password2")}),
        ("Roles", {"fields": ("roles",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        roles = "roles" if self.has_change_permission(request, obj) else "roles_cell"
        return (
            (None, {"fields": ("username", "password", "is_active")}),
            ("Roles", {"fields": (roles,)}),
            ("Person", {"classes": ("collapse",), "fields": ("first_name", "last_name", "email")}),
            (
                "More rights",
                {"classes": ("collapse",), "fields": ("is_staff", "is_superuser", "groups", "user_permissions")},
            ),
            ("Dates", {"classes": ("collapse",), "fields": ("last_login", "date_joined")}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "roles_cell")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The groups of the roles are set last: the field `groups` does not know of them."""
        super().save_related(request, form, formsets, change)
        give_roles(form.instance, [Role(name) for name in form.cleaned_data["roles"]])

    @display(description="Roles")
    def roles_cell(self, row: Any) -> SafeString | str:
        words = ["administrator"] if row.is_superuser else []
        names = {group.name for group in row.groups.all()} if row.is_staff else set()
        words += [_short(role).lower() for role in Role if role.value in names]
        return SafeString(" ").join(badge(word) for word in dict.fromkeys(words)) if words else NONE


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups of permissions for the pages of this console."""

    show_full_result_count = False
