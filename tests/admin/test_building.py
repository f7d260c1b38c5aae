"""Workflows are built with forms alone, as the API would have built them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from secflow.projects.models import ProjectMember
from templates_app.models import AppTemplate, JobTemplate
from tests.admin.conftest import said, signed_in, staff
from tests.admin.pages import form_of, problems_of
from tests.admin.test_templates import APPS, JOBS, app_form, job_form
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory, container
from workflows.domain.statuses import InstanceStatus
from workflows.models import Event, WorkflowInstance, WorkflowNode
from workflows.services.preflight import prepare

INSTANCES = "/admin/workflows/workflowinstance/"


def build_url(instance: WorkflowInstance) -> str:
    return f"{INSTANCES}{instance.pk}/build/"


def add_node_url(instance: WorkflowInstance, template: Any) -> str:
    kind = "app" if isinstance(template, AppTemplate) else "job"
    return f"{INSTANCES}{instance.pk}/nodes/add/?template={kind}:{template.pk}"


def node_url(node: WorkflowNode) -> str:
    return f"{INSTANCES}{node.instance_id}/nodes/{node.pk}/edit/"


def asking(*names: str, **changes: Any) -> list[dict[str, Any]]:
    """Containers that want variables from their node."""
    wanted = [{"name": name, "default_value": None} for name in names]
    return [container(input_env_vars=wanted, **changes)]


def send(client: Client, url: str, **changes: str) -> Any:
    """Opens the form, types into it and saves it."""
    return client.post(url, form_of(client.get(url)) | changes)


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
    assert saved.status_code == 302
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


def test_a_node_saved_untouched_changes_nothing(admin: Client) -> None:
    template = AppTemplateFactory(containers=asking("TARGET"), service_ports=[])
    node = NodeFactory(
        node_type="app",
        template_id=template.pk,
        env_vars=[{"name": "TARGET", "value": ""}, {"name": "B", "value": "two\r\nlines\x0b"}],
        volume_mounts=[{"pvc_name": "c", "mount_path": "/x", "sub_path": None}],
        resources={"requests": {"cpu": "1", "example.com/gpu": "2"}, "limits": None},
        create_service=False,
        service_ports=[],
        create_ingress=False,
        timeout_seconds=7,
    )
    parent = NodeFactory(instance=node.instance)
    other = NodeFactory(instance=node.instance)
    node.instance.edges = [{"edge_id": "e", "source": parent.pk, "target": node.pk, "shared_pvc": "c"}]
    node.instance.save()
    before = list(WorkflowNode.objects.order_by("pk").values())

    saved = send(admin, node_url(node))

    instance = WorkflowInstance.objects.get()
    assert saved.status_code == 302
    assert list(WorkflowNode.objects.order_by("pk").values()) == before
    assert (instance.edges, instance.version) == (node.instance.edges, node.instance.version)
    assert other.pk in admin.get(node_url(node)).content.decode()


def test_a_node_is_edited_with_its_service_and_what_it_runs_after(admin: Client) -> None:
    instance = InstanceFactory()
    first, second = NodeFactory(instance=instance, name="a"), NodeFactory(instance=instance, name="b")
    node = NodeFactory(instance=instance, node_type="app", name="web")
    send(admin, node_url(node), **{f"runs_after.{first.pk}": "on"})

    form = form_of(admin.get(node_url(node)))
    del form[f"runs_after.{first.pk}"]
    changes = {
        "name": "web 2",
        f"runs_after.{second.pk}": "on",
        "env_vars.n0.name": "MODE",
        "env_vars.n0.value": "quick",
        "create_service": "yes",
        "service_name": "web",
        "service_ports.mode": "own",
        "service_ports.rows.n0.name": "http",
        "service_ports.rows.n0.port": "80",
        "service_ports.rows.n0.target_port": "8080",
        "timeout_seconds": "60",
        "resources.limits.memory": "64Mi",
    }
    saved = admin.post(node_url(node), form | changes)

    node.refresh_from_db()
    instance.refresh_from_db()
    assert saved.status_code == 302
    assert (node.name, node.requested_service_name, node.timeout_seconds) == ("web 2", "web", 60)
    assert node.service_ports == [{"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}]
    assert node.resources == {"requests": None, "limits": {"memory": "64Mi"}}
    assert node.depends_on == [second.pk]
    assert [edge["source"] for edge in instance.edges] == [second.pk]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"timeout_seconds": "0"}, "timeout_seconds"),
        ({"env_vars.n0.name": "1 2"}, "env_vars.n0.name"),
        ({"volume_mounts.n0.pvc_name": "c", "volume_mounts.n0.mount_path": "data"}, "volume_mounts.n0.mount_path"),
        ({"input_env_vars.n0.name": "A"}, "input_env_vars.n0.source_node_id"),
        ({"resources.requests.cpu": "much"}, "resources.requests.cpu"),
        ({"service_name": "Not A Label"}, "service_name"),
        ({"service_ports.mode": "own", "service_ports.rows.n0.name": "http", "service_ports.rows.n0.port": "0",
          "service_ports.rows.n0.target_port": "1"}, "service_ports.rows.n0.port"),
        ({"create_ingress": "yes"}, "create_ingress"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_node_is_said_beside_the_input(admin: Client, changes: dict[str, str], field: str) -> None:
    node = NodeFactory(node_type="app")
    NodeFactory(instance=node.instance)
    before = WorkflowNode.objects.values().get(pk=node.pk)

    refused = send(admin, node_url(node), **changes)
    checked = admin.post(f"{node_url(node)}?_check=1", form_of(admin.get(node_url(node))) | changes)

    assert refused.status_code == 200
    assert set(problems_of(refused)) == {field}
    assert {item["field"] for item in checked.json()["problems"]} == {field}
    assert WorkflowNode.objects.values().get(pk=node.pk) == before


def test_unmet_inputs_are_named_while_one_types(admin: Client) -> None:
    template = JobTemplateFactory(
        containers=asking("TARGET", input_volume_mounts=[{"mount_path": "/in", "read_only": True, "sub_path": None}])
    )
    instance = InstanceFactory()
    url = add_node_url(instance, template)
    form = form_of(admin.get(url))

    def asked(**changes: str) -> dict[str, str]:
        answer = admin.post(f"{url}&_check=1", form | changes)
        return {item["field"]: item["message"] for item in answer.json()["problems"]}

    untouched = asked(name="")
    half = asked(**{"env_vars.p0.value": "http://x", "volume_mounts.p0.pvc_name": "no claim!" * 40})
    fine = asked(**{"env_vars.p0.value": "http://x", "volume_mounts.p0.pvc_name": "data"})

    assert set(untouched) == {"name", "env_vars.p0", "volume_mounts.p0"}
    assert "nothing is mounted at /in" in untouched["volume_mounts.p0"]
    assert set(half) == {"volume_mounts.p0.pvc_name"}
    assert fine == {}
    assert not WorkflowNode.objects.exists()


def test_a_cycle_is_named_with_its_path(admin: Client) -> None:
    instance = InstanceFactory()
    a, b, c = (NodeFactory(instance=instance, name=name) for name in "abc")
    add = f"{INSTANCES}{instance.pk}/edges/add/"
    for source, target in ((a, b), (b, c)):
        assert admin.post(add, {"source": source.pk, "target": target.pk, "shared_pvc": ""}).status_code == 302
    closing = {"source": c.pk, "target": a.pk, "shared_pvc": ""}

    checked = admin.post(f"{add}?_check=1", closing)
    refused = admin.post(add, closing)
    page = admin.get(node_url(a)).content.decode()

    cycle = "the edges form a cycle: "
    assert checked.json()["problems"][0]["message"].startswith(cycle)
    assert set(problems_of(refused)["target"].removeprefix(cycle).split(" → ")) == {"a", "b", "c"}
    assert "No other node could run before this one" in page
    assert f"runs_after.{b.pk}" in admin.get(node_url(c)).content.decode()


def test_sources_are_nodes_that_can_run_before(admin: Client) -> None:
    instance = InstanceFactory()
    a, b, c = (NodeFactory(instance=instance, name=name) for name in ("first", "middle", "last"))
    instance.edges = [
        {"edge_id": "1", "source": a.pk, "target": b.pk, "shared_pvc": None},
        {"edge_id": "2", "source": b.pk, "target": c.pk, "shared_pvc": None},
    ]
    instance.save()

    page = admin.get(node_url(b)).content.decode()

    assert f'<option value="{a.pk}"' in page
    assert f'<option value="{c.pk}"' not in page
    assert f'<option value="{b.pk}"' not in page


def test_edges_are_changed_and_removed(admin: Client) -> None:
    instance = InstanceFactory()
    a, b, c = (NodeFactory(instance=instance, name=name) for name in "abc")
    admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": "data"})
    instance.refresh_from_db()
    edge_id = instance.edges[0]["edge_id"]
    edit = f"{INSTANCES}{instance.pk}/edges/edit/?edge={edge_id}"

    moved = send(admin, edit, target=c.pk, shared_pvc="")
    again = admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": ""})
    twice = admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": ""})
    delete = f"{INSTANCES}{instance.pk}/edges/delete/?edge={edge_id}"
    asked = admin.get(delete)
    admin.post(delete)

    instance.refresh_from_db()
    assert (moved.status_code, again.status_code, twice.status_code, asked.status_code) == (302, 302, 200, 200)
    assert "exists already" in twice.content.decode()
    assert [(edge["source"], edge["target"], edge["shared_pvc"]) for edge in instance.edges] == [(a.pk, b.pk, None)]


def test_a_node_is_removed_with_its_edges(admin: Client) -> None:
    instance = InstanceFactory()
    a, b = (NodeFactory(instance=instance, name=name) for name in "ab")
    admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": ""})

    asked = admin.get(f"{INSTANCES}{instance.pk}/nodes/{a.pk}/delete/").content.decode()
    admin.post(f"{INSTANCES}{instance.pk}/nodes/{a.pk}/delete/")

    instance.refresh_from_db()
    assert "1 edge with it" in asked
    assert instance.edges == []
    assert list(WorkflowNode.objects.values_list("name", flat=True)) == ["b"]


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
