"""Creating an instance with its nodes and edges in one request (contract D.4, F.3, G.4, H.1, H.2)."""

from __future__ import annotations

from typing import Any

import pytest

from secflow.projects.models import ProjectMember
from tests.api.conftest import Api
from tests.factories import AppTemplateFactory, JobTemplateFactory, container
from workflows.models import Event, WorkflowInstance, WorkflowNode

PORTS = [{"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}]
PATH = "/workflow-instances"


@pytest.fixture
def app(db: None) -> str:
    return AppTemplateFactory(service_ports=PORTS).pk


@pytest.fixture
def job(db: None) -> str:
    return JobTemplateFactory().pk


def body(nodes: list[dict[str, Any]], edges: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"name": "flow", "project_id": "p1", "nodes": nodes, "edges": edges or []}


def node(template: str, name: str, **fields: Any) -> dict[str, Any]:
    kind = "app" if template in set(AppTemplateFactory._meta.model.objects.values_list("pk", flat=True)) else "job"
    return {"node_type": kind, "template_id": template, "name": name, **fields}


def edge(source: str, target: str, edge_id: str = "e1", **fields: Any) -> dict[str, Any]:
    return {"edge_id": edge_id, "source": source, "target": target, **fields}


def fields_of(refusal: dict[str, Any]) -> list[str]:
    return [item["field"] for item in refusal["details"]["fields"]]


def assert_nothing_was_made() -> None:
    assert not WorkflowInstance.objects.exists()
    assert not WorkflowNode.objects.exists()
    assert not Event.objects.exists()


def test_nodes_and_edges_are_made_together(member: Api, app: str, job: str) -> None:
    request = body(
        [node(app, "target app", ref="t"), node(job, "crawler"), node(job, "report", ref="r")],
        [edge("t", "crawler"), edge("crawler", "r", "e2", shared_pvc="data")],
    )

    made = member.send("POST", PATH, request, status=201)

    first, second, third = (item["id"] for item in made["nodes"])
    assert [item["name"] for item in made["nodes"]] == ["target app", "crawler", "report"]
    assert first.startswith("wf-node-flow-target-app-")
    assert made["edges"] == [
        {"edge_id": "e1", "source": first, "target": second, "shared_pvc": None},
        {"edge_id": "e2", "source": second, "target": third, "shared_pvc": "data"},
    ]
    assert [(item["depends_on"], item["downstream_node_ids"]) for item in made["nodes"]] == [
        ([], [second]),
        ([first], [third]),
        ([second], []),
    ]
    assert all("ref" not in item for item in made["nodes"])
    events = Event.objects.filter(instance_id=made["id"]).order_by("sequence")
    assert [event.kind for event in events] == ["instance.created", *["node.created"] * 3]
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert WorkflowInstance.objects.get().version == 4


def test_sources_of_inputs_are_named_like_edges(member: Api, app: str) -> None:
    wanting = JobTemplateFactory(containers=[container(input_env_vars=[{"name": "TARGET", "default_value": None}])]).pk
    sources = [{"name": "TARGET", "source_node_id": "web"}]
    request = body([node(app, "web"), node(wanting, "scan", input_env_vars=sources)], [edge("web", "scan")])

    web, scan = member.send("POST", PATH, request, status=201)["nodes"]

    instance, suffix = WorkflowInstance.objects.get().pk[-8:], web["id"][-8:]
    assert scan["input_env_vars"] == [
        {
            "name": "TARGET",
            "source_node_id": web["id"],
            "default_value": None,
            "value": f"svc-wf-{instance}-{suffix}",
        }
    ]


@pytest.mark.parametrize(
    ("edges", "field"),
    [
        ([edge("a", "nowhere")], "edges.0.target"),
        ([edge("twice", "a")], "edges.0.source"),
        ([edge("a", "twice")], "edges.0.target"),
        ([edge("a", "a")], "edges.0.target"),
        ([edge("a", "r1"), edge("nodes.1", "a", "e2")], "edges.1.source"),
    ],
)
def test_an_edge_must_mean_two_nodes(member: Api, job: str, edges: list[dict[str, Any]], field: str) -> None:
    nodes = [node(job, "a"), node(job, "twice", ref="r1"), node(job, "twice")]

    refusal = member.refused("POST", PATH, body(nodes, edges), status=400)

    assert fields_of(refusal) == [field]
    assert_nothing_was_made()


def test_a_cycle_is_told_in_the_words_of_the_request(member: Api, job: str) -> None:
    nodes = [node(job, "a", ref="first"), node(job, "b"), node(job, "c")]
    edges = [edge("a", "b"), edge("b", "c", "e2"), edge("c", "first", "e3")]

    refusal = member.refused("POST", PATH, body(nodes, edges), status=400)

    cycle = refusal["details"]["cycle"]
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"first", "b", "c"}
    assert_nothing_was_made()


@pytest.mark.parametrize("second", [edge("b", "a", "e1"), edge("a", "b", "e2")])
def test_edges_are_not_made_twice(member: Api, job: str, second: dict[str, Any]) -> None:
    nodes = [node(job, "a"), node(job, "b"), node(job, "c")]
    edges = [edge("a", "b"), second] if second["edge_id"] == "e2" else [edge("a", "b"), edge("b", "c", "e1")]

    refusal = member.refused("POST", PATH, body(nodes, edges), status=409)

    assert refusal["code"] == "CONFLICT"
    assert_nothing_was_made()


def test_refs_are_unique(member: Api, job: str) -> None:
    nodes = [node(job, "a", ref="r"), node(job, "b"), node(job, "c", ref="r")]

    assert fields_of(member.refused("POST", PATH, body(nodes), status=400)) == ["nodes.2.ref"]


def test_everything_that_is_missing_is_listed_once_per_container_and_node(member: Api) -> None:
    wanting = JobTemplateFactory(
        containers=[
            container(name="one", input_env_vars=[{"name": "A", "default_value": None}]),
            container(
                name="two",
                input_env_vars=[{"name": "B", "default_value": "b"}],
                input_volume_mounts=[{"mount_path": "/in", "read_only": True, "sub_path": None}],
            ),
        ]
    ).pk

    refusal = member.refused("POST", PATH, body([node(wanting, "x"), node(wanting, "y")]), status=400)

    assert refusal["code"] == "VALIDATION_ERROR"
    assert "x, y" in refusal["message"]
    assert [
        (item["node"], item["type"], item["container"], item.get("name"), item.get("mount_path"))
        for item in refusal["details"]
    ] == [
        ("x", "env_var", "one", "A", None),
        ("x", "volume_mount", "two", None, "/in"),
        ("y", "env_var", "one", "A", None),
        ("y", "volume_mount", "two", None, "/in"),
    ]
    assert_nothing_was_made()


def test_with_one_node_the_list_does_not_name_it(member: Api) -> None:
    wanting = JobTemplateFactory(containers=[container(input_env_vars=[{"name": "A", "default_value": None}])]).pk

    refusal = member.refused("POST", PATH, body([node(wanting, "x")]), status=400)

    assert [set(item) for item in refusal["details"]] == [{"type", "container", "name", "message"}]


def test_a_missing_template_is_404(member: Api, app: str) -> None:
    for kind, template in (("job", "wf-tmpl-none-00000000"), ("job", app)):
        request = body([{"node_type": kind, "template_id": template, "name": "x"}])
        refusal = member.refused("POST", PATH, request, status=404)
        assert refusal["details"] == {"resource": "job_template", "id": template}
    assert_nothing_was_made()


def test_a_template_of_another_project_is_403_also_for_its_creator_and_admins(admin: Api, member: Api) -> None:
    foreign = JobTemplateFactory(project_id="p2", created_by=member.user_id).pk

    for caller in (member, admin):
        caller.refused("POST", PATH, body([node(foreign, "x")]), status=403)
    assert_nothing_was_made()


def test_a_global_template_is_for_everybody(member: Api) -> None:
    shared = JobTemplateFactory(scope="global", project_id=None, created_by="someone").pk

    member.send("POST", PATH, body([node(shared, "x")]), status=201)


def test_strangers_cannot_create_in_a_closed_project(stranger: Api, job: str) -> None:
    stranger.refused("POST", PATH, {"name": "x", "project_id": "p1"}, status=403)
    # The right comes before the template, so that nothing is told about it.
    stranger.refused("POST", PATH, body([{"node_type": "job", "template_id": "none", "name": "x"}]), status=403)
    assert_nothing_was_made()


def test_the_first_to_create_in_an_open_project_manages_it(stranger: Api, member: Api) -> None:
    stranger.send("POST", PATH, {"name": "x", "project_id": "open"}, status=201)

    assert ProjectMember.objects.get(project_id="open").role == "manager"
    member.refused("POST", PATH, {"name": "x", "project_id": "open"}, status=403)


def test_a_refused_create_makes_nobody_a_manager(stranger: Api) -> None:
    request = {"name": "x", "project_id": "open", "edges": [edge("a", "b")]}

    stranger.refused("POST", PATH, request, status=400)

    assert not ProjectMember.objects.filter(project_id="open").exists()


@pytest.mark.parametrize("project_id", ["p", "0", "a-b", "a" * 55, "1-2-3"])
def test_a_project_id_names_a_namespace(admin: Api, project_id: str) -> None:
    made = admin.send("POST", PATH, {"name": "x", "project_id": project_id}, status=201)

    assert made["project_id"] == project_id


@pytest.mark.parametrize(
    "project_id", ["", "A", "a_b", "-a", "a-", "a" * 56, "a.b", "a b", "ä", "a/b", "p1\u200b", None, 1, ["p1"], {}]
)
def test_other_project_ids_are_400(admin: Api, project_id: Any) -> None:
    refusal = admin.refused("POST", PATH, {"name": "x", "project_id": project_id}, status=400)

    assert fields_of(refusal) == ["project_id"]
    assert_nothing_was_made()


def test_two_nodes_cannot_choose_one_service_name(member: Api, app: str) -> None:
    nodes = [node(app, "a", service_name="web"), node(app, "b", service_name="web")]

    refusal = member.refused("POST", PATH, body(nodes), status=409)

    assert refusal["details"] == {"service_name": "web", "nodes": ["a", "b"]}
    assert_nothing_was_made()


@pytest.mark.parametrize(
    ("second", "status"),
    [
        ({}, 409),
        ({"service_name": "other"}, 201),
        ({"create_service": False}, 201),
        ({"service_ports": []}, 201),
    ],
)
def test_a_name_from_the_template_counts_as_chosen(member: Api, second: dict[str, Any], status: int) -> None:
    named = AppTemplateFactory(service_ports=PORTS, service_name="web").pk

    member.send("POST", PATH, body([node(named, "a"), node(named, "b", **second)]), status=status)


def test_limits_are_sentences(member: Api, job: str) -> None:
    too_many = [{"node_type": "job", "template_id": job, "name": "n"}] * 5001

    refusal = member.refused("POST", PATH, body(too_many), status=400)

    assert refusal["message"] == "nodes: must have at most 5000 items"
    assert_nothing_was_made()
