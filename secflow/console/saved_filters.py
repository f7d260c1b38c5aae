"""Filters under a name, above every list: saved, renamed and removed by their user, shared with everybody by administrators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from secflow.console.models import SavedFilter
from secflow.console.roles import actor_of

MOST: Final = 100  # of one user and list
# The page of the list, and what only belongs to one moment, are not part of what is saved.
_PASSING: Final = frozenset({"p", "e", "all", "_popup", "_to_field", "_facets", "csrfmiddlewaretoken"})


@dataclass(frozen=True, slots=True)
class Shown:
    """One saved filter as the page shows it."""

    pk: int
    name: str
    url: str
    is_current: bool
    is_shared: bool
    may_change: bool


def normal(query: str) -> str:
    """The same query for the same list, whatever was empty and in which order it was said."""
    pairs = parse_qsl(query, max_num_fields=200)
    return urlencode(sorted((name, value) for name, value in pairs if name not in _PASSING))


class SavedFilterPages:
    """Saved filters for an admin class. They are looked at with one query."""

    list_before_template = "console/above_list.html"
    model: Any
    admin_site: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_filters"
        return [path("filters/", self.admin_site.admin_view(self.filters_view), name=name), *super().get_urls()]  # type: ignore[misc]

    def above_list(self, request: HttpRequest) -> dict[str, Any]:
        """What the template above the list shows."""
        here = normal(request.GET.urlencode())
        label = self.model._meta.label_lower
        mine = SavedFilter.objects.filter(Q(user_id=_key(request)) | Q(is_shared=True), model=label)
        address = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        may_share = actor_of(request).is_admin
        shown = [
            Shown(
                row.pk,
                row.name,
                f"{address}?{row.query}",
                row.query == here,
                row.is_shared,
                row.user_id == _key(request) or may_share,
            )
            for row in mine[: 2 * MOST]
        ]
        return {
            "shown": shown,
            "current": next((item for item in shown if item.is_current), None),
            "query": here,
            "may_share": may_share,
            "post_url": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_filters"),
        }

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with what stands above it."""
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        context = getattr(response, "context_data", None)
        # Only for a list that is shown: an action answers with pages of its own.
        if context is not None and "cl" in context:
            context["saved_filters"] = self.above_list(request)
            context["unfinished"] = self.unfinished_work(request)
        return response

    def unfinished_work(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Sentences and addresses of what the user began on this list and has not finished."""
        return []

    @method_decorator(require_POST)
    def filters_view(self, request: HttpRequest) -> HttpResponse:
        """Saves, renames, shares or removes, and goes back to the list."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            return HttpResponseRedirect(reverse("admin:index"))
        query = normal(request.POST.get("query", ""))
        action = request.POST.get("action", "")
        if action == "save":
            self._save(request, query)
        else:
            self._change(request, action)
        address = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return HttpResponseRedirect(f"{address}?{query}" if query else address)

    def _save(self, request: HttpRequest, query: str) -> None:
        name = _name(request)
        label = self.model._meta.label_lower
        mine = SavedFilter.objects.filter(user_id=_key(request), model=label)
        if not query:
            messages.error(request, "Nothing was saved: search or filter first, so that there is something to save.")
        elif len(query) > SavedFilter._meta.get_field("query").max_length:  # type: ignore[operator]
            messages.error(request, "Nothing was saved: the filter is too long.")
        elif not name:
            messages.error(request, "Nothing was saved: a filter needs a name of at most 100 characters.")
        elif mine.count() >= MOST:
            messages.error(request, f"Nothing was saved: you have {MOST} filters of this list; remove some first.")
        else:
            shared = "is_shared" in request.POST and actor_of(request).is_admin
            mine.update_or_create(
                name=name, user_id=_key(request), model=label, defaults={"query": query, "is_shared": shared}
            )
            messages.success(request, f"The filter {name} was saved{' for everybody' if shared else ''}.")

    def _change(self, request: HttpRequest, action: str) -> None:
        key = request.POST.get("filter", "")
        found = SavedFilter.objects.filter(
            model=self.model._meta.label_lower, pk=int(key) if key.isdecimal() and len(key) < 19 else 0
        )
        is_admin = actor_of(request).is_admin
        row = (found if is_admin else found.filter(user_id=_key(request))).first()
        # Administrators may change what is shared, and no more of what belongs to others than that.
        if row is None or (row.user_id != _key(request) and not row.is_shared):
            messages.error(request, "Nothing was changed: there is no such filter, or it is somebody else's.")
            return
        match action:
            case "delete":
                row.delete()
                messages.success(request, f"The filter {row.name} was removed.")
            case "rename" if name := _name(request):
                old, row.name = row.name, name
                self._store(request, row, f"The filter {old} is called {name} now.")
            case "share" | "unshare" if is_admin:
                row.is_shared = action == "share"
                self._store(
                    request, row, f"The filter {row.name} is shown to {'everybody' if row.is_shared else 'you'}."
                )
            case _:
                messages.error(request, "Nothing was changed: a filter needs a name of at most 100 characters.")

    @staticmethod
    def _store(request: HttpRequest, row: SavedFilter, sentence: str) -> None:
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            messages.error(request, f"Nothing was changed: another filter of this list is called {row.name} already.")
        else:
            messages.success(request, sentence)


def _name(request: HttpRequest) -> str:
    name = " ".join(request.POST.get("name", "").split())
    return name if len(name) <= 100 and "\x00" not in name else ""


def _key(request: HttpRequest) -> int:
    assert request.user.pk is not None, "admin pages are for those who are signed in"
    return request.user.pk
