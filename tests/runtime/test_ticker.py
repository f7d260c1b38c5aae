"""The rhythm of sweeps, and the worker that keeps it when beat does not (faults F10, F11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from tests.race.together import together
from workflows.models import Turn
from workflows.services.turns import take_turn

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_many_that_ask_one_has_the_turn() -> None:
    assert sorted(together(*[lambda: take_turn("sweep", least=60)] * 4)) == [False, False, False, True]


def test_the_next_turn_comes_when_the_last_one_is_old_enough() -> None:
    assert take_turn("sweep", least=60)
    assert not take_turn("sweep", least=60)
    Turn.objects.update(taken_at=Now() - timedelta(seconds=61))

    assert take_turn("sweep", least=60)
    assert not take_turn("sweep", least=60)


def test_turns_of_two_names_have_nothing_to_do_with_each_other() -> None:
    assert take_turn("sweep", least=60)
    assert take_turn("reconcile", least=60)


def test_a_turn_in_the_far_future_was_a_wrong_clock() -> None:
    Turn.objects.create(name="sweep", taken_at=Now() + timedelta(days=1))

    assert take_turn("sweep", least=60)
