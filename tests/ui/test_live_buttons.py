"""The buttons at the top of a workflow's page follow what happens, and leave the keyboard where it is."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.ui.browser import Browser
from tests.ui.material import Material

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

INSTANCES = "/admin/workflows/workflowinstance/"
LASTING = "trap 'exit 0' TERM; sleep 600 & wait $!"


def buttons(browser: Browser) -> set[str]:
    """Those verbs of a run that the top of the page offers."""
    shown = browser.run("return [...document.querySelectorAll('#live-buttons a')].map((e) => e.href)")
    return {address.rstrip("/").rpartition("/")[2] for address in shown} & {"start", "stop", "uninitialize"}


def test_a_page_that_stays_open_offers_what_can_be_done_now(browser: Browser, material: Material) -> None:
    instance = material.draft("followed", LASTING)
    browser.open(f"{INSTANCES}{instance}/change/")
    assert buttons(browser) == {"start"}

    material.driver.act(instance, "start").ok()
    browser.without_reloading(lambda: buttons(browser) == {"stop", "uninitialize"}, "a way to stop it")
    browser.leave(browser.link("Stop").click)
    browser.leave(browser.link("Stop").click)
    browser.without_reloading(lambda: buttons(browser) == {"start", "uninitialize"}, "a way to start it again")

    material.driver.wait_for(instance, "stopped")


def test_the_focus_stays_on_a_button_whatever_happens_to_the_others(browser: Browser, material: Material) -> None:
    instance = material.draft("followed by keyboard", "echo one", LASTING)
    browser.open(f"{INSTANCES}{instance}/change/")
    browser.tab_to("e.matches('#live-buttons summary')")
    browser.type(Keys.ENTER)
    browser.tab_to("/Export$/.test(e.textContent.trim())", presses=10)

    material.driver.act(instance, "start").ok()
    browser.without_reloading(lambda: "stop" in buttons(browser), "a way to stop it")
    is_there = "return /Export$/.test(document.activeElement.textContent.trim()) && document.activeElement.closest('details').open"
    assert browser.run(is_there)
    kept = "document.querySelector('#live-buttons').firstElementChild"
    browser.run(f"{kept}.dataset.kept = 'yes'")
    browser.without_reloading(lambda: len(browser.all("a[data-status=succeeded]")) == 1, "a green node")
    assert browser.run(f"return {kept}.dataset.kept") == "yes"
    assert browser.run(is_there)

    browser.type(Keys.ESCAPE)
    assert browser.run("return document.activeElement.matches('#live-buttons summary')")
    assert not browser.has("#live-buttons details[open]")
    material.driver.act(instance, "stop").ok()
    material.driver.wait_for(instance, "stopped")
