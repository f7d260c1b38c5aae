"""Query parameters and pages (contract A.6, A.7)."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from secflow.http import query


class Asked:
    """The part of a request that is read here."""

    def __init__(self, text: str) -> None:
        self.query_params = QueryDict(text)


def ask(text: str) -> Any:
    return Asked(text)


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("", None),
        ("page=&page_size=", None),
        ("page=undefined&page_size=null", None),
        ("page=2", query.Page(2, 20)),
        ("page_size=5", query.Page(1, 5)),
        ("page=3&page_size=100", query.Page(3, 100)),
        ("page= 3 ", query.Page(3, 20)),
    ],
)
def test_a_page_is_what_is_asked_for(text: str, page: query.Page | None) -> None:
    assert query.page_asked_for(ask(text)) == page
    assert query.page_or_first(ask(text)) == (page or query.Page(1, 20))


@pytest.mark.parametrize(
    "text",
    [
        "page=0",
        "page=-1",
        "page=1.0",
        "page=x",
        "page=1e3",
        "page=9" + "9" * 30,
        "page=٣",
        "page=10000001",
        "page_size=0",
        "page_size=101",
        "page_size=1000000000",
        "page_size=%2B5",
        "page_size=true",
    ],
)
def test_other_pages_are_refused(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        query.page_asked_for(ask(text))

    assert list(caught.value.detail) == [text.partition("=")[0]]


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False), ("", None)]
)
def test_flags(text: str, value: bool | None) -> None:
    assert query.query_bool(ask(f"x={text}"), "x") is value


@pytest.mark.parametrize("text", ["yes", "2", "truefalse"])
def test_other_flags_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        query.query_bool(ask(f"x={text}"), "x")


def test_pages_cut_the_list() -> None:
    assert list(range(100))[query.Page(3, 20).window] == list(range(40, 60))


def test_envelopes() -> None:
    assert query.list_body([1, 2]) == {"total": 2, "items": [1, 2]}
    assert query.list_body([1], total=7, page=query.Page(2, 1)) == {"total": 7, "page": 2, "page_size": 1, "items": [1]}
