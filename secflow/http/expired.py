"""Sessions and tokens that have expired are of no use to anybody, and nothing else removes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db.models import Model
from django.db.models.functions import Now
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

PORTION = 1000
# By a clock that is behind, a token is still valid after it expired by the database's: it has to be found blacklisted.
MARGIN = timedelta(hours=1)


def forget_expired(*, portion: int = PORTION) -> dict[str, int]:
    """Removes sessions and refresh tokens that expired more than an hour ago, `portion` rows in each transaction.

    Returns how many of each.
    """
    return {
        "sessions": _forget(Session, "expire_date", portion),
        "tokens": _forget(OutstandingToken, "expires_at", portion),
    }


def _forget(model: type[Model], field: str, portion: int) -> int:
    expired = model._default_manager.filter(**{f"{field}__lt": Now() - MARGIN}).order_by("pk")
    count, last = 0, None
    while True:
        # By the key onwards: what was removed a moment ago is not passed again.
        rest = expired if last is None else expired.filter(pk__gt=last)
        keys: list[Any] = list(rest.values_list("pk", flat=True)[:portion])
        if not keys:
            return count
        model._default_manager.filter(pk__in=keys).delete()
        count, last = count + len(keys), keys[-1]
