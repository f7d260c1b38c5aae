"""What a page that keeps itself up to date leaves as it is: the focus, a selection, where somebody was in the picture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.stack import Stack
from tests.ui.browser import Browser
from tests.ui.material import Material
from tests.ui.people import in_database

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

INSTANCES = "/admin/workflows/workflowinstance/"
# Streams that break at once, and a minute that is over soon.
_NO_STREAMS = """
window.__streams = 0;
window.EventSource = class {
  static OPEN = 1;
  static CLOSED = 2;
  readyState = 2;
  constructor() {
    window.__streams += 1;
    queueMicrotask(() => this.onerror());
  }
  addEventListener() {}
  close() {}
};
const original = window.setTimeout.bind(window);
window.setTimeout = (act, wait, ...rest) => original(act, wait >= 60000 ? 100 : wait, ...rest);
"""
_HIDE = """
Object.defineProperty(document, "hidden", {configurable: true, value: arguments[0]});
document.dispatchEvent(new Event("visibilitychange"));
"""


def listeners(browser: Browser) -> int:
    """How many listeners the window has."""
    ask = browser.driver.execute_cdp_cmd
    window = ask("Runtime.evaluate", {"expression": "window"})["result"]["objectId"]
    return len(ask("DOMDebugger.getEventListeners", {"objectId": window})["listeners"])


def rename(material: Material, instance: str, node: str, name: str) -> None:
    """Gives a node of a draft another name."""
    material.driver.call("PUT", f"/workflow-instances/{instance}/nodes/{node}", {"name": name}).ok()


def test_the_picture_is_drawn_anew_under_the_hands_of_who_uses_it(
    browser: Browser, material: Material, stack: Stack
) -> None:
    instance = material.draft("drawn anew", "echo one", "echo two")
    first, second = (node["id"] for node in material.driver.read(instance)["nodes"])
    in_database(
        stack,
        "from workflows.models import WorkflowNode\n"
        f"WorkflowNode.objects.filter(instance_id={instance!r}).update(status='failed')",
    )
    browser.open(f"{INSTANCES}{instance}/change/")
    browser.until(lambda: browser.text("[data-live-state]") == "live", "a stream")
    before = listeners(browser)

    def redrawn(name: str) -> None:
        rename(material, instance, second, name)
        browser.without_reloading(lambda: name in browser.text("[data-graph-picture]"), "the new name")

    browser.tab_to("e.textContent === '+'")
    browser.run("document.querySelector('#graph-view').dataset.kept = 'no'")
    redrawn("renamed")
    assert browser.run("return document.activeElement.textContent") == "+"
    assert not browser.has("#graph-view[data-kept]")

    browser.tab_to("e.textContent === 'Next'", presses=10)
    browser.type(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == f"node-{first}"
    redrawn("renamed again")
    assert browser.run("return document.activeElement.id") == f"node-{first}"
    browser.run("[...document.querySelectorAll('.graph-tools button')].at(-1).click()")
    assert browser.run("return document.activeElement.id") == f"node-{second}"

    for _ in range(5):
        browser.run("document.querySelector('#graph-larger-button').click()")
    browser.run("document.querySelector('#graph-view').scrollTo({left: 0, behavior: 'instant'})")
    view = browser.find("#graph-view")
    corner = (20 - view.size["width"] // 2, 20 - view.size["height"] // 2)
    ActionChains(browser.driver).move_to_element_with_offset(view, *corner).move_by_offset(
        200, 0
    ).click_and_hold().perform()
    redrawn("dragged")
    ActionChains(browser.driver).move_by_offset(-120, 0).release().move_by_offset(-50, 0).perform()
    assert browser.run("return document.querySelector('#graph-view').scrollLeft") == 120
    assert not browser.has(".graph-view--dragged")

    assert listeners(browser) == before


def test_a_selected_text_stays_until_it_is_let_go(browser: Browser, material: Material) -> None:
    instance = material.run("selected", "echo one", "echo two")
    material.driver.act(instance, "uninitialize").ok()
    material.driver.wait_for(instance, "pending")
    first, second = (node["id"] for node in material.driver.read(instance)["nodes"])
    browser.open(f"/admin/workflows/workflownode/{first}/change/")
    browser.until(lambda: browser.text("[data-live-state]") == "live", "a stream")
    state = '[data-live-part="status"]'

    def asked() -> int:
        ask = "return performance.getEntriesByType('resource').filter((e) => e.name.endsWith('?part=state')).length"
        return int(browser.run(ask))

    browser.until(lambda: asked() >= 1, "the first answer")
    browser.run("getSelection().selectAllChildren(document.querySelector('.node-facts'))")
    selected = browser.run("return String(getSelection())")
    assert material.project in selected
    rename(material, instance, second, "another name")
    rename(material, instance, first, "a name of its own")
    browser.without_reloading(lambda: "node.updated" in browser.text("#history"), "what happened")
    # One answer that came after all that, and one more: the first of them has been drawn by then.
    for _ in range(2):
        before = asked()
        browser.run("window.dispatchEvent(new Event('online'))")
        browser.until(lambda before=before: asked() > before, "another answer")
    assert browser.run("return String(getSelection())") == selected
    assert "another name" not in browser.text(state)

    browser.run("getSelection().removeAllRanges()")
    browser.without_reloading(lambda: "another name" in browser.text(state), "the new name")


@pytest.fixture
def without_streams(browser: Browser) -> Iterator[Browser]:
    """The administrator's browser, where every stream of events breaks."""
    ask = browser.driver.execute_cdp_cmd
    script = ask("Page.addScriptToEvaluateOnNewDocument", {"source": _NO_STREAMS})["identifier"]
    yield browser
    ask("Page.removeScriptToEvaluateOnNewDocument", {"identifier": script})


def test_a_page_that_was_hidden_tries_a_stream_again(without_streams: Browser, material: Material) -> None:
    browser = without_streams

    def streams() -> int:
        return int(browser.run("return window.__streams"))

    browser.open(f"{INSTANCES}{material.instances['draft']}/change/")
    browser.until(lambda: streams() > 1, "a second try")
    browser.run(_HIDE, True)
    before = streams()
    browser.run(_HIDE, False)

    browser.until(lambda: streams() > before, "another try")
    assert browser.text("[data-live-state]") == "polling every few seconds"
