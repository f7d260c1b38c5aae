"""Actions and buttons call the services: what they allow happens, what they refuse is said and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from tests.admin.conftest import make_history, said, signed_in, staff
from tests.factories import InstanceFactory, NodeFactory, ProjectMemberFactory
from workflows.admin.operations import INSTANCE_OPERATIONS
from workflows.domain.statuses import InstanceStatus
from workflows.domain.transitions import ALLOWED, Verb
from workflows.models import Event, NodeRun, WorkflowInstance

LIST = "/admin/workflows/workflowinstance/"
DESTRUCTIVE = {operation.name for operation in INSTANCE_OPERATIONS if operation.is_destructive}


def act(client: Client, name: str, *rows: Any, confirmed: bool = True) -> Any:
    """A list action, with the answer of the confirmation page when one is asked for."""
    data = {"action": name, ACTION_CHECKBOX_NAME: [row.pk for row in rows]}
    return client.post(LIST, data | ({"confirmed": "yes"} if confirmed else {}), follow=True)


def button(row: Any, name: str) -> str:
    """The address behind a button."""
    return f"{LIST}{row.pk}/{name.replace('_', '-')}/"


def state(row: Any) -> dict[str, Any]:
    """Everything that the row says, to see whether something changed."""
    return WorkflowInstance.objects.values().get(pk=row.pk)


# What only operators do, and the API does not offer.
CONSOLE_ONLY = {"force_delete_pods"}


def test_every_verb_of_the_api_is_offered() -> None:
    offered = {operation.name for operation in INSTANCE_OPERATIONS}

    assert offered - CONSOLE_ONLY == set(Verb) - {Verb.UPDATE, Verb.EDIT_GRAPH}


def test_what_removes_something_asks_first() -> None:
    assert {"force_initialize", "stop", "uninitialize", "delete", "force_delete_pods"} == DESTRUCTIVE


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("stop", "pending", "is pending, which does not allow to stop"),
        ("initialize", "running", "is running, which does not allow to initialize"),
        ("force_initialize", "running", "is running, which does not allow to force initialize"),
        ("start", "running", "is running, which does not allow to start"),
        ("trigger", "pending", "is pending, which does not allow to trigger"),
        ("uninitialize", "pending", "is pending, which does not allow to uninitialize"),
        ("activate", "pending", "has run mode once; only persistent workflows can activate"),
        ("deactivate", "pending", "has run mode once; only persistent workflows can deactivate"),
        ("start", "pending", "has no nodes"),
    ],
)
@pytest.mark.parametrize("by", ["list", "button"])
def test_a_refusal_is_said_in_the_services_words_and_changes_nothing(
    admin: Client, name: str, status: str, sentence: str, by: str
) -> None:
    instance = InstanceFactory(name="nightly", status=status)
    before = state(instance)

    shown = act(admin, name, instance) if by == "list" else admin.post(button(instance, name), follow=True)

    assert len(said(shown)) == 1
    assert said(shown)[0].startswith("nightly: ")
    assert sentence in said(shown)[0]
    assert state(instance) == before
    assert not Event.objects.exists()
    assert not LogEntry.objects.exists()


def test_deactivate_and_activate_work_and_are_in_the_journal_with_the_operators_id(admin: Client) -> None:
    instance = InstanceFactory(run_mode="persistent", status="initialized")
    operator = admin.session["_auth_user_id"]

    first = act(admin, "deactivate", instance)
    was_active = state(instance)["is_active"]
    second = admin.post(button(instance, "activate"), follow=True)

    assert said(first) == [f"{instance.name}: accepts no triggers."]
    assert said(second) == [f"{instance.name}: accepts triggers."]
    assert (was_active, state(instance)["is_active"]) == (False, True)
    journal = Event.objects.order_by("sequence").values_list("kind", "actor")
    assert list(journal) == [("instance.deactivated", operator), ("instance.activated", operator)]
    assert LogEntry.objects.filter(object_id=instance.pk).count() == 2


def test_one_action_says_for_each_instance_how_it_went(admin: Client) -> None:
    good = InstanceFactory(name="good", run_mode="persistent", status="initialized")
    bad = InstanceFactory(name="bad", run_mode="once", status="initialized")

    shown = act(admin, "deactivate", good, bad)

    assert said(shown)[0] == "good: accepts no triggers."
    assert said(shown)[1].startswith("bad: ")
    assert (state(good)["is_active"], state(bad)["is_active"]) == (False, True)


@pytest.mark.parametrize("by", ["list", "button", "the built-in page"])
def test_delete_goes_through_the_service_and_leaves_the_journal(admin: Client, by: str) -> None:
    instance = NodeFactory(instance__name="draft").instance
    other = InstanceFactory()

    match by:
        case "list":
            shown = act(admin, "delete", instance)
        case "button":
            shown = admin.post(button(instance, "delete"), follow=True)
        case _:
            address = reverse("admin:workflows_workflowinstance_delete", args=[instance.pk])
            shown = admin.post(address, {"post": "yes"}, follow=True)

    assert said(shown) == ["draft: deleted."]
    assert shown.redirect_chain[-1][0].split("?")[0] == LIST
    assert list(WorkflowInstance.objects.values_list("pk", flat=True)) == [other.pk]
    entry = Event.objects.get(instance_id=instance.pk)
    assert (entry.kind, entry.actor) == ("instance.deleted", admin.session["_auth_user_id"])


@pytest.mark.parametrize("name", sorted(DESTRUCTIVE))
def test_destructive_actions_ask_before_they_do_anything(admin: Client, name: str) -> None:
    fitting = InstanceFactory(name="first", status="initialized")
    unfitting = InstanceFactory(name="second", status="initializing")
    before = state(fitting), state(unfitting)

    shown = act(admin, name, fitting, unfitting, confirmed=False)

    page = shown.content.decode()
    assert shown.status_code == 200
    assert next(operation.effect for operation in INSTANCE_OPERATIONS if operation.name == name) in page
    assert "first" in page
    assert "second" in page
    assert page.count("this will be refused") == (0 if name in {"delete", "force_delete_pods"} else 1)
    assert (state(fitting), state(unfitting)) == before
    assert not Event.objects.exists()


@pytest.mark.parametrize("operation", INSTANCE_OPERATIONS, ids=lambda operation: operation.name)
def test_opening_the_address_of_a_button_changes_nothing(admin: Client, operation: Any) -> None:
    instance = InstanceFactory(run_mode="persistent", status="initialized", is_active=operation.name != "activate")
    before = state(instance)

    shown = admin.get(button(instance, operation.name))

    assert shown.status_code == 200
    assert operation.effect in shown.content.decode()
    assert state(instance) == before
    assert not Event.objects.exists()


def test_buttons_need_the_forms_token(admin: Client) -> None:
    instance = InstanceFactory()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin.cookies

    answer = strict.post(button(instance, "delete"))

    assert answer.status_code == 403
    assert WorkflowInstance.objects.filter(pk=instance.pk).exists()


@pytest.mark.parametrize("status", list(InstanceStatus))
@pytest.mark.parametrize(("run_mode", "is_active"), [("once", True), ("persistent", True), ("persistent", False)])
def test_only_buttons_that_make_sense_are_shown(
    admin: Client, status: InstanceStatus, run_mode: str, is_active: bool
) -> None:
    instance = InstanceFactory(status=status, run_mode=run_mode, is_active=is_active)
    expected = {verb.value for verb in Verb if status in ALLOWED[verb]} - {"update", "edit_graph"}
    expected -= {"activate", "deactivate"} if run_mode == "once" else {"activate" if is_active else "deactivate"}
    expected |= set() if status == InstanceStatus.PENDING else CONSOLE_ONLY

    page = admin.get(f"{LIST}{instance.pk}/change/").content.decode()

    shown = {item.name for item in INSTANCE_OPERATIONS if f'href="{button(instance, item.name)}"' in page}
    assert shown == expected


def test_an_unknown_instance_is_no_error(admin: Client) -> None:
    assert admin.post(f"{LIST}wf-inst-nothing-00000000/stop/").status_code == 404


@pytest.mark.parametrize("operation", INSTANCE_OPERATIONS, ids=lambda operation: operation.name)
def test_who_may_only_view_can_do_nothing(viewer: Client, operation: Any) -> None:
    instance = InstanceFactory(run_mode="persistent", status="initialized")
    before = state(instance)

    page = viewer.get(f"{LIST}{instance.pk}/change/")
    listed = viewer.get(LIST)
    by_list = act(viewer, operation.name, instance)
    asked = viewer.get(button(instance, operation.name))
    by_button = viewer.post(button(instance, operation.name))

    assert (page.status_code, listed.status_code) == (200, 200)
    assert button(instance, operation.name) not in page.content.decode()
    assert 'name="action"' not in listed.content.decode()
    assert said(by_list) in ([], ["No action selected."])
    assert (asked.status_code, by_button.status_code) == (403, 403)
    assert state(instance) == before
    assert not Event.objects.exists()


def test_the_right_to_change_is_not_the_right_to_delete(db: None) -> None:
    user = staff("operator", "change_workflowinstance")
    client = signed_in(user)
    ProjectMemberFactory(user_id=str(user.pk))
    instance = InstanceFactory(run_mode="persistent", status="initialized")

    changed = client.post(button(instance, "deactivate"))
    deleted = client.post(button(instance, "delete"))
    act(client, "delete", instance)

    assert (changed.status_code, deleted.status_code) == (302, 403)
    assert state(instance)["is_active"] is False


def test_staff_without_rights_see_no_instance(db: None, history: NodeRun) -> None:
    client = signed_in(staff("newcomer"))

    overview = client.get("/admin/")

    assert client.get(LIST).status_code == 403
    assert overview.status_code == 200
    assert history.instance.name not in overview.content.decode()


HARMFUL = '<script>alert("x")</script>'
SHOWN = "&lt;script&gt;"


def test_markup_in_names_messages_and_logs_stays_text(admin: Client) -> None:
    instance = InstanceFactory(name=HARMFUL, status="failed", message=HARMFUL, description=HARMFUL, has_warning=True)
    record = make_history(instance, text=HARMFUL, name=HARMFUL)
    log = record.logs.get(part="execution")
    pages = [
        "/admin/",
        LIST,
        f"{LIST}{instance.pk}/change/",
        button(instance, "delete"),
        "/admin/workflows/workflownode/",
        f"/admin/workflows/workflownode/{record.node_id}/change/",
        "/admin/workflows/run/",
        f"/admin/workflows/run/{record.run_id}/change/",
        "/admin/workflows/noderun/",
        f"/admin/workflows/noderun/{record.pk}/change/",
        "/admin/workflows/nodelog/",
        f"/admin/workflows/nodelog/{log.pk}/change/",
        "/admin/workflows/event/",
        f"/admin/workflows/event/{Event.objects.get().pk}/change/",
        "/admin/workflows/cleanup/",
        f"/admin/workflows/cleanup/{instance.pk}/change/",
    ]

    for address in pages:
        text = admin.get(address).content.decode()

        assert "<script>alert" not in text, address
        assert SHOWN in text or "\\u003Cscript" in text, address
    refused = act(admin, "stop", instance).content.decode()
    assert "<script>alert" not in refused
    assert SHOWN in refused
