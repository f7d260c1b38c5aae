"""The tables of an instance's page, and the page that takes a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui.browser import Browser
from tests.ui.material import Material

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

# How many words were looked at, and those that stand on more than one line; each row's last cell holds the message, and may
# break what fits nowhere.
BROKEN = r"""
const broken = [];
let seen = 0;
for (const cell of document.querySelectorAll('.plain-table td:not(:last-child)')) {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        for (const word of texts.currentNode.data.matchAll(/[^\s-]+/g)) {
            seen += 1;
            const range = document.createRange();
            range.setStart(texts.currentNode, word.index);
            range.setEnd(texts.currentNode, word.index + word[0].length);
            if (range.getClientRects().length > 1) broken.push(word[0]);
        }
    }
}
return [seen, broken];
"""


def test_a_long_message_does_not_break_the_words_beside_it(browser: Browser, material: Material) -> None:
    instance = material.run("a long message", "exit 7")
    browser.open(f"/admin/workflows/workflowinstance/{instance}/change/")

    assert "exit code 7" in browser.text("#table-journal")
    seen, broken = browser.run(BROKEN)
    assert seen > 20
    assert broken == []


def test_a_file_is_chosen_without_a_complaint(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text(
        "apiVersion: secflow.io/v1\nkind: Workflow\nmetadata: {name: chosen, project: p1}\nspec: {nodes: []}\n"
    )
    browser.open("/admin/workflows/workflowinstance/import/")

    browser.find("#import-file").send_keys(str(file))

    assert browser.problems() == []
    browser.leave(browser.find("[name=_look]").click)
    assert "chosen" in browser.text()
