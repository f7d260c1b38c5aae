"""The harness itself: a seed stands for one sequence of faults, and rules hit what they name."""

from __future__ import annotations

from itertools import repeat

import pytest

from tests.faults.cluster_faults import LOST_ANSWER, RESET, SERVER_ERRORS, Fault, FaultPlan, Request, Rule

JOBS = Request("create", "jobs", "/apis/batch/v1/namespaces/one/jobs/a")
PODS = Request("list", "pods", "/api/v1/pods")


def decisions(plan: FaultPlan, *requests: Request) -> list[Fault | None]:
    return [plan.decide(request) for request in requests]


def test_the_same_seed_gives_the_same_faults_whatever_happens_in_between() -> None:
    rule = Rule((*SERVER_ERRORS, RESET), rate=0.5)
    alone, mixed, other = FaultPlan(7), FaultPlan(7), FaultPlan(8)
    with alone.rules(rule), mixed.rules(rule), other.rules(rule):
        expected = decisions(alone, *repeat(JOBS, 50))
        found = decisions(mixed, *[JOBS, PODS] * 50)[::2]
        others = decisions(other, *repeat(JOBS, 50))
    with alone.rules(rule):
        again = decisions(alone, *repeat(JOBS, 50))

    assert found == again == expected
    assert others != expected
    assert 10 < sum(fault is not None for fault in expected) < 40


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule((RESET,)), [RESET, RESET, RESET]),
        (Rule((RESET,), verbs=("list",)), [None, None, RESET]),
        (Rule((RESET,), resources=("jobs",), count=1), [RESET, None, None]),
        (Rule((RESET,), within="/namespaces/one/"), [RESET, RESET, None]),
        (Rule((RESET,), rate=0.0), [None, None, None]),
    ],
)
def test_a_rule_hits_what_it_names_while_it_is_in_force(rule: Rule, expected: list[Fault | None]) -> None:
    plan = FaultPlan(1)
    with plan.rules(rule):
        found = decisions(plan, JOBS, JOBS, PODS)

    assert found == expected
    assert decisions(plan, JOBS, PODS) == [None, None]


def test_the_first_rule_that_fits_decides() -> None:
    plan = FaultPlan(1)
    with plan.rules(Rule((LOST_ANSWER,), count=1), Rule((RESET,))):
        assert decisions(plan, JOBS, JOBS) == [LOST_ANSWER, RESET]
