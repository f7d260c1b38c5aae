"""Every change is in the journal with who made it: of workflows and of templates, by the console and by the API."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from secflow.http.tokens import token_pair
from templates_app.models import JobTemplate
from tests.admin.conftest import signed_in
from tests.admin.pages import form_of
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory, UserFactory, container
from workflows.models import Event

TEMPLATES = "/admin/templates_app/jobtemplate/"
BODY = {"name": "crawler", "project_id": "p1", "containers": [{"name": "main", "image": "busybox:1.36"}]}


def call(user: Any, method: str, path: str, body: Any = None) -> int:
    """The API's status for this user."""
    client = Client(headers={"Authorization": f"Bearer {token_pair(user)['access']}"})
    data = b"" if body is None else json.dumps(body).encode()
    return client.generic(method, f"/api/workflow{path}", data, content_type="application/json").status_code


def journal(id: str) -> list[tuple[int, str, str]]:
    """What is written about an instance or template, in order."""
    return list(Event.objects.filter(instance_id=id).order_by("sequence").values_list("sequence", "kind", "actor"))


@pytest.fixture
def root(db: None) -> Any:
    return UserFactory(username="root", is_staff=True, is_superuser=True)


def test_changes_of_a_template_by_the_api_are_in_the_journal(root: Any) -> None:
    me = str(root.pk)

    assert call(root, "POST", "/job-templates", BODY) == 201
    id = JobTemplate.objects.get().pk
    assert call(root, "PUT", f"/job-templates/{id}", {"name": "crawler", "description": "new"}) == 200
    assert call(root, "PUT", f"/job-templates/{id}", {"name": "crawler"}) == 200  # nothing is changed by it
    assert call(root, "DELETE", f"/job-templates/{id}") == 200

    kinds = ["template.created", "template.updated", "template.deleted"]
    assert journal(id) == [(number, kind, me) for number, kind in enumerate(kinds, start=1)]
    facts = Event.objects.filter(instance_id=id).order_by("sequence")
    assert [fact.project_id for fact in facts] == ["p1"] * 3
    assert [fact.message for fact in facts] == ["crawler"] * 3
    assert facts[1].data == {"node_type": "job", "scope": "project", "fields": ["description"]}


def test_changes_of_a_template_by_the_console_are_in_the_journal(root: Any) -> None:
    client = signed_in(root)
    template = JobTemplateFactory(containers=[container()])
    page = f"{TEMPLATES}{template.pk}/change/"

    client.post(page, form_of(client.get(page)) | {"name": "changed"})
    client.post(f"{TEMPLATES}{template.pk}/delete/")

    assert [kind for _, kind, actor in journal(template.pk) if actor == str(root.pk)] == [
        "template.updated",
        "template.deleted",
    ]
    shown = client.get("/admin/workflows/event/").content.decode()
    assert "template.deleted" in shown
    for fact in Event.objects.all():
        assert client.get(f"/admin/workflows/event/{fact.pk}/change/").status_code == 200


def test_what_is_refused_is_not_in_the_journal(root: Any) -> None:
    used = NodeFactory().template_id
    stranger = UserFactory()

    assert call(root, "DELETE", f"/job-templates/{used}") == 409
    assert call(stranger, "PUT", f"/job-templates/{used}", {"name": "x"}) == 403
    assert call(root, "POST", "/job-templates", {"name": "x"}) == 400

    assert not Event.objects.exists()


def test_facts_of_global_templates_are_of_no_project(root: Any) -> None:
    assert call(root, "POST", "/job-templates", BODY | {"scope": "global", "project_id": None}) == 201

    assert Event.objects.get().project_id == ""


@pytest.mark.parametrize(
    ("verb", "kinds"),
    [
        ("deactivate", ["instance.deactivated"]),
        ("activate", ["instance.activated"]),
        ("stop", ["instance.stopped"]),
        ("uninitialize", ["instance.uninitialized"]),
        ("delete", ["instance.deleted"]),
    ],
)
def test_verbs_of_the_console_are_in_the_journal_under_the_users_id(
    root: Any, settings: Any, verb: str, kinds: list[str]
) -> None:
    settings.SECFLOW = replace(settings.SECFLOW, wait_seconds=0.0)
    instance = InstanceFactory(status="initialized", run_mode="persistent", is_active=verb != "activate")

    signed_in(root).post(f"/admin/workflows/workflowinstance/{instance.pk}/{verb}/")

    assert [kind for _, kind, _ in journal(instance.pk)] == kinds
    assert {actor for _, _, actor in journal(instance.pk)} == {str(root.pk)}
