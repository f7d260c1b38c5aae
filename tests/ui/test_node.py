"""The page of a node: its scripts draw the log and copy texts."""

from __future__ import annotations

import pytest

from tests.ui.browser import Browser
from tests.ui.material import Material

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]


def test_the_log_is_drawn_and_every_text_can_be_copied(browser: Browser, material: Material) -> None:
    nodes = material.driver.read(material.instances["nightly"])["nodes"]
    [node] = [node for node in nodes if node["name"] == "step 1"]
    browser.open(f"/admin/workflows/workflownode/{node['id']}/change/")

    browser.until(lambda: browser.text("[data-log-count]") == "1 line", "the count of lines")
    buttons = browser.all("[data-copy]")
    words = []
    for button in buttons:
        browser.run("arguments[0].click()", button)
        words.append(browser.until(lambda b=button: b.text if b.text != "Copy" else None, "an answer of the button"))

    assert browser.text(".log-line").endswith("fetched 12 pages")
    assert len(buttons) > 3
    assert {button.is_displayed() for button in buttons} == {True}
    assert set(words) <= {"Copied", "Selected"}
    browser.until(lambda: {button.text for button in buttons} == {"Copy"}, "buttons to be used again")


def test_a_time_that_the_program_wrote_is_no_time_of_the_cluster(browser: Browser, material: Material) -> None:
    line = "2026-03-01T12:00:00Z began"
    material.run("stamped", f"echo {line}")
    [node] = material.driver.read(material.instances["stamped"])["nodes"]
    browser.open(f"/admin/workflows/workflownode/{node['id']}/change/")

    def lines() -> list[str]:
        return [row.text for row in browser.all(".log-line")]

    browser.until(lambda: lines() == [line], "the text of the pod")
    browser.run("document.querySelector('[name=timestamps]').click()")
    assert lines()[0].endswith(f" {line}")
    kept = browser.until(
        lambda: next(
            (one.text for one in browser.all("[name=run] option") if one.text.startswith("kept of run")), None
        ),
        "a kept text",
    )
    browser.choose("[name=run]", kept)

    browser.until(lambda: "kept at" in browser.text("[data-log-note]"), "the kept text")
    browser.until(lambda: lines() == [line], "its line")
