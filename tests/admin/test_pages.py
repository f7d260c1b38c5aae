"""Every page opens for an administrator, for nobody without signing in, and costs the same whatever the rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from secflow.projects.models import ProjectMember
from templates_app.models import AppTemplate, JobTemplate
from tests.admin.conftest import make_history, signed_in
from tests.factories import (
    AppTemplateFactory,
    InstanceFactory,
    JobTemplateFactory,
    NodeFactory,
    ProjectMemberFactory,
    UserFactory,
)
from workflows.models import Cleanup, Event, NodeLog, NodeRun, Run, WorkflowInstance, WorkflowNode

ENGINE = (WorkflowInstance, WorkflowNode, Run, NodeRun, NodeLog, Event, Cleanup)
EDITABLE = (AppTemplate, JobTemplate, ProjectMember, User, Group)
ALL = (*ENGINE, *EDITABLE)
ADDABLE = (WorkflowInstance, *EDITABLE)  # a new instance is made by a form; afterwards its own pages change it


def page(model: Any, name: str, *args: object) -> str:
    """The address of one of a model's pages."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def one_of_each() -> None:
    """A row for every page."""
    make_history(InstanceFactory(status="failed"))
    AppTemplateFactory()
    JobTemplateFactory()
    ProjectMemberFactory()
    Group.objects.create(name="operators")
    UserFactory()


def test_the_tests_know_every_registered_page() -> None:
    assert set(django_admin.site._registry) == set(ALL)


@pytest.mark.parametrize("model", ALL, ids=lambda model: model._meta.model_name)
def test_pages_open_for_an_administrator(admin: Client, model: Any) -> None:
    one_of_each()
    row = model.objects.first()

    addresses = [page(model, "changelist"), page(model, "change", row.pk), page(model, "history", row.pk)]
    statuses = {address: admin.get(address).status_code for address in addresses}

    assert set(statuses.values()) == {200}, statuses
    assert admin.get(page(model, "add")).status_code == (200 if model in ADDABLE else 403)


@pytest.mark.parametrize("model", ALL, ids=lambda model: model._meta.model_name)
def test_pages_send_anonymous_callers_to_the_login(db: None, model: Any) -> None:
    one_of_each()
    row = model.objects.first()

    for address in (page(model, "changelist"), page(model, "change", row.pk), page(model, "add")):
        response = Client().get(address)

        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_users_who_are_not_staff_are_kept_out(db: None) -> None:
    client = signed_in(UserFactory())

    assert client.get("/admin/").status_code == 302
    assert client.get(page(WorkflowInstance, "changelist")).status_code == 302


@pytest.mark.parametrize("address", ["/admin/login/"])
def test_the_login_page_opens(db: None, address: str) -> None:
    assert Client().get(address).status_code == 200


@pytest.mark.parametrize("address", ["/admin/", "/admin/password_change/", "/admin/workflows/", "/admin/search/?s=run"])
def test_common_pages_open(admin: Client, address: str) -> None:
    assert admin.get(address).status_code == 200


@pytest.mark.parametrize("model", ENGINE, ids=lambda model: model._meta.model_name)
def test_what_the_engine_writes_has_no_form(admin: Client, model: Any) -> None:
    one_of_each()
    row = model.objects.first()
    before = model.objects.values().get(pk=row.pk)
    count = model.objects.count()

    shown = admin.get(page(model, "change", row.pk)).content.decode()
    sent = admin.post(page(model, "change", row.pk), {"status": "succeeded", "name": "changed", "message": "changed"})
    added = admin.post(page(model, "add"), {"name": "new"})
    deleted = admin.post(page(model, "delete", row.pk), {"post": "yes"}) if model is not WorkflowInstance else sent

    assert 'name="_save"' not in shown
    form_with_errors = 200 if model in ADDABLE else 403
    assert (sent.status_code, added.status_code, deleted.status_code) == (403, form_with_errors, 403)
    assert model.objects.values().get(pk=row.pk) == before
    assert model.objects.count() == count


def grow(number: int) -> None:
    """More rows on every page."""
    for _ in range(number):
        make_history(InstanceFactory(status="failed"))
        AppTemplateFactory()
        JobTemplateFactory()
    for position in range(number):
        ProjectMemberFactory(user_id=str(position), project_id=f"p-{number}-{position}")
        UserFactory()
        Group.objects.create(name=f"group {number} {position}")


def queries(client: Client, address: str) -> int:
    """How many queries a page takes once caches are warm."""
    client.get(address)
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert client.get(address).status_code == 200
    return len(seen)


CEILINGS = {
    WorkflowInstance: 9,
    WorkflowNode: 5,
    Run: 6,
    NodeRun: 5,
    NodeLog: 5,
    Event: 6,
    Cleanup: 6,
    AppTemplate: 7,
    JobTemplate: 7,
    ProjectMember: 7,
    User: 7,
    Group: 6,
}


def test_lists_take_as_many_queries_for_fifty_rows_as_for_five(admin: Client) -> None:
    addresses = {model: page(model, "changelist") for model in ALL}

    grow(5)
    few = {model: queries(admin, address) for model, address in addresses.items()}
    grow(45)
    many = {model: queries(admin, address) for model, address in addresses.items()}

    assert few == many
    assert {model: count for model, count in many.items() if count > CEILINGS[model]} == {}


def test_an_instance_page_takes_as_many_queries_for_fifty_nodes_as_for_five(admin: Client) -> None:
    instance = make_history(InstanceFactory(status="failed")).instance
    address = page(WorkflowInstance, "change", instance.pk)

    NodeFactory.create_batch(5, instance=instance, template_id="t")
    few = queries(admin, address)
    NodeFactory.create_batch(45, instance=instance, template_id="t")
    many = queries(admin, address)

    assert few == many
    assert many <= 14


@pytest.mark.parametrize("model", [WorkflowNode, Run, NodeRun, NodeLog, Event], ids=lambda m: m._meta.model_name)
def test_tables_that_grow_with_every_run_are_never_counted(admin: Client, history: NodeRun, model: Any) -> None:
    with CaptureQueriesContext(connection) as seen:
        admin.get(page(model, "changelist"))

    assert [query["sql"] for query in seen if "COUNT(" in query["sql"]] == []


def test_lists_do_not_load_log_texts_and_frozen_specifications(admin: Client, history: NodeRun) -> None:
    with CaptureQueriesContext(connection) as seen:
        admin.get(page(NodeLog, "changelist"))
        admin.get(page(NodeRun, "changelist"))
        admin.get(page(Event, "changelist"))

    heavy = (
        '_node_log"."text"',
        '"spec"',
        '"diagnosis"',
        '"evidence"',
        '_event"."data"',
        '_workflow_instance"."edges"',
    )
    assert [word for query in seen for word in heavy if word in query["sql"]] == []


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (WorkflowInstance, "status__in=failed"),  # as links once had it
        (WorkflowInstance, "status__exact=failed"),
        (WorkflowInstance, "project_id=p1"),
        (WorkflowInstance, "run_mode__exact=once"),
        (WorkflowInstance, "created_at_from_0=2020-01-01&created_at_from_1=00:00:00"),
        (WorkflowInstance, "q=instance"),
        (WorkflowNode, "instance__project_id=p1"),
        (WorkflowNode, "q=crawler"),
        (Run, "status__exact=failed"),
        (Run, "started_at_from_0=2020-01-01&started_at_from_1=00:00:00"),
        (NodeRun, "q=crawler"),
        (NodeLog, "node_run__instance__project_id=p1"),
        (Event, "kind__icontains=failed"),
        (Cleanup, "goal__exact=tidy"),
    ],
)
def test_filters_and_search_find_the_row(admin: Client, history: NodeRun, model: Any, query: str) -> None:
    address = page(model, "changelist")

    found = admin.get(f"{address}?{query}")

    assert found.status_code == 200
    assert len(found.context["cl"].result_list) >= 1


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (WorkflowInstance, "status__exact=running"),
        (WorkflowInstance, "project_id=other"),
        (WorkflowInstance, "q=nothing-like-it"),
        (Run, "status__exact=running"),
        (NodeRun, "instance__project_id=other"),
        (Event, "kind__icontains=created"),
    ],
)
def test_filters_and_search_leave_other_rows_out(admin: Client, history: NodeRun, model: Any, query: str) -> None:
    found = admin.get(f"{page(model, 'changelist')}?{query}")

    assert found.status_code == 200
    assert list(found.context["cl"].result_list) == []


def test_an_instance_page_leads_to_nodes_runs_and_journal(admin: Client, history: NodeRun) -> None:
    shown = admin.get(page(WorkflowInstance, "change", history.instance_id)).content.decode()

    for address in (
        page(WorkflowNode, "change", history.node_id),
        page(Run, "change", history.run_id),
        page(Event, "change", Event.objects.get().pk),
        page(Cleanup, "change", history.instance_id),
    ):
        assert f'href="{address}"' in shown


def test_the_page_of_a_record_shows_why_it_failed(admin: Client, history: NodeRun) -> None:
    shown = admin.get(page(NodeRun, "change", history.pk)).content.decode()

    for words in (
        "Container main (a line, 2 restarts): terminated, message a line, exit code 3",
        "before: terminated, reason OOMKilled, message a line, exit code 137",
        "Warning BackOff (7 x, last 2026-03-01T12:00:00Z), Pod pod-1: a line",
        "Last lines of container main of pod pod-1, before its last restart",
    ):
        assert words in shown


def test_searching_for_an_id_asks_an_index_and_for_words_the_newest_rows(
    admin: Client, history: NodeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = page(Event, "changelist")
    old = Event.objects.get()
    newer = make_history(InstanceFactory(status="failed"))
    monkeypatch.setattr("workflows.admin.journal.EventAdmin.search_newest", 1)

    def found(query: str) -> list[str]:
        return [row.instance_id for row in admin.get(f"{address}?{query}").context["cl"].result_list]

    assert found("q=line") == found("kind__icontains=failed") == [newer.instance_id]
    assert found(f"q={old.instance_id}") == [old.instance_id]
    assert found("") == [newer.instance_id, old.instance_id]


def test_an_instance_is_found_by_the_beginning_of_its_id_and_by_words_of_its_name(admin: Client) -> None:
    wanted = InstanceFactory(name="the nightly scan of everything")
    InstanceFactory(name="another one")
    address = page(WorkflowInstance, "changelist")

    for query in (wanted.pk, wanted.pk[:-3], "nightly everything", "NIGHTLY"):
        shown = admin.get(f"{address}?q={query}").context["cl"].result_list
        assert [row.pk for row in shown] == [wanted.pk], query
