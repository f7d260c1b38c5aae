"""Helpers for constraints that several models share."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from django.db import models


def choices_of(words: type[StrEnum]) -> list[tuple[str, str]]:
    """Django choices out of a domain enumeration: the database and the forms know the same words."""
    return [(word.value, word.value.replace("_", " ")) for word in words]


def one_of(field: str, words: Iterable[StrEnum], name: str) -> models.CheckConstraint:
    """A check constraint that keeps a column to the words of a domain enumeration."""
    return models.CheckConstraint(condition=models.Q(**{f"{field}__in": [word.value for word in words]}), name=name)
