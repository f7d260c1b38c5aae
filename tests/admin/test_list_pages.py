"""The pages of the console's lists: Django's own rows in Django's own order, found with less work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from secflow.http.roles import Role
from templates_app.models import JobTemplate
from tests.admin.conftest import NOON, make_history, with_roles
from tests.admin.pages import form_of
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory, UserFactory
from workflows.models import Cleanup, Event, NodeLog, NodeRun, Run, WorkflowInstance, WorkflowNode

ROWS, PER_PAGE = 23, 4
MODELS = (WorkflowInstance, WorkflowNode, Run, NodeRun, NodeLog, Event, Cleanup, JobTemplate)
STATUSES = ("pending", "failed", "succeeded")


@pytest.fixture(autouse=True)
def _rows(db: None) -> None:
    """A few rows with many ties, and with nothing in some columns."""
    for number in range(ROWS):
        status, project_id = STATUSES[number % 3], f"p{number % 2}"
        row = InstanceFactory(name=f"name {number % 5}", status=status, project_id=project_id, run_count=number % 4)
        make_history(row, name=f"node {number % 2}")
        NodeFactory.create_batch(number % 3, instance=row, template_id="t")
        JobTemplateFactory(name=f"template {number % 5}", project_id=project_id)
        last_run_at = NOON + timedelta(hours=number % 4) if number % 4 else None
        WorkflowInstance.objects.filter(pk=row.pk).update(
            created_at=NOON + timedelta(minutes=number % 6), last_run_at=last_run_at, created_by=str(number % 2)
        )
        Run.objects.filter(instance=row).update(status=("failed", "succeeded")[number % 2])


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for model in MODELS:
        monkeypatch.setattr(django_admin.site._registry[model], "list_per_page", PER_PAGE)


@pytest.fixture
def root() -> User:
    found: User = UserFactory(username="root", is_staff=True, is_superuser=True)
    return found


def opened(user: Any, model: Any, query: str = "") -> Any:
    """The list as the view has it for a template."""
    request = RequestFactory().get(f"/?{query}")
    request.user = user
    return django_admin.site._registry[model].get_changelist_instance(request)  # type: ignore[attr-defined]


def keys(rows: Any) -> list[Any]:
    return [row.pk for row in rows]


def orders(model: Any) -> Iterator[str]:
    """The list's own order, by each column both ways, and by two columns."""
    columns = range(1, len(django_admin.site._registry[model].list_display) + 1)
    yield ""
    for column in columns:
        yield f"o={column}"
        yield f"o=-{column}"
    yield "o=3.-1"
    yield "o=-4.2"


def check(user: Any, model: Any, query: str) -> int:
    """All pages of the list, one after the other, are what Django would cut out of all rows. How many rows there are."""
    everything = keys(opened(user, model, query).queryset)
    for start in range(0, len(everything), PER_PAGE):
        shown = opened(user, model, f"{query}&p={start // PER_PAGE + 1}")
        assert keys(shown.result_list) == everything[start : start + PER_PAGE], (query, start)
    return len(everything)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_all_pages_in_every_order_are_those_of_the_whole_list(root: User, model: Any) -> None:
    for order in orders(model):
        assert check(root, model, order) >= ROWS


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (WorkflowInstance, "status__exact=failed"),
        (WorkflowInstance, "status__exact=failed&o=-1"),
        (WorkflowInstance, "status__exact=failed&status__exact=pending&o=3"),
        (WorkflowInstance, "project_id=p1&o=-6"),
        (WorkflowInstance, "q=name+1&o=2"),
        (WorkflowInstance, "q=wf-inst-"),
        (WorkflowNode, "instance__project_id=p1&o=-5"),
        (WorkflowNode, "q=node&o=1"),
        (Run, "instance__project_id=p1&o=2"),
        (Run, "status__exact=failed&o=-8"),
        (Event, "q=wf-inst-"),
        (JobTemplate, "q=template+1"),
    ],
)
def test_filters_and_searches_have_the_same_pages(root: User, model: Any, query: str) -> None:
    check(root, model, query)


def test_rows_that_a_filter_finds_twice_are_shown_once(root: User, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = django_admin.site._registry[WorkflowInstance]
    monkeypatch.setattr(admin, "linked_lookups", ("run_set__node_runs__logs__tries",))

    assert check(root, WorkflowInstance, "run_set__node_runs__logs__tries=0&o=-1") == ROWS


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_members_get_pages_of_what_they_may_see(model: Any) -> None:
    member = with_roles("member", Role.MEMBER, projects=["p1"])

    for order in ("", "o=3", "o=-3"):
        seen = check(member, model, order)
        assert PER_PAGE < seen < opened(UserFactory(is_superuser=True), model).queryset.count(), order


@pytest.mark.parametrize(
    ("model", "asked", "shown"),
    [
        (WorkflowInstance, "7", 6),
        (WorkflowInstance, "0", 1),
        (WorkflowInstance, "-1", 1),
        (WorkflowInstance, "9" * 30, 6),
        (Run, "9999999", 1),
        (Run, "0", 1),
        (Run, "9" * 30, 1),
    ],
)
def test_instead_of_a_page_that_is_not_there_one_that_is_there_is_shown(
    root: User, model: Any, asked: str, shown: int
) -> None:
    found, there = opened(root, model, f"p={asked}"), opened(root, model, f"p={shown}")

    assert (found.page_num, keys(found.result_list)) == (shown, keys(there.result_list))
    assert found.result_list


@pytest.mark.parametrize("model", [WorkflowInstance, Run], ids=lambda model: model._meta.model_name)
def test_a_filter_on_a_late_page_is_not_lost(root: User, model: Any) -> None:
    found = opened(root, model, "p=5&status__exact=failed&o=1")

    assert keys(found.result_list)
    assert {row.status for row in found.result_list} == {"failed"}
    assert keys(opened(root, model, "p=5&q=nothing-like-it").result_list) == []


@pytest.mark.parametrize("model", [WorkflowInstance, Run], ids=lambda model: model._meta.model_name)
def test_the_form_of_the_filters_leads_to_the_first_page(admin: Client, model: Any) -> None:
    address = reverse(f"admin:workflows_{model._meta.model_name}_changelist")

    shown = admin.get(f"{address}?p=2&o=1&q=n&status__exact=failed")

    sent = form_of(shown, "started_at_from_0" if model is Run else "created_at_from_0")
    assert "p" not in sent
    assert (sent["o"], sent["q"], sent["status__exact"]) == ("1", "n", "failed")


def test_an_operation_is_done_although_its_page_is_gone(admin: Client) -> None:
    row = InstanceFactory(status="initialized", run_mode="persistent")
    form = {"action": "deactivate", "index": "0", "confirmed": "yes", ACTION_CHECKBOX_NAME: [row.pk]}

    answer = admin.post("/admin/workflows/workflowinstance/?p=99&o=1", form, follow=True)

    row.refresh_from_db()
    assert not row.is_active
    assert answer.status_code == 200
    assert answer.redirect_chain == [("/admin/workflows/workflowinstance/?p=99&o=1", 302)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_every_page_takes_as_many_queries(root: User, model: Any) -> None:
    taken = set()
    for page in (1, 2, 5, 6):
        with CaptureQueriesContext(connection) as seen:
            for row in opened(root, model, f"p={page}").result_list:
                str(row)
        taken.add(len(seen))

    assert len(taken) == 1


def page_query(user: Any, query: str) -> str:
    """The statement that reads the rows of a page of instances."""
    with CaptureQueriesContext(connection) as seen:
        list(opened(user, WorkflowInstance, query).result_list)
    [statement] = [entry["sql"] for entry in seen if "LIMIT" in entry["sql"] and "node_count" in entry["sql"]]
    return str(statement)


def plan(statement: str) -> list[dict[str, Any]]:
    """All steps of the statement's plan, with what they really did."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement.replace("%", "%%"))
        found = cursor.fetchone()[0]
    steps = [(json.loads(found) if isinstance(found, str) else found)[0]["Plan"]]
    for step in steps:
        steps += step.get("Plans", [])
    return steps


@pytest.mark.parametrize("query", ["", "p=3", "p=6", "o=3&p=4", "o=-6&p=6"])
def test_nodes_are_counted_for_the_rows_of_the_page_alone(root: User, query: str) -> None:
    steps = plan(page_query(root, query))

    looks = [step for step in steps if step.get("Relation Name") == WorkflowNode._meta.db_table]
    assert 0 < max(step["Actual Loops"] for step in looks) <= PER_PAGE


@pytest.mark.parametrize(("page", "skipped"), [(1, 0), (2, 4), (3, 8), (4, 7), (5, 3), (6, 0)])
def test_pages_of_the_last_half_are_read_from_the_end(root: User, page: int, skipped: int) -> None:
    offset = re.search(r"OFFSET (\d+)", page_query(root, f"p={page}"))

    assert (int(offset[1]) if offset else 0) == skipped


@pytest.mark.parametrize("query", ["o=3", "o=3&p=3", "o=-3"])
def test_the_order_by_status_is_read_off_an_index(root: User, query: str) -> None:
    statement = page_query(root, query)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # so few rows are sorted faster than any index is read

    used = {step.get("Index Name") for step in plan(statement)}

    assert "secflow_instance_by_status" in used


def journal_query(user: Any) -> str:
    """The statement that reads the rows of the journal's first page."""
    with CaptureQueriesContext(connection) as seen:
        list(opened(user, Event).result_list)
    [statement] = [entry["sql"] for entry in seen if "LIMIT 4" in entry["sql"] and "message" in entry["sql"]]
    return str(statement)


def test_a_members_journal_is_read_off_indexes(db: None) -> None:
    member = with_roles("member", Role.MEMBER, projects=["p1"])
    elsewhere = WorkflowInstance.objects.filter(project_id="p0").earliest("pk")
    WorkflowInstance.objects.filter(pk=elsewhere.pk).update(created_by=str(member.pk))
    statement = journal_query(member)
    with connection.cursor() as cursor:
        # So few rows are read faster than any index is; neither all of them nor all in their order is what a long table needs.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")

    steps = {step["Node Type"] for step in plan(statement)}

    assert "BitmapOr" in steps
    assert not {"Seq Scan", "Index Scan"} & steps


@pytest.mark.parametrize("listed", [1000, 1])
def test_a_journal_has_what_is_of_own_projects_or_own_instances(monkeypatch: pytest.MonkeyPatch, listed: int) -> None:
    monkeypatch.setattr("workflows.admin.journal._LISTED", listed)
    member = with_roles("member", Role.MEMBER, projects=["p1"])
    others = list(WorkflowInstance.objects.filter(project_id="p0").order_by("pk"))[:3]
    WorkflowInstance.objects.filter(pk__in=keys(others)).update(created_by=str(member.pk))
    gone = WorkflowInstance.objects.filter(project_id="p1").earliest("pk").pk
    WorkflowInstance.objects.filter(pk=gone).delete()

    seen = {row.instance_id for row in opened(member, Event).queryset}

    ours = Event.objects.filter(project_id="p1").values_list("instance_id", flat=True)
    assert gone in ours
    assert seen == {*ours, *keys(others)}


def test_a_members_journal_takes_as_many_queries_whatever_they_made_elsewhere() -> None:
    member = with_roles("member", Role.MEMBER, projects=["p1"])
    taken = []
    for number in (0, 1, 5):
        rows = WorkflowInstance.objects.filter(project_id="p0").order_by("pk")[:number]
        WorkflowInstance.objects.filter(pk__in=keys(rows)).update(created_by=str(member.pk))
        with CaptureQueriesContext(connection) as seen:
            list(opened(member, Event).result_list)
        taken.append(len(seen))

    assert taken == [5, 5, 5]


@pytest.mark.parametrize("model", [Event, Run])
def test_nobody_is_told_a_number_of_rows_that_nobody_counted(root: User, model: Any) -> None:
    client = Client()
    client.force_login(root)

    for query in ("", "?q=nightly"):
        shown = client.get(f"/admin/workflows/{model._meta.model_name}/{query}").content.decode()
        assert "99999" not in shown
        assert not re.search(r"\d results?\b", shown)


def test_the_headings_are_made_once_for_a_page(root: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    client.force_login(root)

    def page(rows: int) -> tuple[list[str], str]:
        for model in MODELS:
            monkeypatch.setattr(django_admin.site._registry[model], "list_per_page", rows)
        answer = client.get(reverse("admin:templates_app_jobtemplate_changelist"))
        return [template.name for template in answer.templates], answer.content.decode()

    page(1)  # the box of a row is made once for a process
    (few, _), (many, text) = page(2), page(20)

    box = "django/forms/widgets/checkbox.html"
    assert 0 < few.count(box) == many.count(box)
    assert text.count('data-label="Name"') == 20
    assert re.findall(r'aria-label="(Select all[^"]*)"', text) == ["Select all objects on this page for an action"]
