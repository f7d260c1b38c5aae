"""The bases of all admin pages: fast lists, and pages that can be looked at only."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import PAGE_VAR
from django.contrib.auth import get_user_model
from django.db.models import Max, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe
from unfold.admin import ModelAdmin, checkbox
from unfold.views import ChangeList

from secflow.console.display import Table
from secflow.console.paging import NearestPaginator, UncountedPaginator, keys_between
from secflow.console.roles import access_of, visible
from secflow.console.saved_filters import SavedFilterPages
from workflows.domain.actors import Right

_KEY: Final = "key-of-the-row"
NEWEST: Final = 100_000  # rows of a table without an end that a search for words looks at


class ConsoleChangeList(ChangeList):
    """A list that leaves out the heavy columns, and names the users of a page with one query."""

    left_out = 0  # rows that are too old for a search for words, about

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        if any("\x00" in text for texts in self.filter_params.values() for text in texts):
            rows = rows.none()  # no text of the database has that character, and it refuses to look for it
        newest = self.model_admin.search_newest
        if newest and self._looks_for_words():
            last = self.model._default_manager.aggregate(last=Max("pk"))["last"] or 0
            self.left_out = max(0, last - newest)
            rows = rows.filter(pk__gt=self.left_out)
        return rows.defer(*self.model_admin.list_defer)

    def _looks_for_words(self) -> bool:
        """Whether rows are compared with a part of a text, which no index helps with."""
        by_filter = any(name.endswith("__icontains") and any(value) for name, value in self.filter_params.items())
        return by_filter or (bool(self.query) and self.model_admin.id_lookup(self.query) is None)

    @property
    def remarks(self) -> list[str]:
        """What somebody who looks at the list has to know: sentences that stand above it."""
        found = [problem for spec in self.filter_specs if (problem := getattr(spec, "problem", ""))]
        if self.left_out:
            newest = f"{self.model_admin.search_newest:,}"
            found.append(
                f"Words and parts of words were looked for in the newest {newest} rows only. Older ones are not shown."
            )
        return found

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        if request.method == "POST":
            self.page_num = 1  # rows are named by their keys; the page on which they stood may be gone
        super().get_results(request)
        if isinstance(self.paginator, UncountedPaginator):
            self.full_result_count = self.result_count  # the heading tells the count of results unless they are all
        self.page_num = self.paginator.validate_number(self.page_num)
        if self.multi_page:
            self.result_list = self._rows_of_page()
            if self.page_num > 1 and not self.result_list:
                self.page_num = 1  # nobody counted the rows, so nobody knows the last page
                self.result_list = self._rows_of_page()
        field = self.model_admin.actor_field
        if field:
            self.result_list = list(self.result_list)
            names = user_names({getattr(row, field) for row in self.result_list})
            for row in self.result_list:
                row.actor_name = names.get(getattr(row, field), getattr(row, field))

    def _rows_of_page(self) -> QuerySet[Any]:
        """The rows of Django's own page, in its order. Columns, joins and subqueries are looked up for these alone, by key,
        not for all the rows before them.
        """
        start = (self.page_num - 1) * self.list_per_page
        known = None if isinstance(self.paginator, UncountedPaginator) else self.result_count
        keys = keys_between(self.queryset, start, start + self.list_per_page, total=known)
        # Without the filters, which the keys fulfil: a planner that takes them to be rare would start from them.
        rows: QuerySet[Any] = self.root_queryset.filter(pk__in=keys)
        if not rows.query.select_related:
            rows = self.apply_select_related(rows)
        return rows.order_by(*self.queryset.query.order_by).defer(*self.model_admin.list_defer)


def user_names(ids: set[str]) -> dict[str, str]:
    """Names of SecFlow's own users by id; one query, none when tokens come from elsewhere and ids mean other people."""
    keys = [int(text) for text in ids if text.isdecimal() and len(text) < 10]
    if not keys or settings.SECFLOW.auth_mode != "own":
        return {}
    user = get_user_model()
    return {str(pk): name for pk, name in user.objects.filter(pk__in=keys).values_list("pk", user.USERNAME_FIELD)}


class ConsoleAdmin(SavedFilterPages, ModelAdmin):
    """A page in the console's style.

    `list_defer`: columns that a list does not load. `actor_field`: a column with a user's id, shown as `actor_name`.
    `project_field` and `creator_field`: the lookups that lead from a row to its project's and creator's ids. By them
    everybody sees only what the API shows to the same user; without a project only Django's permissions count.
    `linked_lookups`: lookups over relations that other pages link by.
    `search_ids`: how an id begins -> the lookup of an indexed column, which alone is asked when somebody searches for one.
    `search_newest`: parts of texts are looked for in so many of the newest rows; None: in all.
    """

    paginator = NearestPaginator
    list_per_page = 50
    list_max_show_all = 0
    list_filter_submit = True
    list_fullwidth = True
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they count all rows once for every choice
    compressed_fields = True
    delete_confirmation_template = "console/delete_confirmation.html"
    list_defer: tuple[str, ...] = ()
    actor_field: str | None = None
    search_ids: Mapping[str, str] = {}
    search_newest: int | None = None
    project_field: str | None = None
    creator_field: str | None = None
    linked_lookups: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Beside what the filters ask for, what other pages link by."""
        return lookup in self.linked_lookups or super().lookup_allowed(lookup, value, request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConsoleChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list. Its filter form leads to the first page."""
        response: HttpResponse = super().changelist_view(request, extra_context)
        # unfold's form keeps every parameter of the request that no filter takes. The page was read already.
        kept = request.GET.copy()
        kept.pop(PAGE_VAR, None)
        request.GET = kept  # type: ignore[assignment]
        return response

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows that the user may read; foreign keys are joined once for lists and single pages alike."""
        rows = self.visible_rows(request, super().get_queryset(request))
        return rows.select_related(*self.list_select_related) if self.list_select_related else rows

    def visible_rows(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the rows that the user may read."""
        return visible(request, rows, self.project_field, self.creator_field) if self.project_field else rows

    def has_right(self, request: HttpRequest, right: Right, obj: Any) -> bool:
        """Whether the user has the right on this row, by project and creator, as the API says (contract A.3)."""
        if self.project_field is None:
            return True
        return access_of(request).has(
            right,
            project_id=_at(obj, self.project_field),
            created_by=_at(obj, self.creator_field) if self.creator_field else None,
        )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and (obj is None or self.has_right(request, Right.READ, obj))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or self.has_right(request, Right.EDIT, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or self.has_right(request, Right.EDIT, obj))

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        # Django goes to the first page with a message; a row of others and one that does not exist are alike.
        raise Http404(f"there is no {opts.verbose_name} with the id {object_id}")

    def action_checkbox(self, obj: Model) -> SafeString:
        """The box of a row. It is the same for all but for the key, and its template takes longer than all other cells."""
        return mark_safe(_checkbox().replace(_KEY, conditional_escape(str(obj.pk))))  # noqa: S308  escaped

    action_checkbox.short_description = ModelAdmin.action_checkbox.short_description  # type: ignore[attr-defined]

    def id_lookup(self, term: str) -> str | None:
        """The lookup for a search that is an id, or its beginning."""
        word = term.strip()
        found = (lookup for beginning, lookup in self.search_ids.items() if word.startswith(beginning))
        return next(found, None) if " " not in word else None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows with all the words, or those of the id that was searched for."""
        lookup = self.id_lookup(search_term)
        if lookup is not None:
            return queryset.filter(**{lookup: search_term.strip()}), False
        return super().get_search_results(request, queryset, search_term)

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


@cache
def _checkbox() -> str:
    return str(checkbox.render(ACTION_CHECKBOX_NAME, _KEY))


def _at(obj: Any, lookup: str) -> Any:
    for name in lookup.split("__"):
        obj = getattr(obj, name)
    return obj


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

    paginator = UncountedPaginator
    search_newest: int | None = NEWEST
