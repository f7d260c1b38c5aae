"""A pytest plugin: a run that had fault scenarios ends with the list of them by number (`test_f07_...` is one of F07)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

_NUMBER = re.compile(r"::test_(f\d\d)_")
_RANK = {"passed": 0, "skipped": 1, "failed": 2}

_found: dict[str, dict[str, str]] = defaultdict(dict)  # number -> test -> outcome


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps the worst outcome of a test's phases. With pytest-xdist the controller sees the reports of all workers."""
    match = _NUMBER.search(report.nodeid)
    if match is None or (report.when != "call" and report.outcome == "passed"):
        return
    tests = _found[match[1].upper()]
    known = tests.get(report.nodeid, "passed")
    tests[report.nodeid] = max(known, report.outcome, key=_RANK.__getitem__)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Writes `F07 passed (2 passed)` for every number."""
    if not _found:
        return
    terminalreporter.section("fault scenarios")
    for number, tests in sorted(_found.items()):
        outcomes = Counter(tests.values())
        # One that was skipped, because its cluster has no such part, takes nothing from those that passed.
        outcome = next(word for word in ("failed", "passed", "skipped") if outcomes[word])
        counts = ", ".join(f"{count} {word}" for word, count in sorted(outcomes.items()))
        terminalreporter.write_line(f"{number} {outcome} ({counts})")
