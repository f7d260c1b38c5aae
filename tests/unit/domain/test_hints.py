"""What somebody may have meant, and where looking for it ends."""

from __future__ import annotations

import pytest

from workflows.domain.hints import LONGEST, MOST_HINTS, MOST_KNOWN, Hints

KNOWN = {"target", "targets", "scan", "report"}


@pytest.mark.parametrize(
    ("word", "hint"), [("targt", "target"), ("repo", "report"), ("scam", "scan"), ("re", ""), ("other", "")]
)
def test_a_close_word_is_named(word: str, hint: str) -> None:
    assert Hints().did_you_mean(word, KNOWN) == (f"; did you mean {hint}?" if hint else "")


def test_only_the_first_misspelt_words_of_a_text_get_a_hint() -> None:
    hints = Hints()

    said = [hints.did_you_mean("targt", KNOWN) for _ in range(MOST_HINTS + 5)]

    assert [bool(hint) for hint in said] == [True] * MOST_HINTS + [False] * 5


def test_no_word_is_compared_with_very_many_or_very_long_ones() -> None:
    many = {f"node-{number}" for number in range(MOST_KNOWN + 1)}
    long = "x" * (LONGEST + 1)

    assert Hints().did_you_mean("node-x", many) == ""
    assert Hints().did_you_mean(long, {long[:-1]}) == ""
