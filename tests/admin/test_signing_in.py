"""Signing in to the console: guessing passwords is slow, wherever it is tried."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from secflow.http import attempts
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """No minute begins within a test, so that none of its tries is forgotten."""
    monkeypatch.setattr(attempts, "time", SimpleNamespace(time=lambda: 1_000_000_000.0))


def at_the_console(username: str, password: str) -> Any:
    return Client().post("/admin/login/", {"username": username, "password": password})


def at_the_api(username: str, password: str) -> Any:
    sent = {"username": username, "password": password}
    return Client().post("/api/token/", sent, content_type="application/json")


def staff() -> str:
    return str(UserFactory(is_staff=True).username)


def test_after_ten_failures_even_the_right_password_is_not_looked_at() -> None:
    name, other = staff(), staff()
    failed = [at_the_console(name, "wrong").status_code for _ in range(10)]

    answer = at_the_console(name, PASSWORD)

    assert failed == [200] * 10
    assert answer.status_code == 429
    assert answer["Retry-After"] == "20"
    assert "Too many failed sign-ins. Try again in 20 seconds." in answer.content.decode()
    assert "sessionid" not in answer.cookies
    assert at_the_console(other, PASSWORD).status_code == 302


@pytest.mark.parametrize("first", [at_the_console, at_the_api])
def test_console_and_api_count_together(first: Callable[[str, str], Any]) -> None:
    name = staff()
    for _ in range(10):
        first(name, "wrong")

    assert [way(name, PASSWORD).status_code for way in (at_the_console, at_the_api)] == [429, 429]


def test_a_right_password_of_somebody_without_the_console_counts_like_a_wrong_one() -> None:
    name = str(UserFactory().username)
    for _ in range(10):
        at_the_console(name, PASSWORD)

    assert at_the_console(name, PASSWORD).status_code == 429


def test_sign_ins_that_work_are_not_counted() -> None:
    name = staff()

    assert [at_the_console(name, PASSWORD).status_code for _ in range(12)] == [302] * 12


def test_the_page_itself_is_always_shown() -> None:
    name = staff()
    for _ in range(10):
        at_the_console(name, "wrong")

    assert Client().get("/admin/login/").status_code == 200
