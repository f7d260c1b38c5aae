"""Addresses that somebody guesses: with ids of other people's rows every page of the console says no, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.urls.resolvers import RoutePattern

from secflow.http.roles import Role
from templates_app.models import AppTemplate, JobTemplate
from tests.admin.conftest import make_history, signed_in, with_roles
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, ProjectMemberFactory
from workflows.models import Cleanup, Event, NodeLog, NodeRun, Run, WorkflowInstance, WorkflowNode

MODELS = (WorkflowInstance, WorkflowNode, Run, NodeRun, NodeLog, Event, Cleanup, AppTemplate, JobTemplate)


@pytest.fixture
def foreign(db: None) -> dict[str, Any]:
    """A row of each kind in p2, by the names that addresses have for them."""
    record = make_history(InstanceFactory(project_id="p2", name="theirs", status="failed", created_by="0"))
    edge = {"edge_id": "edge-1", "source": record.node_id, "target": record.node_id, "shared_pvc": None}
    WorkflowInstance.objects.filter(pk=record.instance_id).update(edges=[edge])
    AppTemplateFactory(project_id="p2", created_by="0")
    JobTemplateFactory(project_id="p2", created_by="0")
    JobTemplate.objects.update(created_by="0")
    ProjectMemberFactory(project_id="p2", user_id="0")
    return {model._meta.model_name or "": model._default_manager.order_by("pk").first() for model in MODELS}


def addresses(foreign: dict[str, Any]) -> list[str]:
    """Every address below /admin that names a row of these models, with the foreign ids in it."""
    found = []
    for app, prefix in _apps():
        for pattern in _patterns(app.url_patterns):
            names = set(pattern.pattern.converters)
            model = prefix.split("/")[1]
            if not names or model not in foreign:
                continue
            values = {name: _value(name, model, foreign) for name in names}
            found.append("/admin/" + prefix + _filled(pattern, values))
    return found


def _apps() -> list[tuple[URLResolver, str]]:
    return [
        (item, str(item.pattern))
        for item in django_admin.site.get_urls()
        if isinstance(item, URLResolver) and str(item.pattern).count("/") == 2
    ]


def _patterns(items: list[Any]) -> list[URLPattern]:
    return [item for item in items if isinstance(item, URLPattern) and isinstance(item.pattern, RoutePattern)]


def _value(name: str, model: str, foreign: dict[str, Any]) -> str:
    if "node" in name:
        return str(foreign["workflownode"].pk)
    if "template" in name or name in ("kind", "word"):
        return str(foreign["jobtemplate"].pk) if "template" in name else "job"
    return "1" if name in ("bulk_id", "filter_id", "pk") else str(foreign[model].pk)


def _filled(pattern: URLPattern, values: dict[str, str]) -> str:
    text = str(pattern.pattern)
    for name, value in values.items():
        for word in ("path", "str", "int", "slug", "uuid"):
            text = text.replace(f"<{word}:{name}>", value)
    return text.replace("\\Z", "")


def everything() -> dict[Any, list[Any]]:
    """All rows of all kinds, to see whether something changed."""
    return {model: list(model._default_manager.order_by("pk").values()) for model in MODELS}


def test_the_walk_finds_the_pages(foreign: dict[str, Any]) -> None:
    found = addresses(foreign)
    instance = foreign["workflowinstance"].pk

    for end in ("change/", "history/", "start/", "delete/", "build/"):
        assert f"/admin/workflows/workflowinstance/{instance}/{end}" in found
    assert f"/admin/workflows/workflownode/{foreign['workflownode'].pk}/logs/" in found
    assert not any("<" in address for address in found), found


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_member_of_another_project_gets_nothing(foreign: dict[str, Any], method: str) -> None:
    client = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"]))
    before = everything()

    answers = {address: getattr(client, method)(address).status_code for address in addresses(foreign)}

    # 302: an address without its last part, which Django leads to the page that then says no; 405: only reads, or only writes.
    assert {address: code for address, code in answers.items() if code not in (302, 403, 404, 405)} == {}
    for address in [address for address, code in answers.items() if code == 302]:
        assert client.get(address, follow=True).status_code in (403, 404), address
    assert everything() == before


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.OPERATOR])
def test_auditors_and_operators_edit_nothing_by_any_address(foreign: dict[str, Any], role: Role) -> None:
    client = signed_in(with_roles("somebody", role))
    instance, node = foreign["workflowinstance"].pk, foreign["workflownode"].pk
    WorkflowInstance.objects.filter(pk=instance).update(status="pending")
    Cleanup.objects.all().delete()
    before = everything()
    verbs = {"initialize", "force-initialize", "start", "stop", "uninitialize", "trigger", "sync", "force-delete-pods"}
    form = {"name": "changed", "description": "changed", "node": node, "edge_id": "edge-1", "_save": "1", "post": "yes"}

    for address in addresses(foreign):
        if role is Role.OPERATOR and address.rstrip("/").rpartition("/")[2] in verbs | {"activate", "deactivate"}:
            continue
        client.post(address, form)
        client.post(f"{address}?edge=edge-1", form)

    assert everything() == before


def test_the_feed_shows_only_own_projects(foreign: dict[str, Any], db: None) -> None:
    client = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"]))
    address = reverse("console-events")
    theirs = foreign["workflowinstance"].pk

    for query in ("after=0", f"after=0&instance_id={theirs}", "after=0&project_id=p2"):
        assert client.get(f"{address}?{query}").json()["items"] == [], query


@pytest.mark.parametrize("query", ["q=theirs", "project_id__icontains=p2", "created_by=0", "project_id=p2"])
def test_lists_find_nothing_of_others(foreign: dict[str, Any], query: str) -> None:
    client = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"]))

    answer = client.get(f"/admin/workflows/workflowinstance/?{query}", follow=True)

    assert answer.status_code == 200
    assert foreign["workflowinstance"].pk not in answer.content.decode()


def test_a_selection_across_all_pages_reaches_only_what_is_shown(foreign: dict[str, Any]) -> None:
    client = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"]))
    ours = InstanceFactory(project_id="p1", created_by="0", status="initialized", run_mode="persistent")
    WorkflowInstance.objects.filter(project_id="p2").update(status="initialized", run_mode="persistent")
    form = {
        "action": "deactivate",
        "index": "0",
        "select_across": "1",
        "confirmed": "yes",
        "_selected_action": [ours.pk, foreign["workflowinstance"].pk],
    }

    client.post("/admin/workflows/workflowinstance/", form, follow=True)

    assert WorkflowInstance.objects.get(project_id="p2").is_active


def test_without_a_session_nothing_opens(foreign: dict[str, Any]) -> None:
    for address in addresses(foreign):
        answer = Client().get(address)
        assert answer.status_code in (302, 405), address
        if answer.status_code == 302:
            assert "/admin/login/" in answer["Location"] or answer["Location"].endswith("/change/"), address
