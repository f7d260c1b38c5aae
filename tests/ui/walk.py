"""Finds the pages of the console by following its own links, one page of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import parse_qsl, urlsplit

from tests.ui.browser import Browser

STARTS = ("/admin/", "/admin/login/", "/admin/password_change/", "/api/docs/", "/api/redoc/")
# What a link leads to that is no page, or leaves the console.
_NO_PAGE = re.compile(
    r"^/admin/(logout|jsi18n|events)|^/api/(?!docs/$|redoc/$)|/live/|/logs?/(download|stream|tail)|/export"
)
_LINKS = """
return [...document.querySelectorAll('a[href]')]
  .filter((a) => !a.hasAttribute('download') && a.origin === location.origin)
  .map((a) => a.pathname + a.search)
"""


def kind_of(address: str) -> str:
    """What pages have in common that differ only in the object and in the values of their query."""
    parts = urlsplit(address)
    path = re.sub(r"/(wf-|[^/]*\d)[^/]*(?=/)", "/*", parts.path)  # not every id has a digit
    names = {name.partition("__")[0] for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - {
        "_changelist_filters"
    }
    return f"{path}?{min(names)}" if names else path


def walk(browser: Browser, starts: Sequence[str] = STARTS, *, limit: int = 150) -> Iterator[str]:
    """Opens one page of each kind that can be reached, and gives its address while it is open."""
    waiting = list(starts)
    seen = {kind_of(address) for address in waiting}
    for _ in range(limit):
        if not waiting:
            return
        address = waiting.pop(0)
        browser.open(address)
        # Taken before the caller has the page: it may go elsewhere.
        found: list[str] = browser.run(_LINKS)
        yield address
        for link in found:
            if kind_of(link) not in seen and not _NO_PAGE.search(link):
                seen.add(kind_of(link))
                waiting.append(link)
    raise AssertionError(f"more than {limit} kinds of pages, next: {waiting[:5]}")


def findings(browser: Browser, check: Callable[[], list[str]], starts: Sequence[str] = STARTS) -> dict[str, list[str]]:
    """What a check says about each page; pages without a finding are left out."""
    return {address: found for address in walk(browser, starts) if (found := check())}
