"""What has expired is removed once a day, in portions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from secflow.celery import app
from secflow.http.expired import forget_expired
from tests.factories import UserFactory
from workflows import tasks

pytestmark = pytest.mark.django_db


def session(name: str, *, hours: float) -> None:
    """A session that expires in so many hours."""
    Session.objects.create(session_key=name, session_data="", expire_date=timezone.now() + timedelta(hours=hours))


def token(name: str, *, hours: float) -> None:
    """A refresh token that was used, and expires in so many hours."""
    expires_at = timezone.now() + timedelta(hours=hours)
    row = OutstandingToken.objects.create(user=UserFactory(), jti=name, token=name, expires_at=expires_at)
    BlacklistedToken.objects.create(token=row)


def left() -> list[str]:
    return sorted(
        [
            *Session.objects.values_list("session_key", flat=True),
            *OutstandingToken.objects.values_list("jti", flat=True),
            *BlacklistedToken.objects.values_list("token__jti", flat=True),
        ]
    )


def test_all_that_has_expired_goes_in_portions_and_nothing_else() -> None:
    for number in range(5):
        session(f"old-{number}", hours=-2 - number)
        token(f"old-token-{number}", hours=-2 - number)
    session("new", hours=1)
    token("new-token", hours=1)
    # A clock that is behind takes them for valid.
    session("just-expired", hours=-0.5)
    token("just-expired-token", hours=-0.5)

    assert forget_expired(portion=2) == {"sessions": 5, "tokens": 5}
    assert left() == sorted(["new", "just-expired", *["new-token", "just-expired-token"] * 2])
    assert forget_expired(portion=2) == {"sessions": 0, "tokens": 0}


def test_however_often_beat_asks_it_is_done_once_a_day() -> None:
    session("first", hours=-2)
    tasks.forget_expired()
    session("second", hours=-2)

    tasks.forget_expired()

    assert left() == ["second"]


def test_beat_ticks_for_tasks_that_a_worker_has() -> None:
    app.loader.import_default_modules()
    ticked = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert ticked <= set(app.tasks)
    assert tasks.forget_expired.name in ticked
