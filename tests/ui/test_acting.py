"""Who may do what in the browser: bulk actions of an operator, and what each role sees."""

from __future__ import annotations

import psycopg
import pytest

from tests.stack import Stack
from tests.ui import people
from tests.ui.browser import Browser
from tests.ui.material import Material
from tests.ui.walk import findings

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

INSTANCES = "/admin/workflows/workflowinstance/"
_FETCHED = "performance.getEntriesByType('resource').filter((entry) => entry.initiatorType === 'fetch')"
_PORTIONS = f"return {_FETCHED}.length"
_SECONDS_BETWEEN = f"const [a, b] = {_FETCHED}.slice(-2); return (b.startTime - a.responseEnd) / 1000"


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


def test_the_page_of_a_bulk_waits_for_a_row_that_another_request_is_at(
    browser: Browser, stack: Stack, material: Material
) -> None:
    ids = [material.draft(f"many {number}", "true") for number in range(2)]
    with psycopg.connect(stack.database_url, autocommit=True) as database:
        bulk = database.execute(
            "INSERT INTO console_bulk (id, user_id, model, operation, query, created_at, started_at)"
            " SELECT gen_random_uuid(), id, 'workflows.workflowinstance', 'deactivate', '', now(), now()"
            " FROM auth_user WHERE username = 'admin' RETURNING id"
        ).fetchone()
        assert bulk is not None
        for state, instance in zip(("doing", "waiting"), ids, strict=True):
            database.execute(
                "INSERT INTO console_bulkitem (bulk_id, object_id, state, message, changed_at) VALUES (%s, %s, %s, '', now())",
                [bulk[0], instance, state],
            )
        browser.open(f"{INSTANCES}bulk/{bulk[0]}/")

        browser.without_reloading(
            lambda: "1 refused, 0 to do, 1 in the hands of another request" in browser.text("#bulk"),
            "the own row's end",
        )
        asked = browser.run(_PORTIONS)
        browser.without_reloading(lambda: browser.run(_PORTIONS) > asked, "another look")
        seconds = browser.run(_SECONDS_BETWEEN)
        browser.leave(lambda: database.execute("UPDATE console_bulkitem SET state = 'done' WHERE state = 'doing'"))

    assert seconds > 2
    assert "All of them have been dealt with." in browser.text("#bulk")


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
