"""Workflows and templates are copied by a button."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from secflow.http.roles import Role
from templates_app.models import JobTemplate
from tests.admin.conftest import said, signed_in, with_roles
from tests.admin.pages import form_of, problems_of
from tests.admin.test_pages import queries
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory, ProjectMemberFactory
from workflows.models import WorkflowInstance

LISTS = {
    "workflows_workflowinstance": InstanceFactory,
    "templates_app_apptemplate": AppTemplateFactory,
    "templates_app_jobtemplate": JobTemplateFactory,
}


def test_a_workflow_is_copied(admin: Client) -> None:
    node = NodeFactory(name="crawl", instance=InstanceFactory(name="scan"))
    other = NodeFactory(instance=node.instance, name="report")
    node.instance.edges = [{"edge_id": "e", "source": node.pk, "target": other.pk, "shared_pvc": None}]
    node.instance.save()
    url = reverse("admin:workflows_workflowinstance_copy_button", args=[node.instance_id])

    proposed = form_of(admin.get(url))["name"]
    nameless = admin.post(url, {"name": ""})
    copied = admin.post(url, {"name": "scan 2"}, follow=True)

    made = WorkflowInstance.objects.get(name="scan 2")
    assert proposed == "scan (copy)"
    assert problems_of(nameless) == {"name": "must not be empty"}
    assert said(copied) == ["scan 2 was made."]
    assert sorted(made.node_set.values_list("name", flat=True)) == ["crawl", "report"]
    assert len(made.edges) == 1
    assert made.edges[0]["source"] != node.pk


@pytest.mark.parametrize("page", ["apptemplate", "jobtemplate"])
def test_a_template_is_copied(admin: Client, viewer: Client, page: str) -> None:
    row = (AppTemplateFactory if page == "apptemplate" else JobTemplateFactory)(name="web")
    url = reverse(f"admin:templates_app_{page}_copy_button", args=[row.pk])

    refused = viewer.post(url, {"name": "mine"})
    copied = admin.post(url, form_of(admin.get(url)), follow=True)

    rows = type(row).objects.order_by("created_at")
    assert refused.status_code == 403
    assert said(copied) == ["web (copy) was made."]
    assert [made.name for made in rows] == ["web", "web (copy)"]
    assert rows[0].containers == rows[1].containers


@pytest.mark.parametrize("page", ["apptemplate", "jobtemplate"])
def test_a_member_takes_a_copy_of_a_global_template_into_a_project(db: None, page: str) -> None:
    row = (AppTemplateFactory if page == "apptemplate" else JobTemplateFactory)(
        name="web", scope="global", project_id=None, created_by="0"
    )
    client = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"]))
    ProjectMemberFactory(project_id="p2", user_id="0")
    url = reverse(f"admin:templates_app_{page}_copy_button", args=[row.pk])

    proposed = form_of(client.get(url))
    nowhere = client.post(url, proposed | {"project_id": ""})
    foreign = client.post(url, proposed | {"project_id": "p2"})
    copied = client.post(url, proposed, follow=True)

    assert proposed["project_id"] == "p1"
    assert set(problems_of(nowhere)) == {"project_id"}
    assert foreign.content.decode().count("only members of project p2 may create in it") == 1
    assert 'data-error-of=""' not in foreign.content.decode()  # where a script would say it once more
    assert said(copied) == ["web (copy) was made."]
    made = type(row).objects.get(name="web (copy)")
    assert (made.scope, made.project_id, made.containers) == ("project", "p1", row.containers)


def test_an_administrators_copy_of_a_global_template_is_global(admin: Client) -> None:
    row = JobTemplateFactory(name="web", scope="global", project_id=None)
    url = reverse("admin:templates_app_jobtemplate_copy_button", args=[row.pk])

    proposed = form_of(admin.get(url))
    admin.post(url, proposed)

    assert "project_id" not in proposed
    assert JobTemplate.objects.get(name="web (copy)").scope == "global"


@pytest.mark.parametrize("page", LISTS)
def test_every_row_of_a_list_can_be_copied(admin: Client, page: str) -> None:
    rows = [LISTS[page](name=name) for name in ('first "one"', "second")]
    urls = [reverse(f"admin:{page}_copy_button", args=[row.pk]) for row in rows]

    shown = admin.get(reverse(f"admin:{page}_changelist")).content.decode()

    assert f'href="{urls[0]}" aria-label="Copy first &quot;one&quot;"' in shown
    assert f'href="{urls[1]}" aria-label="Copy second"' in shown
    assert form_of(admin.get(urls[1]))["name"] == "second (copy)"


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("page", LISTS)
def test_a_row_offers_a_copy_to_those_to_whom_its_page_does(db: None, page: str, role: Role) -> None:
    client = signed_in(with_roles("somebody", role, projects=["p1"]))
    row = LISTS[page](name="shared", project_id="p1")
    url = reverse(f"admin:{page}_copy_button", args=[row.pk])

    listed = client.get(reverse(f"admin:{page}_changelist")).content.decode()
    shown = client.get(reverse(f"admin:{page}_change", args=[row.pk])).content.decode()

    may_copy = role in (Role.ADMINISTRATOR, Role.MEMBER)
    assert "shared" in listed
    assert (url in listed, url in shown, client.get(url).status_code == 200) == (may_copy,) * 3


@pytest.mark.parametrize("page", LISTS)
def test_a_list_with_copies_takes_as_many_queries_for_any_size(admin: Client, page: str) -> None:
    address = reverse(f"admin:{page}_changelist")

    LISTS[page].create_batch(2)
    few = queries(admin, address)
    LISTS[page].create_batch(20)

    assert admin.get(address).content.decode().count('aria-label="Copy ') == 22
    assert queries(admin, address) == few
