"""Nodes of a draft (contract C.7, C.8, D.5, G)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory, container
from workflows.domain.statuses import InstanceStatus
from workflows.models import Event, WorkflowInstance, WorkflowNode

ALL = [status.value for status in InstanceStatus]
PORTS = [{"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}]


@pytest.fixture
def draft(db: None) -> WorkflowInstance:
    instance: WorkflowInstance = InstanceFactory(name="flow")
    return instance


@pytest.fixture
def path(draft: WorkflowInstance) -> str:
    return f"/workflow-instances/{draft.pk}/nodes"


def kinds_of_events() -> list[str]:
    return list(Event.objects.order_by("sequence").values_list("kind", flat=True))


def fields_of(refusal: dict[str, Any]) -> list[str]:
    return [item["field"] for item in refusal["details"]["fields"]]


def app_node(draft: WorkflowInstance, *, template: dict[str, Any] | None = None, **fields: Any) -> WorkflowNode:
    made = AppTemplateFactory(**{"service_ports": PORTS, **(template or {})})
    node: WorkflowNode = NodeFactory(instance=draft, node_type="app", template_id=made.pk, **fields)
    return node


def test_a_job_node_has_every_default(member: Api, path: str, draft: WorkflowInstance) -> None:
    template = JobTemplateFactory().pk

    made = member.send("POST", path, {"node_type": "job", "template_id": template, "name": "crawler"}, status=201)

    assert made["id"].startswith("wf-node-flow-crawler-")
    assert {key: made[key] for key in made if key not in ("id", "created_at")} == {
        "instance_id": draft.pk,
        "node_type": "job",
        "template_id": template,
        "name": "crawler",
        "status": "pending",
        "k8s_resource_name": None,
        "k8s_resource_type": None,
        "depends_on": [],
        "downstream_node_ids": [],
        "timeout_seconds": None,
        "position": {"x": 0.0, "y": 0.0},
        "env_vars": [],
        "volume_mounts": [],
        "resources": None,
        "input_env_vars": [],
        "input_volume_mounts": [],
        "service_name": None,
        "started_at": None,
        "finished_at": None,
        "message": None,
    }
    assert member.read(f"{path}/{made['id']}") == made
    assert member.read(path) == [made]
    assert kinds_of_events() == ["node.created"]


def test_a_changed_node_keeps_what_the_request_leaves_out(member: Api, draft: WorkflowInstance, path: str) -> None:
    node = app_node(draft, env_vars=[{"name": "A", "value": "1"}], timeout_seconds=5, requested_service_name="web")
    before = member.read(f"{path}/{node.pk}")

    changed = member.send("PUT", f"{path}/{node.pk}", {"name": "moved", "position": {"x": 1.5, "y": -2}})

    assert changed == before | {"name": "moved", "position": {"x": 1.5, "y": -2.0}}
    assert kinds_of_events() == ["node.updated"]
    assert Event.objects.get().data == {"fields": ["name", "position"]}


def test_null_clears_what_can_be_null(member: Api, draft: WorkflowInstance, path: str) -> None:
    resources = {"requests": {"cpu": "1"}, "limits": None}
    node = app_node(draft, timeout_seconds=5, requested_service_name="web", resources=resources)

    cleared = {"timeout_seconds": None, "service_name": None, "resources": None}

    assert cleared.items() <= member.send("PUT", f"{path}/{node.pk}", cleared).items()


@pytest.mark.parametrize("field", ["node_type", "template_id"])
def test_kind_and_template_cannot_be_changed(member: Api, draft: WorkflowInstance, path: str, field: str) -> None:
    node = NodeFactory(instance=draft)
    same = {"node_type": "job", "template_id": node.template_id}
    other = {"node_type": "app", "template_id": JobTemplateFactory().pk}

    assert member.send("PUT", f"{path}/{node.pk}", same)["name"] == node.name
    refusal = member.refused("PUT", f"{path}/{node.pk}", {"name": "new", field: other[field]}, status=400)

    assert fields_of(refusal) == [field]
    node.refresh_from_db()
    assert node.name != "new"


def test_derived_fields_are_ignored(member: Api, draft: WorkflowInstance, path: str) -> None:
    node = NodeFactory(instance=draft)
    before = member.read(f"{path}/{node.pk}")
    derived = {"status": "succeeded", "depends_on": ["x"], "downstream_node_ids": ["x"], "id": "x", "message": "x"}

    assert member.send("PUT", f"{path}/{node.pk}", derived) == before
    assert kinds_of_events() == []


@pytest.mark.parametrize("status", ALL)
def test_nodes_are_edited_in_drafts_only(member: Api, status: str) -> None:
    node = NodeFactory(instance__status=status)
    path = f"/workflow-instances/{node.instance_id}/nodes"
    body = {"node_type": "job", "template_id": node.template_id, "name": "another"}
    if status == "pending":
        member.send("POST", path, body, status=201)
        member.send("PUT", f"{path}/{node.pk}", {"name": "renamed"})
        member.send("DELETE", f"{path}/{node.pk}")
        assert kinds_of_events() == ["node.created", "node.updated", "node.deleted"]
        return
    before = member.read(path)

    for method, where, what in (
        ("POST", path, body),
        ("PUT", f"{path}/{node.pk}", {"name": "renamed"}),
        ("DELETE", f"{path}/{node.pk}", None),
    ):
        refusal = member.refused(method, where, what, status=400)
        assert refusal["details"] == {"status": status, "allowed": ["pending"]}
        advice = "wait until the set-up has ended" if status == "initializing" else "uninitialize it first"
        assert advice in refusal["message"]

    assert member.send("PUT", f"{path}/{node.pk}", {}) == before[0]
    assert member.read(path) == before
    assert kinds_of_events() == []


def test_an_unsupplied_input_is_an_array_of_details(member: Api, path: str) -> None:
    template = JobTemplateFactory(
        containers=[
            container(
                name="scan",
                input_env_vars=[{"name": "TARGET", "default_value": None}, {"name": "DEPTH", "default_value": "3"}],
                input_volume_mounts=[{"mount_path": "/in", "read_only": True, "sub_path": None}],
            )
        ]
    ).pk
    body = {"node_type": "job", "template_id": template, "name": "scan"}

    refusal = member.refused("POST", path, body, status=400)

    assert refusal["code"] == "VALIDATION_ERROR"
    assert "scan" in refusal["message"]
    variable, mount = refusal["details"]
    assert variable == {**variable, "type": "env_var", "container": "scan", "name": "TARGET"}
    assert mount == {**mount, "type": "volume_mount", "container": "scan", "mount_path": "/in"}
    assert all("node" not in item and item["message"] for item in refusal["details"])
    assert not WorkflowNode.objects.exists()


@pytest.fixture
def wanting(db: None) -> str:
    return JobTemplateFactory(
        containers=[
            container(
                input_env_vars=[{"name": "TARGET", "default_value": None}],
                input_volume_mounts=[{"mount_path": "/in", "read_only": True, "sub_path": None}],
            )
        ]
    ).pk


FIXED = {
    "env_vars": [{"name": "TARGET", "value": ""}],
    "volume_mounts": [{"pvc_name": "data", "mount_path": "/in"}],
}


def test_a_fixed_value_and_a_mount_supply_inputs(member: Api, path: str, wanting: str) -> None:
    body = {"node_type": "job", "template_id": wanting, "name": "scan", **FIXED}

    made = member.send("POST", path, body, status=201)

    assert made["env_vars"] == FIXED["env_vars"]
    # Without read_only the mount takes what the template declares for its path.
    assert made["volume_mounts"] == [
        {"pvc_name": "data", "mount_path": "/in", "sub_path": None, "read_only": True},
    ]


@pytest.mark.parametrize(
    ("given", "declared", "shown"), [({}, True, True), ({}, False, False), ({"read_only": False}, True, False)]
)
def test_a_mount_takes_the_declared_access(
    member: Api, path: str, given: dict[str, bool], declared: bool, shown: bool
) -> None:
    inputs = [{"mount_path": "/in", "read_only": declared, "sub_path": None}]
    template = JobTemplateFactory(containers=[container(input_volume_mounts=inputs)]).pk
    mount = {"pvc_name": "data", "mount_path": "/in", **given}
    body = {"node_type": "job", "template_id": template, "name": "scan", "volume_mounts": [mount]}

    made = member.send("POST", path, body, status=201)

    assert made["volume_mounts"][0]["read_only"] is shown
    assert member.send("PUT", f"{path}/{made['id']}", {"volume_mounts": [mount]}) == made


def test_two_spellings_of_a_path_are_one_mount(member: Api, path: str) -> None:
    inputs = [{"mount_path": "/in", "read_only": True, "sub_path": None}]
    template = JobTemplateFactory(containers=[container(input_volume_mounts=inputs)]).pk
    mount = {"pvc_name": "data", "mount_path": "//in/"}

    made = member.send(
        "POST",
        path,
        {"node_type": "job", "template_id": template, "name": "scan", "volume_mounts": [mount]},
        status=201,
    )

    assert [item["mount_path"] for item in made["volume_mounts"]] == ["/in"]


def test_upstream_nodes_supply_inputs_and_their_values_are_shown_once_known(
    member: Api, draft: WorkflowInstance, path: str, wanting: str
) -> None:
    mounts = [{"pvc_name": "data", "mount_path": "/out", "sub_path": None, "read_only": False}]
    source = app_node(draft, requested_service_name="web", volume_mounts=mounts)
    sources = {
        "input_env_vars": [{"name": "TARGET", "source_node_id": source.pk}],
        "input_volume_mounts": [{"mount_path": "/in", "source_node_id": source.pk}],
    }
    body = {"node_type": "job", "template_id": wanting, "name": "scan", **sources}

    made = member.send("POST", path, body, status=201)
    assert made["input_env_vars"][0]["value"] is None
    assert made["input_volume_mounts"] == [
        {
            "mount_path": "/in",
            "sub_path": None,
            "source_node_id": source.pk,
            "source_pvc_name": None,
            "read_only": True,
            "pvc_name": None,
        }
    ]

    edge = {"action": "add", "edge_id": "e", "source": source.pk, "target": made["id"]}
    member.send("POST", f"/workflow-instances/{draft.pk}/edges", edge)
    shown = member.read(f"{path}/{made['id']}")
    assert shown["input_env_vars"][0]["value"] == "web"
    assert shown["input_volume_mounts"][0]["pvc_name"] == "data"


@pytest.mark.parametrize("which", ["itself", "another instance", "nothing"])
def test_a_source_is_another_node_of_the_same_instance(
    member: Api, draft: WorkflowInstance, path: str, which: str
) -> None:
    node = NodeFactory(instance=draft)
    source = {"itself": node.pk, "another instance": NodeFactory().pk, "nothing": "wf-node-x-00000000"}[which]
    entry = {"name": "A", "source_node_id": source}

    refusal = member.refused("PUT", f"{path}/{node.pk}", {"input_env_vars": [entry]}, status=400)

    assert fields_of(refusal) == ["input_env_vars.0.source_node_id"]
    node.refresh_from_db()
    assert node.input_env_vars == []


@pytest.mark.parametrize("field", ["env_vars", "volume_mounts"])
def test_an_update_may_not_take_away_what_an_input_needs(
    member: Api, draft: WorkflowInstance, path: str, wanting: str, field: str
) -> None:
    node = NodeFactory(instance=draft, template_id=wanting, **FIXED)

    refusal = member.refused("PUT", f"{path}/{node.pk}", {field: []}, status=400)

    assert [item["type"] for item in refusal["details"]] == ["env_var" if field == "env_vars" else "volume_mount"]
    member.send("PUT", f"{path}/{node.pk}", {"name": "only the name"})


def test_a_broken_draft_can_still_be_moved(member: Api, draft: WorkflowInstance, path: str, wanting: str) -> None:
    """The template may have got new inputs since: saving the canvas must not fail for it."""
    node = NodeFactory(instance=draft, template_id=wanting)

    member.send("PUT", f"{path}/{node.pk}", {"name": node.name, "position": {"x": 1, "y": 1}})


def test_templates_must_exist_and_be_usable(member: Api, path: str) -> None:
    foreign = JobTemplateFactory(project_id="p2", created_by=member.user_id).pk
    missing = {"node_type": "job", "template_id": "wf-tmpl-x-00000000", "name": "x"}
    wrong_kind = {"node_type": "job", "template_id": AppTemplateFactory().pk, "name": "x"}

    assert member.refused("POST", path, missing, status=404)["details"]["resource"] == "job_template"
    member.refused("POST", path, wrong_kind, status=404)
    member.refused("POST", path, {"node_type": "job", "template_id": foreign, "name": "x"}, status=403)
    assert not WorkflowNode.objects.exists()


def test_nodes_are_listed_oldest_first(member: Api, draft: WorkflowInstance, path: str) -> None:
    made = [NodeFactory(instance=draft, name=name).pk for name in "cab"]

    listed = member.read(path)

    assert isinstance(listed, list)
    assert [item["id"] for item in listed] == made
    assert listed == member.read(f"/workflow-instances/{draft.pk}")["nodes"]


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/logs")])
def test_a_node_of_another_instance_is_404(member: Api, path: str, method: str, tail: str) -> None:
    node = NodeFactory()

    for node_id in (node.pk, "wf-node-x-00000000", "%00", "x" * 300):
        refusal = member.refused(method, f"{path}/{node_id}{tail}", status=404)
        assert refusal["code"] == "NOT_FOUND"
    assert WorkflowNode.objects.filter(pk=node.pk).exists()


def test_a_deleted_node_takes_its_edges_and_is_forgotten_as_a_source(
    member: Api, draft: WorkflowInstance, path: str
) -> None:
    a, b, c = (NodeFactory(instance=draft, name=name) for name in "abc")
    edges = [
        {"edge_id": "ab", "source": a.pk, "target": b.pk},
        {"edge_id": "bc", "source": b.pk, "target": c.pk},
        {"edge_id": "ac", "source": a.pk, "target": c.pk},
    ]
    member.send("PUT", f"/workflow-instances/{draft.pk}", {"edges": edges})
    sources = {
        "input_env_vars": [{"name": "A", "source_node_id": a.pk}, {"name": "B", "source_node_id": b.pk}],
        "input_volume_mounts": [{"mount_path": "/b", "source_node_id": b.pk, "source_pvc_name": "data"}],
    }
    member.send("PUT", f"{path}/{c.pk}", sources)

    reply = member.send("DELETE", f"{path}/{b.pk}")

    assert reply == {"message": f"Workflow node {b.pk} deleted successfully"}
    shown = member.read(f"/workflow-instances/{draft.pk}")
    assert [item["edge_id"] for item in shown["edges"]] == ["ac"]
    left = {item["name"]: item for item in shown["nodes"]}
    assert (left["a"]["depends_on"], left["a"]["downstream_node_ids"]) == ([], [c.pk])
    assert (left["c"]["depends_on"], left["c"]["downstream_node_ids"]) == ([a.pk], [])
    assert [entry["name"] for entry in left["c"]["input_env_vars"]] == ["A"]
    assert left["c"]["input_volume_mounts"] == []
    assert Event.objects.order_by("sequence").last().data == {"name": "b", "edge_ids": ["ab", "bc"]}
    member.refused("DELETE", f"{path}/{b.pk}", status=404)
    # What the client does next: it deletes the edges that it remembers.
    for edge_id in ("ab", "bc"):
        member.send("POST", f"/workflow-instances/{draft.pk}/edges", {"action": "delete", "edge_id": edge_id})


def test_the_events_of_a_draft_have_no_gap(member: Api, path: str, draft: WorkflowInstance) -> None:
    body = {"node_type": "job", "template_id": JobTemplateFactory().pk, "name": "n"}
    first = member.send("POST", path, body, status=201)["id"]
    member.send("POST", path, body, status=201)
    member.send("PUT", f"{path}/{first}", {"name": "m"})
    member.refused("PUT", f"{path}/{first}", {"name": ""}, status=400)
    member.send("DELETE", f"{path}/{first}")

    events = list(Event.objects.filter(instance_id=draft.pk).order_by("sequence"))

    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert {event.actor for event in events} == {member.user_id}
    draft.refresh_from_db()
    assert draft.version == 4
