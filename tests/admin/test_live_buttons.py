"""The buttons at the top of an instance's page come with its live part, and say what can be done now."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from secflow.console.live import LivePage
from tests.admin.test_pages import queries
from tests.factories import InstanceFactory, NodeFactory
from workflows.admin.instances import WorkflowInstanceAdmin
from workflows.admin.operations import INSTANCE_OPERATIONS
from workflows.domain.statuses import InstanceStatus
from workflows.models import WorkflowInstance

_BUTTONS = re.compile(r'<ul class="live-buttons".*', re.DOTALL)


@pytest.fixture
def instance(db: None) -> WorkflowInstance:
    """A run that is under way."""
    return NodeFactory(instance=InstanceFactory(name="nightly", status="running")).instance


def live(row: WorkflowInstance) -> str:
    return reverse("admin:workflows_workflowinstance_live", args=[row.pk])


def page(row: WorkflowInstance) -> str:
    return reverse("admin:workflows_workflowinstance_change", args=[row.pk])


def offered(client: Client, row: WorkflowInstance) -> set[str]:
    """The operations that the buttons of the fragment lead to."""
    found = _BUTTONS.search(client.get(live(row)).content.decode())
    assert found
    return {
        operation.name
        for operation in INSTANCE_OPERATIONS
        if f'href="{reverse(f"admin:workflows_workflowinstance_{operation.name}_button", args=[row.pk])}"' in found[0]
    }


def buttons_version(client: Client, row: WorkflowInstance) -> str:
    """What the script compares before it exchanges the buttons."""
    found = re.search(
        r'id="live-buttons" data-live-elsewhere data-live-version="(\w+)"', client.get(live(row)).content.decode()
    )
    assert found
    return found[1]


def test_a_finished_run_offers_other_buttons_than_one_under_way(admin: Client, instance: WorkflowInstance) -> None:
    under_way = offered(admin, instance)
    WorkflowInstance.objects.filter(pk=instance.pk).update(status="stopped")

    assert {"stop", "start"} & under_way == {"stop"}
    assert {"stop", "start"} & offered(admin, instance) == {"start"}


@pytest.mark.parametrize("status", list(InstanceStatus))
def test_the_buttons_of_the_fragment_are_those_of_the_page(
    admin: Client, instance: WorkflowInstance, status: InstanceStatus
) -> None:
    WorkflowInstance.objects.filter(pk=instance.pk).update(status=status)

    shown = admin.get(page(instance)).content.decode()
    sent = _BUTTONS.search(admin.get(live(instance)).content.decode())

    assert sent
    assert sent[0].strip() in shown
    assert shown.count('id="live-buttons"') == 1
    assert "actionDropdown" not in shown  # unfold's own menu, which would stay as it is


def test_buttons_keep_their_version_while_they_offer_the_same(admin: Client, instance: WorkflowInstance) -> None:
    version, buttons = admin.get(live(instance))["ETag"], buttons_version(admin, instance)

    instance.node_set.update(status="running", message="it runs")
    moved = admin.get(live(instance), headers={"If-None-Match": version})
    same = buttons_version(admin, instance)
    WorkflowInstance.objects.filter(pk=instance.pk).update(status="succeeded")

    assert moved.status_code == 200
    assert same == buttons
    assert buttons_version(admin, instance) != buttons


def test_a_change_of_buttons_alone_is_sent(admin: Client, db: None) -> None:
    instance: Any = InstanceFactory(status="initialized", run_mode="persistent", is_active=True)
    version = admin.get(live(instance))["ETag"]

    WorkflowInstance.objects.filter(pk=instance.pk).update(is_active=False)

    answer = admin.get(live(instance), headers={"If-None-Match": version})
    assert answer.status_code == 200
    assert "activate" in offered(admin, instance)


def test_an_auditor_is_sent_what_he_may_do_and_no_more(viewer: Client, instance: WorkflowInstance) -> None:
    sent = viewer.get(live(instance)).content.decode()

    assert offered(viewer, instance) == set()
    assert "Dry run</a>" in sent
    assert "Copy</a>" not in sent


def test_a_menu_needs_neither_script_nor_mouse(admin: Client, instance: WorkflowInstance) -> None:
    sent = _BUTTONS.search(admin.get(live(instance)).content.decode())

    assert sent
    assert "<details data-menu>" in sent[0]
    assert 'id="live-menu-' in sent[0]
    assert not re.search(r"\son\w+=|x-on|<template|style=", sent[0])


def test_a_run_has_no_such_buttons(admin: Client, history: Any) -> None:
    for name in ("live", "change"):
        shown = admin.get(reverse(f"admin:workflows_run_{name}", args=[history.run_id])).content.decode()
        assert "live-buttons" not in shown


def test_the_buttons_cost_the_fragment_no_query(admin: Client, instance: WorkflowInstance, monkeypatch: Any) -> None:
    def asked() -> int:
        return queries(admin, live(instance))

    with_buttons = asked()
    monkeypatch.setattr(WorkflowInstanceAdmin, "live_buttons", LivePage.live_buttons)

    assert asked() == with_buttons
