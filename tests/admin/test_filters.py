"""Filters of the lists: what somebody typed is what the list holds, and never more than that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client

from secflow.console.models import BulkItem
from tests.admin.conftest import make_history
from tests.factories import AppTemplateFactory, InstanceFactory, NodeFactory
from workflows.models import Event, WorkflowInstance

LIST = "/admin/workflows/workflowinstance/"
NODES = "/admin/workflows/workflownode/"
JOURNAL = "/admin/workflows/event/"
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@pytest.fixture
def days(db: None) -> None:
    """Instances at the edges of the second of March, by name."""
    for name, when in {
        "before": MIDNIGHT - MOMENT,
        "first": MIDNIGHT,
        "noon": MIDNIGHT + timedelta(hours=12),
        "last": MIDNIGHT + timedelta(days=1) - MOMENT,
        "after": MIDNIGHT + timedelta(days=1),
    }.items():
        WorkflowInstance.objects.filter(pk=InstanceFactory(name=name).pk).update(created_at=when)


def listed(client: Client, query: str, address: str = LIST) -> list[str]:
    return [row.name for row in client.get(f"{address}?{query}").context["cl"].result_list]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("created_at_from_0=2026-03-02", ["after", "last", "noon", "first"]),
        ("created_at_from_0=2026-03-02&created_at_from_1=", ["after", "last", "noon", "first"]),
        ("created_at_to_0=2026-03-02", ["last", "noon", "first", "before"]),
        ("created_at_from_0=2026-03-02&created_at_to_0=2026-03-02", ["last", "noon", "first"]),
        ("created_at_from_0=2026-03-02&created_at_from_1=12:00:00", ["after", "last", "noon"]),
        ("created_at_to_0=2026-03-02&created_at_to_1=12:00", ["noon", "first", "before"]),
        ("created_at_from_0=0001-01-01&created_at_to_0=9999-12-31", ["after", "last", "noon", "first", "before"]),
        ("created_at_from_0=&created_at_from_1=&created_at_to_0=&created_at_to_1=", ["after", "last", "noon", "first", "before"]),
    ],
)  # fmt: skip
def test_a_date_alone_is_the_whole_day(admin: Client, days: None, query: str, found: list[str]) -> None:
    shown = admin.get(f"{LIST}?{query}")

    assert [row.name for row in shown.context["cl"].result_list] == found
    assert "cannot be read" not in shown.content.decode()
    assert "Enter a valid" not in shown.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "created_at_from_0=2026-13-45",
        "created_at_from_1=12:00:00",
        "created_at_to_0=yesterday",
        "created_at_to_0=2026-03-02&created_at_to_1=25:00",
        "created_at_from_0=%00",
    ],
)
def test_what_is_no_date_finds_nothing_and_is_said(admin: Client, days: None, query: str) -> None:
    shown = admin.get(f"{LIST}?{query}")

    assert list(shown.context["cl"].result_list) == []
    assert "Nothing is shown: what the filter by created at holds cannot be read" in shown.content.decode()


@pytest.mark.parametrize("name", ["status__exact", "project_id", "project_id__icontains", "name__icontains", "q"])
def test_nothing_has_a_character_that_no_text_can_have(admin: Client, days: None, name: str) -> None:
    assert list(admin.get(f"{LIST}?{name}=%00").context["cl"].result_list) == []


def test_an_operation_on_all_rows_reaches_none_if_the_filter_is_no_date(admin: Client, days: None) -> None:
    form = {
        "action": "deactivate",
        "index": "0",
        "select_across": "1",
        ACTION_CHECKBOX_NAME: [WorkflowInstance.objects.earliest("pk").pk],
    }

    admin.post(f"{LIST}?created_at_to_0=2026-03-32", form, follow=True)
    reached = BulkItem.objects.count()
    admin.post(f"{LIST}?created_at_to_0=2026-03-01", form, follow=True)

    assert (reached, BulkItem.objects.count()) == (0, 1)


def test_projects_ids_and_node_types_are_compared_as_a_whole(admin: Client) -> None:
    for project_id in ("web", "web-2", "my-web"):
        instance = InstanceFactory(name=project_id, project_id=project_id)
        NodeFactory(instance=instance, name=project_id, template_id=f"t-{project_id}")

    assert listed(admin, "project_id=web") == listed(admin, "project_id=+web+") == ["web"]
    assert listed(admin, "project_id=we") == []
    assert sorted(listed(admin, "project_id=web&project_id=web-2")) == ["web", "web-2"]
    assert listed(admin, "instance__project_id=web", NODES) == ["web"]
    assert listed(admin, "template_id=t-web", NODES) == ["web"]
    assert listed(admin, "node_type=jo", NODES) == []
    assert len(listed(admin, "node_type=job", NODES)) == 3


def test_a_filter_with_nothing_in_it_filters_nothing(admin: Client) -> None:
    AppTemplateFactory(name="for all", scope="global", project_id=None)
    AppTemplateFactory(name="ours", project_id="p1")

    assert sorted(listed(admin, "project_id=", "/admin/templates_app/apptemplate/")) == ["for all", "ours"]


def test_a_filter_that_a_link_set_stands_in_the_form(admin: Client) -> None:
    ours = make_history(InstanceFactory()).instance_id
    make_history(InstanceFactory())

    shown = admin.get(f"{JOURNAL}?instance_id={ours}").context["cl"]

    assert [row.instance_id for row in shown.result_list] == [ours]
    assert [spec.value() for spec in shown.filter_specs if spec.title == "instance id"] == [ours]


def test_a_search_that_leaves_old_rows_out_says_so(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    old, newer = (make_history(InstanceFactory()).instance_id for _ in range(2))
    sentence = "looked for in the newest {} rows only"

    def remarks(query: str) -> Any:
        return admin.get(f"{JOURNAL}?{query}").content.decode()

    assert sentence.format("100,000") not in remarks("kind__icontains=failed")
    monkeypatch.setattr("workflows.admin.journal.EventAdmin.search_newest", 1)
    for query in ("kind__icontains=failed", "q=line"):
        assert sentence.format(1) in remarks(query)
    for query in ("", "kind__icontains=", f"q={old}", f"instance_id={old}", "project_id=p1"):
        assert sentence.format(1) not in remarks(query), query
    assert len(admin.get(f"{JOURNAL}?project_id=p1").context["cl"].result_list) == Event.objects.count() == 2
    assert [row.instance_id for row in admin.get(f"{JOURNAL}?q=line").context["cl"].result_list] == [newer]
