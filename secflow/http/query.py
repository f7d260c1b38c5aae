"""Query parameters and list envelopes (contract A.6, A.7). Empty, `undefined` and `null` mean that nothing was
given.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from rest_framework.request import Request

from secflow.http.errors import field_error

ABSENT = frozenset({"", "undefined", "null"})
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WORDS_OF_BOOL = {"true": True, "1": True, "false": False, "0": False}


def query_text(request: Request, name: str, *, absent: Collection[str] = ()) -> str | None:
    """The text of a parameter, stripped, or None. `absent` are further words that mean "not given", such as `all`."""
    text = request.query_params.get(name, "").strip()
    if text in ABSENT or text in absent:
        return None
    if _CONTROL.search(text):
        raise field_error(name, "must not contain control characters")
    return text


def query_choice(request: Request, name: str, choices: Collection[str]) -> str | None:
    """One of the words, or None. Raises a 400 for another one."""
    text = query_text(request, name)
    if text is not None and text not in choices:
        raise field_error(name, f"must be one of {', '.join(sorted(choices))}")
    return text


def query_int(request: Request, name: str, *, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`, or None. Raises a 400 for anything else."""
    text = query_text(request, name)
    if text is None:
        return None
    if not _WHOLE_NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise field_error(name, f"must be a whole number from {low} to {high}")
    return int(text)


def query_bool(request: Request, name: str) -> bool | None:
    """`true`, `1`, `false` or `0` in any case, or None. Raises a 400 for anything else."""
    text = query_text(request, name)
    if text is None:
        return None
    if text.lower() not in _WORDS_OF_BOOL:
        raise field_error(name, "must be true or false")
    return _WORDS_OF_BOOL[text.lower()]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `number` counts from 1, `size` is 1 to 100."""

    number: int
    size: int

    @property
    def window(self) -> slice:
        """The rows of the page."""
        start = (self.number - 1) * self.size
        return slice(start, start + self.size)


PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_PAGE = 10_000_000  # keeps the offset inside a 64-bit integer of the database


def page_asked_for(request: Request) -> Page | None:
    """The page of a list that is whole unless paging is asked for by `page` or `page_size` (instances, A.7)."""
    number = query_int(request, "page", low=1, high=MAX_PAGE)
    size = query_int(request, "page_size", low=1, high=MAX_PAGE_SIZE)
    if number is None and size is None:
        return None
    return Page(number=number or 1, size=size or PAGE_SIZE)


def page_or_first(request: Request) -> Page:
    """The page of a list that is always paged: page 1 of 20 when nothing is given (instance logs, A.7)."""
    return page_asked_for(request) or Page(number=1, size=PAGE_SIZE)


def list_body(items: list[Any], *, total: int | None = None, page: Page | None = None) -> dict[str, Any]:
    """`{"total", "items"}`, with `page` and `page_size` when paging is on. `total` is the number before paging
    (A.6).
    """
    if page is None:
        return {"total": len(items) if total is None else total, "items": items}
    return {"total": total, "page": page.number, "page_size": page.size, "items": items}
