"""Template forms: the rules of the API, written by its services."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from templates_app.models import AppTemplate, JobTemplate
from tests.admin.conftest import said, signed_in, staff
from tests.factories import AppTemplateFactory, JobTemplateFactory, NodeFactory, container

APPS = "/admin/templates_app/apptemplate/"
JOBS = "/admin/templates_app/jobtemplate/"


def job_form(**changes: Any) -> dict[str, Any]:
    """The fields of a job template's form."""
    return {
        "name": "crawler",
        "description": "",
        "scope": "project",
        "project_id": "p1",
        "containers": json.dumps([{"name": "main", "image": "busybox:1.36"}]),
        "backoff_limit": "3",
        "ttl_seconds_after_finished": "",
    } | changes


def app_form(**changes: Any) -> dict[str, Any]:
    """The fields of an app template's form."""
    ports = [{"name": "http", "port": 80, "target_port": 8080}]
    return {
        "name": "web",
        "description": "",
        "scope": "project",
        "project_id": "p1",
        "containers": json.dumps([{"name": "main", "image": "nginx:1.29"}]),
        "replicas": "1",
        "create_service": "on",
        "service_name": "",
        "service_type": "ClusterIP",
        "service_ports": json.dumps(ports),
    } | changes


def errors(response: Any) -> dict[str, list[str]]:
    """What the form refuses, by field."""
    found = response.context["adminform"].form.errors.get_json_data()
    return {field: [item["message"] for item in items] for field, items in found.items()}


def test_a_template_is_made_as_the_api_makes_it(admin: Client) -> None:
    answer = admin.post(f"{APPS}add/", app_form(), follow=True)

    template = AppTemplate.objects.get()
    assert answer.status_code == 200
    assert template.pk.startswith("wf-tmpl-web-")
    assert template.created_by == admin.session["_auth_user_id"]
    assert template.containers[0]["image_pull_policy"] == "IfNotPresent"
    assert template.service_ports == [{"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}]
    assert template.service_name is None


def test_an_empty_number_is_not_a_default(admin: Client) -> None:
    admin.post(f"{JOBS}add/", job_form())

    assert JobTemplate.objects.get().ttl_seconds_after_finished is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"containers": "[]"}, "containers"),
        ({"containers": "{"}, "containers"),
        ({"containers": '{"name": "main"}'}, "containers"),
        ({"containers": '[{"name": "main"}]'}, "containers"),
        ({"containers": '[{"name": "main", "image": "a", "env_vars": [{"name": "1 2", "value": "x"}]}]'}, "containers"),
        ({"project_id": ""}, "__all__"),
        ({"replicas": "1000"}, "replicas"),
        ({"replicas": "0"}, "replicas"),
        ({"service_name": "Not A Label"}, "service_name"),
        ({"service_ports": '[{"name": "http", "port": 0, "target_port": 1}]'}, "service_ports"),
        ({"name": ""}, "name"),
        ({"containers": '[{"name": "main", "image": "a", "privileged": true}]'}, "__all__"),
    ],
)
def test_what_the_api_refuses_is_refused_beside_the_field(admin: Client, changes: dict[str, str], field: str) -> None:
    made = admin.post(f"{APPS}add/", app_form(**changes))
    existing = AppTemplateFactory(replicas=1)
    before = AppTemplate.objects.values().get(pk=existing.pk)
    changed = admin.post(f"{APPS}{existing.pk}/change/", app_form(**changes))

    assert (made.status_code, changed.status_code) == (200, 200)
    assert (set(errors(made)), set(errors(changed))) == ({field}, {field})
    assert AppTemplate.objects.values().get() == before


def test_a_wrong_place_inside_a_container_is_named(admin: Client) -> None:
    made = admin.post(f"{JOBS}add/", job_form(containers='[{"name": "main"}]'))

    assert errors(made) == {"containers": ["0.image: is required"]}


def test_a_change_writes_only_what_was_changed(admin: Client) -> None:
    template = JobTemplateFactory(name="before", containers=[container()])
    updated = template.updated_at

    admin.post(
        f"{JOBS}{template.pk}/change/",
        job_form(name="after", containers=json.dumps(template.containers), ttl_seconds_after_finished="3600"),
    )

    changed = JobTemplate.objects.get()
    assert (changed.pk, changed.name, changed.containers) == (template.pk, "after", template.containers)
    assert changed.updated_at > updated


def test_a_template_in_use_is_kept_with_the_services_sentence(admin: Client) -> None:
    node = NodeFactory()
    address = f"{JOBS}{node.template_id}/delete/"

    asked = admin.get(address)
    refused = admin.post(address, follow=True)

    assert asked.status_code == 200
    assert len(said(refused)) == 1
    assert "is used by 1 instance; remove its nodes there first" in said(refused)[0]
    assert JobTemplate.objects.filter(pk=node.template_id).exists()


@pytest.mark.parametrize("by", ["list", "button"])
def test_an_unused_template_is_deleted(admin: Client, by: str) -> None:
    template = JobTemplateFactory(name="old")

    if by == "button":
        shown = admin.post(f"{JOBS}{template.pk}/delete/", follow=True)
    else:
        data = {"action": "delete", "confirmed": "yes", "_selected_action": [template.pk]}
        shown = admin.post(JOBS, data, follow=True)

    assert said(shown) == ["old: deleted."]
    assert not JobTemplate.objects.exists()


def test_staff_who_are_no_administrators_are_bound_by_the_services_rules(db: None) -> None:
    client = signed_in(staff("operator", "add_jobtemplate", "change_jobtemplate", "delete_jobtemplate"))
    foreign = JobTemplateFactory(created_by="0", name="foreign")

    made = client.post(f"{JOBS}add/", job_form(scope="global"))
    changed = client.post(f"{JOBS}{foreign.pk}/change/", job_form())
    deleted = client.post(f"{JOBS}{foreign.pk}/delete/", follow=True)

    assert "only administrators may make a template global" in errors(made)["__all__"][0]
    assert "can be changed only by its creator" in errors(changed)["__all__"][0]
    assert "can be changed only by its creator" in said(deleted)[0]
    assert list(JobTemplate.objects.values_list("name", flat=True)) == ["foreign"]


def test_who_may_only_view_has_no_form(viewer: Client) -> None:
    template = AppTemplateFactory(name="web", containers=[container(image="nginx:<b>1</b>")])
    before = AppTemplate.objects.values().get()

    page = viewer.get(f"{APPS}{template.pk}/change/")
    sent = viewer.post(f"{APPS}{template.pk}/change/", app_form(name="changed"))
    deleted = viewer.post(f"{APPS}{template.pk}/delete/")

    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert "nginx:<b>" not in page.content.decode()
    assert (sent.status_code, deleted.status_code) == (403, 403)
    assert AppTemplate.objects.values().get() == before
