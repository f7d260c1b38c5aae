"""Counts (contract D.10)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory

ZERO = dict.fromkeys(["pending", "initializing", "initialized", "running", "succeeded", "failed", "stopped"], 0)


@pytest.fixture(autouse=True)
def _rows(db: None) -> None:
    InstanceFactory(status="pending")
    InstanceFactory(status="running")
    NodeFactory(instance__status="initialized", node_type="app", status="running")
    NodeFactory(instance__status="initialized", node_type="job", status="pending")
    InstanceFactory(status="failed", project_id="p2")
    AppTemplateFactory(scope="global", project_id=None)
    JobTemplateFactory(project_id="p2")


@pytest.mark.parametrize("path", ["/statistics", "/workflow-instances/statistics"])
def test_only_what_the_caller_may_read_is_counted(member: Api, admin: Api, path: str) -> None:
    # Each node has a template of its own: one app and one job template in p1.
    assert member.read(path) == {
        "total_instances": 4,
        "status_distribution": ZERO | {"pending": 1, "running": 1, "initialized": 2},
        "templates": {"app_templates": 2, "job_templates": 1},
    }
    assert admin.read(path)["total_instances"] == 5
    assert admin.read(path)["templates"] == {"app_templates": 2, "job_templates": 2}


def test_the_filter_holds_for_every_number(admin: Api, member: Api) -> None:
    assert admin.read("/statistics?project_id=p2") == {
        "total_instances": 1,
        "status_distribution": ZERO | {"failed": 1},
        "templates": {"app_templates": 1, "job_templates": 1},
    }
    assert member.read("/statistics?project_id=p2") == {
        "total_instances": 0,
        "status_distribution": ZERO,
        "templates": {"app_templates": 1, "job_templates": 0},
    }
    for absent in ("", "all", "undefined"):
        assert admin.read(f"/statistics?project_id={absent}")["total_instances"] == 5


def test_the_distribution_speaks_the_dialect(member: Api) -> None:
    answer = member.call("GET", "/statistics", **{"X-SecFlow-Status-Dialect": "readiness"}).json()

    assert answer["status_distribution"] == {"pending": 1, "unready": 2, "ready": 1}


def test_counting_costs_few_queries(member: Api, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(4):
        member.read("/statistics")
