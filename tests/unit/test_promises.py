"""What docs/promises.md says is proven, is: every scenario it names has a test, and every test is named there."""

from __future__ import annotations

import re

from tests.faults.listing import BEGIN, DOCUMENT, END, scenarios, table

# The scenarios that a part of SecFlow answers for; the others are about parts that it does not have.
REQUIRED = {f"F{number:02}" for number in (*range(1, 10), *range(10, 24), *range(25, 33), 33, 34, 35, 37, 38, 41, 43)}


def test_the_table_of_scenarios_is_up_to_date() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert text.partition(BEGIN)[2].partition(END)[0] == table(), "run `python -m tests.faults.listing`"


def test_every_required_scenario_has_a_test() -> None:
    assert {scenario.number for scenario in scenarios()} >= REQUIRED


def test_every_scenario_that_proves_a_promise_has_a_test() -> None:
    promises = DOCUMENT.read_text(encoding="utf-8").partition("## Promises")[2].partition("## Scenarios")[0]
    named = set(re.findall(r"\bF\d\d\b", promises))

    assert named
    assert named <= {scenario.number for scenario in scenarios()}
