"""Who may do what in the browser: bulk actions of an operator, and what each role sees."""

from __future__ import annotations

import pytest

from tests.stack import Stack
from tests.ui import people
from tests.ui.browser import Browser
from tests.ui.material import Material
from tests.ui.walk import findings

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

INSTANCES = "/admin/workflows/workflowinstance/"


@pytest.fixture(scope="module")
def _people(stack: Stack, material: Material) -> None:
    people.make_people(stack, material.project)


@pytest.fixture
def person(anonymous: Browser, _people: None) -> Browser:
    """The browser, for one of the people to sign in."""
    return anonymous


def as_(browser: Browser, name: str) -> Browser:
    browser.log_in(name, people.PASSWORD)
    return browser


def test_an_operator_stops_several_at_once(person: Browser, material: Material) -> None:
    names = [f"long {number}" for number in range(3)]
    for name in names:
        material.draft(name, "trap 'exit 0' TERM; sleep 600 & wait $!")
        material.driver.act(material.instances[name], "start").ok()
    browser = as_(person, people.OPERATOR)

    browser.open(f"{INSTANCES}?q=long")
    for box in browser.all("input.action-select"):
        box.click()
    browser.choose("select[name=action]", "Stop")
    browser.leave(browser.shown("#changelist-actions button[type=submit], button[name=index]").click)
    assert "3" in browser.text("#content, main")
    browser.leave(browser.shown("#content form button[type=submit], main form button[type=submit]").click)

    for name in names:
        material.driver.wait_for(material.instances[name], "stopped")


@pytest.mark.parametrize("name", [people.OPERATOR, people.AUDITOR, people.MEMBER, people.OUTSIDER])
def test_each_role_has_pages_without_a_complaint(person: Browser, name: str) -> None:
    browser = as_(person, name)

    assert findings(browser, browser.problems) == {}


def words_on(browser: Browser, page: str) -> list[str]:
    browser.open(page)
    return [one.text.strip() for one in browser.all("a, button") if one.is_displayed() and one.text.strip()]


def test_each_role_sees_what_it_should(person: Browser, material: Material) -> None:
    page = f"{INSTANCES}{material.instances['draft']}/change/"
    seen = {}
    for name in (people.OPERATOR, people.AUDITOR, people.MEMBER):
        seen[name] = words_on(as_(person, name), page)

    def has(name: str, word: str) -> bool:
        return any(text.endswith(word) for text in seen[name])

    assert {name: has(name, "Start") for name in seen} == {
        people.OPERATOR: True,
        people.AUDITOR: False,
        people.MEMBER: True,
    }
    assert {name: has(name, "Edit") for name in seen} == {
        people.OPERATOR: False,
        people.AUDITOR: False,
        people.MEMBER: True,
    }
    outsider = as_(person, people.OUTSIDER)
    outsider.open(INSTANCES)
    assert "nightly" not in outsider.text()
