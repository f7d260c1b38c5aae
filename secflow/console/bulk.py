"""Operations on many rows: chosen once, confirmed with their number, done in portions, and taken up again when cut off.

The rows are written down when the user asks, so what is done is exactly what was confirmed. Each request deals with as many
as fit into a few seconds; a script sends the next one, or the user by a button. A row is marked before its service is called:
whatever happens to a request, no row is done twice and none is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.contrib.admin.utils import unquote
from django.core.exceptions import EmptyResultSet, PermissionDenied
from django.db import connection, transaction
from django.db.models import Count, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from secflow.console.models import Bulk, BulkItem

PORTION_SECONDS: Final = 3.0  # of work in one request; the row that is begun is finished
INTERRUPTED: Final = timedelta(minutes=2)  # longer than any service takes
KEPT: Final = timedelta(days=7)
FORETOLD: Final = 2000  # rows of which is said how many will be refused
SHOWN: Final = 10
REFUSALS_SHOWN: Final = 200

State = BulkItem.State


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a bulk has come."""

    total: int
    done: int
    refused: int
    doing: int
    waiting: int

    @property
    def dealt_with(self) -> int:
        return self.done + self.refused

    @property
    def left(self) -> int:
        """Rows of which nobody knows yet how it went."""
        return self.waiting + self.doing

    def is_over(self, bulk: Bulk) -> bool:
        """Whether nothing more will happen: all rows have an outcome, or somebody stopped it."""
        return not self.left or bulk.stopped_at is not None

    def as_data(self, bulk: Bulk) -> dict[str, Any]:
        """The same for the script."""
        return {
            "total": self.total,
            "done": self.done,
            "refused": self.refused,
            "doing": self.doing,
            "waiting": self.waiting,
            "is_over": self.is_over(bulk),
        }


def progress_of(bulk: Bulk) -> Progress:
    """One query. Rows whose request ended in between are settled first."""
    _settle_interrupted(bulk)
    counted = dict(bulk.items.order_by().values_list("state").annotate(count=Count("pk")))
    of = {state: counted.get(state, 0) for state in State.values}
    return Progress(sum(of.values()), of[State.DONE], of[State.REFUSED], of[State.DOING], of[State.WAITING])


def unfinished(user: Any, model: type[Model]) -> list[tuple[Bulk, int]]:
    """What the user began on this list and has not finished, with the number of rows that are left; one query."""
    begun = Bulk.objects.filter(user=user, model=model._meta.label_lower, started_at__isnull=False, stopped_at=None)
    left = begun.filter(items__state__in=(State.WAITING, State.DOING)).annotate(left=Count("items"))
    return [(bulk, bulk.left) for bulk in left.filter(created_at__gt=timezone.now() - KEPT)[:5]]


def propose(user: Any, operation: str, rows: QuerySet[Any], *, query: str) -> Bulk:
    """A bulk of these rows; nothing is done yet. Forgets those that are old."""
    Bulk.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    try:
        text, parameters = rows.order_by("pk").values_list("pk").query.sql_with_params()
    except EmptyResultSet:
        text, parameters = "SELECT NULL WHERE false", ()
    with transaction.atomic(), connection.cursor() as cursor:
        bulk = Bulk.objects.create(user=user, model=rows.model._meta.label_lower, operation=operation, query=query)
        # The list may have a hundred thousand rows: they never come here. Its SQL is Django's own.
        cursor.execute(
            f"INSERT INTO {BulkItem._meta.db_table} (bulk_id, object_id, state, message)"  # noqa: S608
            f" SELECT %s, chosen.pk::text, %s, '' FROM ({text}) AS chosen(pk)",
            [bulk.pk, State.WAITING, *parameters],
        )
    return bulk


def work(bulk: Bulk, deal_with: Callable[[str], str | None]) -> None:
    """Deals with waiting rows for PORTION_SECONDS, one at least. `deal_with` returns why a row was refused, if it was."""
    deadline = time.monotonic() + PORTION_SECONDS
    while item := _claim(bulk):
        refusal = deal_with(item.object_id)
        item.state, item.message, item.changed_at = (
            State.DONE if refusal is None else State.REFUSED,
            refusal or "",
            timezone.now(),
        )
        item.save()
        if time.monotonic() >= deadline:
            return


@transaction.atomic
def _claim(bulk: Bulk) -> BulkItem | None:
    item = bulk.items.filter(state=State.WAITING).select_for_update(skip_locked=True).first()
    if item is not None:
        item.state, item.changed_at = State.DOING, timezone.now()
        item.save()
    return item


def _settle_interrupted(bulk: Bulk) -> None:
    bulk.items.filter(state=State.DOING, changed_at__lt=timezone.now() - INTERRUPTED).update(
        state=State.REFUSED, message="the request was cut off while this was done; see its journal whether it happened"
    )


class BulkPages:
    """The page of a bulk, for an admin class with operations."""

    operations: Sequence[Any]
    model: type[Model]
    admin_site: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_bulk"
        page = path("bulk/<uuid:bulk_id>/", self.admin_site.admin_view(self.bulk_view), name=name)
        return [page, *super().get_urls()]  # type: ignore[misc]

    def bulk_url(self, bulk: Bulk) -> str:
        """The address of the page."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_bulk", args=[bulk.pk])

    def unfinished_work(self, request: HttpRequest) -> list[tuple[str, str]]:
        """What the user began here and has not finished, to be shown above the list."""
        titles = {operation.name: operation.title for operation in self.operations}
        return [
            (f"{titles.get(bulk.operation, bulk.operation)}: {left} are still to be done.", self.bulk_url(bulk))
            for bulk, left in unfinished(request.user, self.model)
        ]

    def bulk_view(self, request: HttpRequest, bulk_id: Any) -> HttpResponse:
        """Shows what will be done or how far it is; a POST does the next portion, or ends it."""
        bulk = Bulk.objects.filter(pk=bulk_id, user_id=_key(request), model=self.model._meta.label_lower).first()
        operation = next((item for item in self.operations if bulk and item.name == bulk.operation), None)
        if bulk is None or operation is None:
            raise Http404("there is no such operation on many rows, or it is somebody else's")
        if not self._may(request, operation):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method == "POST":
            if "stop" in request.POST:
                _stop(bulk)
            elif bulk.stopped_at is None:
                start(bulk)
                work(bulk, lambda object_id: self._deal_with(request, operation, object_id))
            if "application/json" in request.headers.get("Accept", ""):
                return JsonResponse(progress_of(bulk).as_data(bulk))
            return HttpResponseRedirect(self.bulk_url(bulk))
        return TemplateResponse(request, "console/bulk.html", self._bulk_context(request, bulk, operation))

    def _deal_with(self, request: HttpRequest, operation: Any, object_id: str) -> str | None:
        row = self.get_queryset(request).filter(pk=unquote(object_id)).first()  # type: ignore[attr-defined]
        if row is None:
            return "it does not exist any more"
        refusal: tuple[int, str] | None = self.try_one(request, row, operation)  # type: ignore[attr-defined]
        return None if refusal is None else refusal[1]

    def _bulk_context(self, request: HttpRequest, bulk: Bulk, operation: Any) -> dict[str, Any]:
        progress = progress_of(bulk)
        rows = self.get_queryset(request)  # type: ignore[attr-defined]
        foretold = None
        first: list[Any] = []
        if bulk.started_at is None:
            ids = list(bulk.items.values_list("object_id", flat=True)[: FORETOLD + 1])
            first = list(rows.filter(pk__in=ids[:SHOWN]))
            if len(ids) <= FORETOLD:
                foretold = sum(not operation.is_allowed(row) for row in rows.filter(pk__in=ids))
        changelist = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        refused = bulk.items.filter(state=State.REFUSED)[:REFUSALS_SHOWN] if progress.refused else []
        return self.admin_site.each_context(request) | {
            "title": operation.title,
            "opts": self.opts,
            "operation": operation,
            "bulk": bulk,
            "progress": progress,
            "noun": self.opts.verbose_name if progress.total == 1 else self.opts.verbose_name_plural,
            "is_over": progress.is_over(bulk),
            "rows": [(row, self.describe(row)) for row in first],  # type: ignore[attr-defined]
            "more": progress.total - len(first),
            "foretold": foretold,
            "refused": refused,
            "refused_more": max(0, progress.refused - REFUSALS_SHOWN),
            "back": f"{changelist}?{bulk.query}" if bulk.query else changelist,
        }


def start(bulk: Bulk) -> None:
    """From now on it is done, as often as somebody asks for the next portion."""
    if bulk.started_at is None:
        bulk.started_at = timezone.now()
        bulk.save(update_fields=["started_at"])


def _stop(bulk: Bulk) -> None:
    bulk.stopped_at = timezone.now()
    bulk.save(update_fields=["stopped_at"])


def _key(request: HttpRequest) -> int:
    assert request.user.pk is not None, "admin pages are for those who are signed in"
    return request.user.pk
