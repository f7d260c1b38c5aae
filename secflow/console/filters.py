"""Filters of lists that unfold has not quite as they are needed."""

from __future__ import annotations

from datetime import datetime, time
from functools import cached_property
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import FieldTextFilter, RangeDateTimeFilter
from unfold.contrib.filters.forms import RangeDateTimeForm


class _MomentField(forms.SplitDateTimeField):
    """A date and a time of day, in the zone of the pages; a date alone means `clock`."""

    def __init__(self, clock: time, **options: Any) -> None:
        super().__init__(**options)
        self.clock = clock

    def compress(self, data_list: Any) -> datetime | None:
        date, clock = data_list or (None, None)
        if date is None and clock is not None:
            raise forms.ValidationError(self.error_messages["invalid_date"], code="invalid_date")
        return None if date is None else timezone.make_aware(datetime.combine(date, clock or self.clock))


class _PeriodForm(RangeDateTimeForm):
    def __init__(self, name: str, *args: Any, **options: Any) -> None:
        super().__init__(name, *args, **options)
        for end, clock in (("from", time.min), ("to", time.max)):
            widget = self.fields[f"{name}_{end}"].widget
            self.fields[f"{name}_{end}"] = _MomentField(clock, label="", required=False, widget=widget)


class TimeFilter(RangeDateTimeFilter):
    """From one moment to another, in the zone of the pages. A date alone is the whole day.

    What cannot be read finds nothing and says so in `problem`: an operation on all rows must never reach more of them than
    somebody asked for.
    """

    form_class = _PeriodForm

    @cached_property
    def _form(self) -> forms.Form:
        return next(iter(self.choices(None)))["form"]

    @property
    def problem(self) -> str:
        """What is wrong with the input; nothing if it could be read."""
        if self._form.is_valid():
            return ""
        return f"Nothing is shown: what the filter by {self.title} holds cannot be read as a date and a time of day."

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows between the two moments, both included; either may be missing."""
        if self.problem:
            return queryset.none()
        for end, lookup in (("from", "gte"), ("to", "lte")):
            moment = self._form.cleaned_data[f"{self.parameter_name}_{end}"]
            if moment is not None:
                queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": moment})
        return queryset


class ExactFilter(FieldTextFilter):
    """The rows whose column is just what was typed. An index may find them, so no row is too old for it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lookup_kwarg = self.field_path
        self.lookup_val = self.used_parameters.get(self.field_path)

    def expected_parameters(self) -> list[str | None]:
        """The plain column, by which pages link to lists as well."""
        return [self.field_path]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """All rows, if nothing was typed."""
        words = [word.strip() for word in self.lookup_val or () if word.strip()]
        return queryset.filter(**{f"{self.field_path}__in": words}) if words else queryset
