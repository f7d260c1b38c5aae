"""Transactions that the database gave up are made again, and no others (fault F14)."""

from __future__ import annotations

import pytest
from django.db import DataError, OperationalError, connection, transaction

from secflow.transactions import TRIES, retried

pytestmark = pytest.mark.django_db(transaction=True)


class Work:
    """Fails in the database with the given state for so many calls, then returns how many there were."""

    def __init__(self, state: str, failures: int) -> None:
        self._state, self._failures = state, failures
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self._failures:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{self._state}'; END $$")
        return self.calls


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_what_was_given_up_is_made_again(state: str) -> None:
    assert retried(Work(state, TRIES - 1).__call__)() == TRIES


def test_not_for_ever() -> None:
    work = Work("40P01", 1000)
    with pytest.raises(OperationalError):
        retried(work.__call__)()
    assert work.calls == TRIES


def test_other_errors_are_not_repeated() -> None:
    work = Work("22012", 1)
    with pytest.raises(DataError):
        retried(work.__call__)()
    assert work.calls == 1


def test_inside_of_a_transaction_nothing_is_repeated() -> None:
    work = Work("40P01", 1)
    with pytest.raises(OperationalError), transaction.atomic():
        retried(work.__call__)()
    assert work.calls == 1
