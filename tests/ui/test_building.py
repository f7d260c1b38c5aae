"""A workflow is built, looked at, run, broken and understood in the browser alone: nothing here calls the API."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.stack import PASSWORD
from tests.ui.browser import Browser
from tests.ui.material import Material

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

PROJECT = "ui-build"
JOB_TEMPLATES = "/admin/templates_app/jobtemplate/"
INSTANCES = "/admin/workflows/workflowinstance/"


def press(browser: Browser, words: str) -> None:
    """A button or link that leads to another page."""
    browser.leave(browser.link(words).click)


def make_job(browser: Browser, name: str, command: str) -> None:
    """A job template by its form."""
    browser.open(f"{JOB_TEMPLATES}add/")
    browser.fill("[name=name]", name)
    browser.fill("[name=project_id]", PROJECT)
    browser.fill("[name^='containers.'][name$='.image']", "busybox:latest")
    browser.fill("[name^='containers.'][name$='.command']", command)
    browser.fill("[name=backoff_limit]", "0")
    browser.leave(browser.shown("button[name=_save], input[name=_save]").click)
    assert browser.path == JOB_TEMPLATES, browser.text()


def add_node(browser: Browser, template: str, name: str, *, after: str = "") -> None:
    """A node by the page on which the workflow is built."""
    press(browser, "Add node")
    browser.leave(browser.link(template).click)
    browser.fill("[name=name]", name)
    if after:
        label = f'//label[contains(., "{after}")]'
        browser.tick(label)
    browser.leave(browser.shown("button[name=_save]").click)


def status(browser: Browser) -> str:
    """Of the instance whose page is open."""
    return browser.text("#state-status").strip().lower()


def test_a_workflow_is_built_run_broken_and_understood(browser: Browser) -> None:
    make_job(browser, "say hello", "sh -c 'for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done'")
    make_job(browser, "say bye", "sh -c 'echo bye; exit ${CODE:-0}'")

    browser.open(f"{INSTANCES}add/")
    browser.fill("[name=name]", "greetings")
    browser.fill("[name=project_id]", PROJECT)
    browser.leave(browser.shown("button[name=_save]").click)
    assert "Add the first node" in browser.text()
    add_node(browser, "say hello", "hello")
    add_node(browser, "say bye", "bye", after="hello")
    assert "Ready to run." in browser.text()

    press(browser, "look at what would be made")
    assert "2 objects in namespace secflow-ui-build" in browser.text()
    assert "kind: Job" in browser.text()

    press(browser, "Back")
    instance = browser.path
    press(browser, "Start")
    press(browser, "Start")  # the confirmation's own button
    green = "a[data-status=succeeded]"
    browser.without_reloading(
        lambda: len(browser.all(green)) == 2 and status(browser) == "succeeded", "two green nodes"
    )

    browser.leave(browser.link("hello").click)
    browser.until(lambda: "line 6" in browser.text("[data-log-lines]"), "the log")

    browser.open(instance)
    press(browser, "Uninitialize")
    press(browser, "Uninitialize")
    browser.open(instance)
    browser.without_reloading(lambda: status(browser) == "pending", "a draft again")
    press(browser, "Edit")
    browser.leave(browser.link("bye").click)
    browser.unfold()
    browser.shown("[data-add][value=env_vars]").click()
    browser.fill("[name^='env_vars.n'][name$='.name']", "CODE")
    browser.fill("[name^='env_vars.n'][name$='.value']", "7")
    browser.leave(browser.shown("button[name=_save]").click)
    browser.open(instance)
    press(browser, "Start")
    press(browser, "Start")
    browser.without_reloading(lambda: browser.has("a[data-status=failed]"), "a red node")
    browser.leave(browser.link("bye").click)
    assert "exit code 7" in browser.text()
    assert browser.has(".node-why--failed")


def test_the_keyboard_alone_signs_in_and_starts(anonymous: Browser, material: Material) -> None:
    browser = anonymous
    page = f"{INSTANCES}{material.draft('by keyboard', 'echo one')}/change/"

    browser.open(f"/admin/login/?next={page}")
    browser.tab_to("e.name === 'username'")
    browser.type("admin", Keys.TAB)
    browser.tab_to("e.name === 'password'")
    browser.type(PASSWORD)
    browser.leave(lambda: browser.type(Keys.ENTER))
    assert browser.path == page
    browser.tab_to("e.tagName === 'A' && /\\bStart$/.test(e.textContent.trim())")
    browser.leave(lambda: browser.type(Keys.ENTER))
    browser.tab_to("e.tagName === 'BUTTON' && /\\bStart$/.test(e.textContent.trim())")
    browser.leave(lambda: browser.type(Keys.ENTER))

    material.driver.wait_for(material.instances["by keyboard"], "succeeded")
