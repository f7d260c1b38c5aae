"""The headings of a list, made once for a page."""

from __future__ import annotations

from functools import wraps
from typing import Any, Final

from unfold.templatetags import unfold_list

_KEPT: Final = "_headings"


def make_headings_once() -> None:
    """Unfold's lists make their headings once for a page, with the same result.

    Unfold makes all of them again for each row, to label the row's cells: with 50 rows that is half of what a page
    costs. They depend on the list alone, so they are kept with it.
    """
    made = unfold_list.result_headers
    if hasattr(made, "__wrapped__"):
        return

    @wraps(made)
    def headings(cl: Any) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] | None = cl.__dict__.get(_KEPT)
        if kept is None:
            kept = cl.__dict__[_KEPT] = list(made(cl))
        return kept

    unfold_list.result_headers = headings
