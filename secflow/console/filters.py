"""Filters of lists that unfold has not quite as they are needed."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.utils import parse_datetime_str


class TimeFilter(RangeDateTimeFilter):
    """From one moment to another, in the zone of the pages. What is no time is ignored."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows between the two moments, both included; either may be missing."""
        for end, lookup in (("from", "gte"), ("to", "lte")):
            words = (self.used_parameters.get(f"{self.parameter_name}_{end}_{part}") for part in (0, 1))
            given = [word[0] if isinstance(word, list) else word for word in words]
            moment = parse_datetime_str(" ".join(word for word in given if word)) if all(given) else None
            if moment is not None:
                # unfold compares without a zone, which Django warns about and guesses.
                queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": timezone.make_aware(moment)})
        return queryset
