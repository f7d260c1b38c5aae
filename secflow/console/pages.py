"""The bases of all admin pages: fast lists, and pages that can be looked at only."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.admin import ShowFacets
from django.contrib.auth import get_user_model
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from secflow.console.display import Table


class ConsoleChangeList(ChangeList):
    """A list that leaves out the heavy columns, and names the users of a page with one query."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        return rows.defer(*self.model_admin.list_defer)

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        field = self.model_admin.actor_field
        if field:
            self.result_list = list(self.result_list)
            names = user_names({getattr(row, field) for row in self.result_list})
            for row in self.result_list:
                row.actor_name = names.get(getattr(row, field), getattr(row, field))


def user_names(ids: set[str]) -> dict[str, str]:
    """Names of SecFlow's own users by id; one query, none when tokens come from elsewhere and ids mean other people."""
    keys = [int(text) for text in ids if text.isdecimal() and len(text) < 10]
    if not keys or settings.SECFLOW.auth_mode != "own":
        return {}
    user = get_user_model()
    return {str(pk): name for pk, name in user.objects.filter(pk__in=keys).values_list("pk", user.USERNAME_FIELD)}


class ConsoleAdmin(ModelAdmin):
    """A page in the console's style.

    `list_defer`: columns that a list does not load. `actor_field`: a column with a user's id, shown as `actor_name`.
    """

    list_per_page = 50
    list_max_show_all = 0
    list_filter_submit = True
    list_fullwidth = True
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they count all rows once for every choice
    compressed_fields = True
    list_defer: tuple[str, ...] = ()
    actor_field: str | None = None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConsoleChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """All rows; foreign keys are joined once for lists and single pages alike."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related(*self.list_select_related) if self.list_select_related else rows

    def related_tables(self, request: HttpRequest, obj: Any) -> list[Table]:
        """Tables to show below the fields of one object."""
        return []

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj: Model | None = kwargs.get("obj")
        if obj is not None:
            context["tables"] = self.related_tables(request, obj)
        return super().render_change_form(request, context, *args, **kwargs)


class ReadOnlyAdmin(ConsoleAdmin):
    """What the engine writes may be looked at, and nothing else: Django shows values instead of form fields."""

    actions = None
    change_form_outer_after_template = "console/tables.html"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class UncountedAdmin(ReadOnlyAdmin):
    """For tables that grow with every run: pages go forward and back, and nobody counts all rows."""

    paginator = InfinitePaginator
