"""Every page opens in a real browser without a complaint, whatever names say, and can be used by everybody.

The pages are visited once, as the administrator sees them; each test is about one thing that was seen there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.ui.browser import THEMES, Browser
from tests.ui.material import Material
from tests.ui.walk import walk

pytestmark = [pytest.mark.ui, pytest.mark.timeout(900)]

# Marks of other packages that cannot be reached from here, each with the reason.
NOT_OURS = {
    "/api/docs/": "Swagger UI's own mark-up",
    "/api/redoc/": "Redoc's own mark-up",
}


# Findings about pieces that scripts of other packages make: a word of the finding, and the reason.
EXCEPTIONS = {
    "help-tooltip search-label-icon": "Django's SelectFilter2.js puts an aria-label on a span",
}


@dataclass
class Visit:
    """What was seen of one page."""

    problems: list[str]
    wider_by: int
    has_markup: bool
    barriers: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def visits(module_browser: Browser, material: Material) -> dict[str, Visit]:
    """One page of each kind; axe looks at those that are no list narrowed or sorted in another way."""
    browser = module_browser
    seen = {}
    for address in walk(browser):
        visit = Visit(browser.problems(), browser.overflow(), browser.has("img[src=x]"))
        if "?" not in address and address not in NOT_OURS:
            for theme in THEMES:
                browser.switch(theme)
                visit.barriers[theme] = [one for one in browser.axe() if not any(word in one for word in EXCEPTIONS)]
            browser.switch(THEMES[0])
        seen[address] = visit
    return seen


def test_many_kinds_of_pages_were_visited(visits: dict[str, Visit]) -> None:
    assert len(visits) > 40, list(visits)


def test_no_page_makes_the_browser_complain(visits: dict[str, Visit]) -> None:
    """No error of a script, no refusal of the policy, nothing that is missing, no alert."""
    assert {address: visit.problems for address, visit in visits.items() if visit.problems} == {}


def test_hostile_names_stay_harmless(visits: dict[str, Visit]) -> None:
    """Nothing that a name says becomes mark-up, and no page is wider than the window because of it."""
    assert [address for address, visit in visits.items() if visit.has_markup] == []
    assert {address: visit.wider_by for address, visit in visits.items() if visit.wider_by > 0} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious(visits: dict[str, Visit], theme: str) -> None:
    found = [f"{address} {one}" for address, visit in visits.items() for one in visit.barriers.get(theme, [])]

    assert not found, "\n".join(found)
