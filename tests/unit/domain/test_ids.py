"""Ids as contract A.8 wants them."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.domain.ids import INSTANCE, NODE, TEMPLATE, make_id, new_suffix, slug_of, suffix_of

SUFFIX = re.compile(r"[a-z0-9]{8}")
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LABEL_VALUE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("nightly scan", "nightly-scan"),
        ("  A__b//C  ", "a-b-c"),
        ("夜间扫描", "x"),
        ("", "x"),
        ("---", "x"),
        ("Käse 2", "k-se-2"),
        ("a" * 50, "a" * 40),
        ("a" * 39 + " tail", "a" * 39),
        ("UPPER-case", "upper-case"),
    ],
)
def test_slug(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@given(st.text(max_size=200))
def test_slug_is_always_valid(name: str) -> None:
    assert SLUG.fullmatch(slug_of(name))
    assert len(slug_of(name)) <= 40


@given(prefix=st.sampled_from([TEMPLATE, INSTANCE, NODE]), name=st.text(max_size=200), random=st.randoms())
def test_id_is_a_label_value_that_ends_in_its_suffix(prefix: str, name: str, random: Random) -> None:
    suffix = new_suffix(random.choice)

    id = make_id(prefix, name, suffix)

    assert SUFFIX.fullmatch(suffix)
    assert LABEL_VALUE.fullmatch(id)
    assert len(id) <= 63
    assert id.startswith(f"{prefix}-")
    assert suffix_of(id) == suffix


def test_suffixes_of_one_tick_differ() -> None:
    random = Random(7)

    assert len({new_suffix(random.choice) for _ in range(2000)}) == 2000


def test_example_of_the_contract_is_reached() -> None:
    assert make_id(INSTANCE, "nightly scan", "x81m44zt") == "wf-inst-nightly-scan-x81m44zt"
