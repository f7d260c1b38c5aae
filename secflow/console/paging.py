"""Pages of long tables."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from unfold.paginator import InfinitePaginator


class NearestPaginator(Paginator):
    """Before the first page is the first one, after the last is the last one: an error would drop the filters of the list."""

    def validate_number(self, number: Any) -> int:
        return min(max(1, int(number)), self.num_pages)


class UncountedPaginator(NearestPaginator, InfinitePaginator):
    """For rows that nobody counts."""


def keys_between(
    rows: QuerySet[Any, Any], start: int, stop: int, *, total: int | None
) -> QuerySet[Model, dict[str, Any]]:
    """The keys of the rows from `start` up to `stop`, as a subquery for `pk__in`: their order is for the outer query to say.

    `rows` must be in a total order. `total` is how many there are, if that is known: rows nearer to the end are then found from
    there. Rows that are passed by cost no more than an entry of the index that has the order, if one has.
    """
    keys = rows.values("pk")
    if total is None or start >= total or start + stop <= total:
        return keys[start:stop]
    return keys.reverse()[max(0, total - stop) : total - start]
