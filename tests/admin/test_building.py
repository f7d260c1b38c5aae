"""Workflows are built with forms alone, as the API would have built them."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from secflow.http.roles import Role
from secflow.projects.models import ProjectMember
from templates_app.models import AppTemplate, JobTemplate
from tests.admin.building import INSTANCES, add_node_url, asking, build_url, node_url, send
from tests.admin.conftest import said, signed_in, staff, with_roles
from tests.admin.pages import form_of, problems_of
from tests.admin.test_templates import APPS, JOBS, app_form, job_form
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory, ProjectMemberFactory
from workflows.domain.statuses import InstanceStatus
from workflows.models import Event, WorkflowInstance, WorkflowNode
from workflows.services.preflight import prepare


def test_a_workflow_of_two_nodes_is_built_of_forms_alone(admin: Client) -> None:
    wanted = {"containers.n0.input_env_vars.n0.name": "TARGET"}
    admin.post(f"{APPS}add/", app_form())
    admin.post(f"{JOBS}add/", job_form(**wanted))
    web, crawler = AppTemplate.objects.get(), JobTemplate.objects.get()

    made = send(admin, f"{INSTANCES}add/", name="nightly scan", project_id="p1")
    instance = WorkflowInstance.objects.get()
    picked = admin.get(f"{INSTANCES}{instance.pk}/nodes/pick/").content.decode()
    send(admin, add_node_url(instance, web), name="site")
    site = WorkflowNode.objects.get()
    refused = send(admin, add_node_url(instance, crawler), name="crawl")
    source = {"input_env_vars.p0.name": "TARGET", "input_env_vars.p0.source_node_id": site.pk}
    saved = admin.post(add_node_url(instance, crawler), form_of(refused) | source)
    page = admin.get(build_url(instance)).content.decode()

    assert (made.status_code, made["Location"]) == (302, build_url(instance))
    assert add_node_url(instance, web).replace(":", "%3A", 1) in picked
    assert problems_of(refused) == {
        "env_vars.p0": "variable TARGET has no value: give it in env_vars, or name its source in input_env_vars "
        "(container main)"
    }
    assert (saved.status_code, saved["Location"]) == (302, build_url(instance))
    crawl = WorkflowNode.objects.get(name="crawl")
    instance.refresh_from_db()
    assert [(edge["source"], edge["target"]) for edge in instance.edges] == [(site.pk, crawl.pk)]
    assert crawl.input_env_vars == [{"name": "TARGET", "source_node_id": site.pk, "default_value": None}]
    assert (crawl.position["x"] > site.position["x"], crawl.env_vars) == (True, [])
    assert "Ready to run." in page
    assert f'id="node-{crawl.pk}"' in page
    assert set(prepare(instance).specs) == {site.pk, crawl.pk}
    kinds = Event.objects.filter(instance_id=instance.pk).order_by("sequence").values_list("kind", flat=True)
    assert list(kinds) == ["instance.created", "node.created", "node.created", "edges.changed"]


def test_the_page_says_what_keeps_a_workflow_from_running(admin: Client) -> None:
    node = NodeFactory(name="crawl", template_id=JobTemplateFactory(containers=asking("TARGET")).pk)

    page = admin.get(build_url(node.instance)).content.decode()

    assert "Not ready to run" in page
    assert "variable TARGET has no value" in page
    assert f'href="{node_url(node)}"' in page


def test_settings_are_edited(admin: Client) -> None:
    instance = InstanceFactory(run_mode="persistent", trigger_type="http", name="before")

    saved = send(admin, build_url(instance), name="after", trigger_enabled="on")

    instance.refresh_from_db()
    assert saved.status_code == 302
    assert (instance.name, instance.trigger_enabled, instance.is_active) == ("after", True, True)


@pytest.mark.parametrize("field", ["name", "project_id", "run_mode"])
def test_a_new_workflow_is_checked_as_the_api_does(admin: Client, field: str) -> None:
    form = {"name": "scan", "project_id": "p1", "run_mode": "once", "trigger_type": "manual"} | {field: "Not It" * 40}

    refused = admin.post(f"{INSTANCES}add/", form)

    assert set(problems_of(refused)) == {field}
    assert not WorkflowInstance.objects.exists()


@pytest.mark.parametrize("status", sorted(set(InstanceStatus) - {InstanceStatus.PENDING}))
def test_other_states_refuse_with_the_apis_own_sentence(admin: Client, status: str) -> None:
    node = NodeFactory(instance=InstanceFactory(status=status))
    edge = {"source": node.pk, "target": node.pk, "shared_pvc": ""}

    page = admin.get(build_url(node.instance)).content.decode()
    shown = admin.get(node_url(node))
    changed = admin.post(node_url(node), form_of(shown) | {"name": "x", "runs_after": ""})
    added = admin.post(f"{INSTANCES}{node.instance_id}/edges/add/", edge)
    deleted = admin.post(f"{INSTANCES}{node.instance_id}/nodes/{node.pk}/delete/", follow=True)

    sentence = f"is {status}, which does not allow to edit graph"
    assert sentence in page
    assert "Ready to run." not in page
    assert 'name="_save"' not in shown.content.decode()
    assert sentence in changed.content.decode()
    assert sentence in added.content.decode()
    assert sentence in said(deleted)[0]
    assert WorkflowNode.objects.get().name == node.name


def test_forms_that_somebody_overtook_are_refused_with_the_fresh_values(admin: Client) -> None:
    node = NodeFactory(name="before")
    NodeFactory(instance=node.instance, name="other")
    mine_node, mine_settings = form_of(admin.get(node_url(node))), form_of(admin.get(build_url(node.instance)), "name")
    send(admin, node_url(node), name="theirs")
    admin.post(build_url(node.instance), mine_settings | {"name": "theirs"})

    node_refused = admin.post(node_url(node), mine_node | {"name": "mine"})
    settings_refused = admin.post(build_url(node.instance), mine_settings | {"name": "mine"})

    for refused in (node_refused, settings_refused):
        assert "somebody else changed this" in refused.content.decode()
        assert form_of(refused, "name")["name"] == "theirs"
    node.refresh_from_db()
    assert (node.name, node.instance.name) == ("theirs", "theirs")


def test_an_overtaken_form_is_closed_where_the_workflow_may_not_be_edited_any_more(admin: Client) -> None:
    node = NodeFactory(name="before")
    mine = form_of(admin.get(node_url(node)))
    WorkflowNode.objects.update(name="theirs")
    WorkflowInstance.objects.update(status="running")

    page = admin.post(node_url(node), mine | {"name": "mine"}).content.decode()

    assert "somebody else changed this" in page
    assert 'value="theirs"' in page
    assert 'name="_save"' not in page


@pytest.mark.parametrize(("project", "is_offered"), [("p1", True), ("p2", False)])
def test_editing_is_offered_where_it_is_allowed(db: None, project: str, is_offered: bool) -> None:
    ProjectMemberFactory(project_id="p1", user_id="0")
    node = NodeFactory(
        template_id=JobTemplateFactory(containers=asking("TARGET"), created_by="0").pk,
        instance=InstanceFactory(project_id="p1", created_by="0"),
    )
    client = signed_in(with_roles("oleg", Role.OPERATOR, Role.MEMBER, projects=[project]))
    pages = {
        f"{INSTANCES}{node.instance_id}/change/": f"{INSTANCES}{node.instance_id}/edit/",
        f"{INSTANCES}{node.instance_id}/dry-run/": build_url(node.instance),
        f"/admin/workflows/workflownode/{node.pk}/change/": node_url(node),
    }

    for page, edit in pages.items():
        shown = client.get(page)
        assert shown.status_code == 200
        assert (f'href="{edit}"' in shown.content.decode()) is is_offered, page
    dry_run = client.get(f"{INSTANCES}{node.instance_id}/dry-run/").content.decode()
    assert "variable TARGET has no value" in dry_run
    assert (f'href="{node_url(node)}"' in dry_run) is is_offered
    assert client.get(build_url(node.instance)).status_code == (200 if is_offered else 403)


def test_building_takes_the_right_and_the_access_of_the_api(viewer: Client) -> None:
    mine, foreign = staff("builder", "add_workflowinstance", "change_workflowinstance", "view_workflowinstance"), None
    ProjectMember.objects.create(project_id="p1", user_id=str(mine.pk))
    foreign = InstanceFactory(project_id="p2")
    node = NodeFactory(instance=InstanceFactory(project_id="p1"))
    theirs = JobTemplateFactory(project_id="p2", name="theirs")
    client = signed_in(mine)
    pages = ("build/", "nodes/pick/", f"nodes/{node.pk}/edit/", "edges/add/")

    assert [viewer.get(f"{INSTANCES}{node.instance_id}/{page}").status_code for page in pages] == [403] * 4
    assert viewer.get(f"{INSTANCES}add/").status_code == 403
    assert [client.get(f"{INSTANCES}{node.instance_id}/{page}").status_code for page in pages] == [200] * 4
    assert [client.get(f"{INSTANCES}{foreign.pk}/{page}").status_code in (403, 404) for page in pages] == [True] * 4
    assert client.get(f"{INSTANCES}{node.instance_id}/nodes/wf-node-x-12345678/edit/").status_code == 404
    assert client.get(add_node_url(node.instance, theirs)).status_code == 403
    assert "theirs" not in client.get(f"{INSTANCES}{node.instance_id}/nodes/pick/").content.decode()
    refused = send(client, f"{INSTANCES}add/", name="x", project_id="p2")
    assert refused.status_code == 302 or "only members of project p2" in refused.content.decode()


def test_a_form_proposes_only_projects_of_the_user(db: None) -> None:
    user = staff("member", "add_workflowinstance")
    ProjectMember.objects.create(project_id="mine", user_id=str(user.pk))
    ProjectMember.objects.create(project_id="foreign", user_id="0")

    page = signed_in(user).get(f"{INSTANCES}add/")

    assert 'value="foreign"' not in page.content.decode()
    assert form_of(page)["project_id"] == "mine"


def test_pages_cost_the_same_number_of_queries_for_any_size(admin: Client) -> None:
    small = NodeFactory().instance
    template = JobTemplateFactory()
    large = InstanceFactory()
    nodes = [NodeFactory(instance=large, template_id=template.pk) for _ in range(30)]
    large.edges = [
        {"edge_id": str(at), "source": nodes[at].pk, "target": nodes[at + 1].pk, "shared_pvc": None} for at in range(29)
    ]
    large.save()

    def cost(url: str) -> int:
        admin.get(url)
        with CaptureQueriesContext(connection) as seen:
            assert admin.get(url).status_code == 200
        return len(seen)

    assert cost(build_url(large)) == cost(build_url(small))
    assert cost(node_url(nodes[15])) == cost(node_url(small.node_set.get()))
    assert cost(f"{INSTANCES}{large.pk}/nodes/pick/") == cost(f"{INSTANCES}{small.pk}/nodes/pick/")


def test_hostile_names_stay_harmless(admin: Client) -> None:
    hostile = '<img src=x onerror="alert(1)">\u202e' + "x" * 97
    node = NodeFactory(name=hostile, instance=InstanceFactory(name=hostile))
    other = NodeFactory(instance=node.instance, name=hostile)
    node.instance.edges = [{"edge_id": "<b>&?#/", "source": other.pk, "target": node.pk, "shared_pvc": "<i>"}]
    node.instance.save()
    urls = [build_url(node.instance), node_url(node), f"{INSTANCES}{node.instance_id}/nodes/pick/"]

    pages = [admin.get(url).content.decode() for url in urls]
    edit = admin.get(f"{INSTANCES}{node.instance_id}/edges/edit/", {"edge": "<b>&?#/"})

    assert all("<img src=x" not in page for page in pages)
    assert "edge=%3Cb%3E%26%3F%23%2F" in pages[0]
    assert edit.status_code == 200
