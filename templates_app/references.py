"""Who uses a template. The engine lies above this package, so it registers how to find out (see its AppConfig)."""

from __future__ import annotations

from collections.abc import Callable

Finder = Callable[[str, str | None], list[str]]

_finders: list[Finder] = []


def register_finder(finder: Finder) -> None:
    """Adds a function that names the instances using a template id, with a project only those of others. The same function
    is kept once.
    """
    if finder not in _finders:
        _finders.append(finder)


def instances_using(template_id: str, *, outside: str | None = None) -> list[str]:
    """Ids of all instances with a node made from the template, sorted; with `outside` only of other projects than that
    one. One query for each registered finder.
    """
    return sorted({instance for finder in _finders for instance in finder(template_id, outside)})
