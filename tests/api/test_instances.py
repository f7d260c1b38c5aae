"""Reading, changing and deleting instances (contract C.6, D.4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from tests.api.conftest import Api
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory
from workflows.domain.statuses import InstanceStatus
from workflows.models import Cleanup, Event, WorkflowInstance, WorkflowNode

ALL = [status.value for status in InstanceStatus]
UPDATABLE = {"pending", "initialized", "succeeded", "failed", "stopped"}


def kinds_of_events(instance_id: str) -> list[str]:
    return list(Event.objects.filter(instance_id=instance_id).order_by("sequence").values_list("kind", flat=True))


def test_a_created_instance_has_every_default(member: Api) -> None:
    made = member.send("POST", "/workflow-instances", {"name": "nightly scan", "project_id": "p1"}, status=201)

    assert made["id"].startswith("wf-inst-nightly-scan-")
    assert len(made["id"].removeprefix("wf-inst-nightly-scan-")) == 8
    assert made["created_at"] <= made["updated_at"]
    assert "+" not in made["created_at"]
    assert {key: made[key] for key in made if key not in ("id", "created_at", "updated_at")} == {
        "name": "nightly scan",
        "description": None,
        "project_id": "p1",
        "status": "pending",
        "readiness": "pending",
        "run_mode": "once",
        "trigger_type": "manual",
        "trigger_enabled": False,
        "trigger_url": None,
        "is_active": True,
        "run_count": 0,
        "last_run_at": None,
        "nodes": [],
        "edges": [],
        "message": None,
        "has_warning": False,
        "last_sync_at": None,
        "created_by": member.user_id,
        "started_at": None,
        "finished_at": None,
    }
    assert member.read(f"/workflow-instances/{made['id']}") == made
    assert kinds_of_events(made["id"]) == ["instance.created"]


def test_server_fields_of_a_body_are_ignored(member: Api) -> None:
    body = {
        "name": "x",
        "project_id": "p1",
        "status": "running",
        "created_by": "someone",
        "run_count": 7,
        "is_active": False,
        "trigger_url": "http://evil",
        "template_id": "old",
        "node_configs": [1],
    }

    made = member.send("POST", "/workflow-instances", body, status=201)

    assert (made["status"], made["created_by"], made["run_count"]) == ("pending", member.user_id, 0)
    assert (made["is_active"], made["trigger_url"]) == (True, None)


@pytest.mark.parametrize("key", ["id", "node_id"])
def test_ids_cannot_be_chosen(member: Api, key: str) -> None:
    body = {"name": "x", "project_id": "p1", key: "wf-inst-mine-00000000"}

    refusal = member.refused("POST", "/workflow-instances", body, status=400)

    assert refusal["details"]["fields"][0]["field"] == key
    assert not WorkflowInstance.objects.exists()


@pytest.mark.parametrize(
    ("run_mode", "trigger_type", "trigger_enabled", "has_url"),
    [
        ("persistent", "http", True, True),
        ("persistent", "http", False, False),
        ("persistent", "manual", True, False),
        ("once", "http", True, False),
    ],
)
def test_the_trigger_url_is_computed(
    member: Api, run_mode: str, trigger_type: str, trigger_enabled: bool, has_url: bool
) -> None:
    body = {"name": "x", "project_id": "p1", "run_mode": run_mode, "trigger_type": trigger_type}

    made = member.send("POST", "/workflow-instances", body | {"trigger_enabled": trigger_enabled}, status=201)

    assert made["trigger_enabled"] is trigger_enabled
    assert made["trigger_url"] == (f"/api/workflow/trigger/{made['id']}" if has_url else None)


def test_switching_the_trigger_makes_the_url_come_and_go(member: Api) -> None:
    instance = InstanceFactory(run_mode="persistent", trigger_type="http")
    path = f"/workflow-instances/{instance.pk}"

    on = member.send("PUT", path, {"trigger_enabled": True})
    off = member.send("PUT", path, {"trigger_enabled": False})

    assert on["trigger_url"] == f"/api/workflow/trigger/{instance.pk}"
    assert off["trigger_url"] is None


@pytest.mark.parametrize("status", ALL)
@pytest.mark.parametrize(
    "changes", [{"name": "new"}, {"description": "new"}, {"trigger_enabled": True}, {"is_active": False}]
)
def test_fields_can_be_changed_where_the_table_allows_it(member: Api, status: str, changes: dict[str, Any]) -> None:
    instance = InstanceFactory(status=status, run_mode="persistent")
    path = f"/workflow-instances/{instance.pk}"

    if status in UPDATABLE:
        assert changes.items() <= member.send("PUT", path, changes).items()
        assert kinds_of_events(instance.pk) == ["instance.updated"]
    else:
        before = member.read(path)
        refusal = member.refused("PUT", path, changes, status=400)
        assert refusal["details"]["status"] == status
        assert set(refusal["details"]["allowed"]) == UPDATABLE
        assert member.read(path) == before
        assert kinds_of_events(instance.pk) == []


@pytest.mark.parametrize("status", ALL)
def test_an_empty_change_is_valid_in_every_status_and_changes_nothing(member: Api, status: str) -> None:
    instance = InstanceFactory(status=status)
    path = f"/workflow-instances/{instance.pk}"
    before = member.read(path)

    assert member.send("PUT", path, {}) == before
    assert member.send("PUT", path, {"run_mode": "persistent", "project_id": "p9", "unknown": 1}) == before
    assert kinds_of_events(instance.pk) == []


def test_the_same_values_again_are_no_event(member: Api) -> None:
    instance = InstanceFactory(name="same")

    member.send("PUT", f"/workflow-instances/{instance.pk}", {"name": "same"})

    assert kinds_of_events(instance.pk) == []


def test_null_clears_the_description(member: Api) -> None:
    instance = InstanceFactory(description="text")

    assert member.send("PUT", f"/workflow-instances/{instance.pk}", {"description": None})["description"] is None


@pytest.mark.parametrize("flag", ["trigger_enabled", "is_active"])
def test_flags_belong_to_persistent_instances(member: Api, flag: str) -> None:
    instance = InstanceFactory(run_mode="once")

    refusal = member.refused("PUT", f"/workflow-instances/{instance.pk}", {"name": "new", flag: False}, status=400)

    assert refusal["details"]["fields"][0]["field"] == flag
    instance.refresh_from_db()
    assert instance.name != "new"


def test_an_instance_that_is_being_deleted_cannot_be_changed(member: Api) -> None:
    node = NodeFactory()
    now = timezone.now()
    Cleanup.objects.create(instance=node.instance, goal="delete", actor="1", due_at=now, requested_at=now)
    path = f"/workflow-instances/{node.instance_id}"

    member.refused("PUT", path, {"name": "new"}, status=409)
    member.refused("PUT", f"{path}/nodes/{node.pk}", {"name": "new"}, status=409)
    member.refused("DELETE", f"{path}/nodes/{node.pk}", status=409)
    member.refused("POST", f"{path}/edges", {"action": "delete", "edge_id": "e"}, status=409)
    body = {"node_type": "job", "template_id": node.template_id, "name": "n"}
    member.refused("POST", f"{path}/nodes", body, status=409)

    assert kinds_of_events(node.instance_id) == []
    assert member.read(path)["nodes"][0]["name"] == node.name


@pytest.mark.parametrize("status", ALL)
def test_an_instance_without_cluster_objects_can_be_deleted_in_every_status(member: Api, status: str) -> None:
    node = NodeFactory(instance__status=status)
    other = NodeFactory()

    reply = member.send("DELETE", f"/workflow-instances/{node.instance_id}")

    assert reply == {"message": f"Workflow instance {node.instance_id} deleted successfully"}
    member.refused("GET", f"/workflow-instances/{node.instance_id}", status=404)
    assert list(WorkflowNode.objects.values_list("pk", flat=True)) == [other.pk]


def test_lists_are_newest_first_with_their_nodes_and_edges(member: Api) -> None:
    first, second = InstanceFactory(), InstanceFactory()
    NodeFactory(instance=first)

    listed = member.read("/workflow-instances")

    assert set(listed) == {"total", "items"}
    assert listed["total"] == 2
    assert [item["id"] for item in listed["items"]] == [second.pk, first.pk]
    assert listed["items"][1] == member.read(f"/workflow-instances/{first.pk}")


def test_instances_of_one_moment_are_ordered_by_id(member: Api) -> None:
    made = [InstanceFactory() for _ in range(5)]
    WorkflowInstance.objects.update(created_at=timezone.now())

    listed = [item["id"] for item in member.read("/workflow-instances")["items"]]

    assert listed == sorted(instance.pk for instance in made)


def test_pages_are_cut_out_of_the_whole(member: Api) -> None:
    ids = [InstanceFactory().pk for _ in range(5)][::-1]

    page = member.read("/workflow-instances?page=2&page_size=2")
    assert {key: page[key] for key in ("total", "page", "page_size")} == {"total": 5, "page": 2, "page_size": 2}
    assert [item["id"] for item in page["items"]] == ids[2:4]

    assert [item["id"] for item in member.read("/workflow-instances?page=3&page_size=2")["items"]] == ids[4:]
    assert member.read("/workflow-instances?page=9&page_size=2")["items"] == []
    assert member.read("/workflow-instances?page_size=2")["page"] == 1
    assert member.read("/workflow-instances?page=1")["page_size"] == 20


@pytest.mark.parametrize("absent", ["", "all", "undefined", "null"])
def test_the_project_filter_is_exact_or_absent(member: Api, admin: Api, absent: str) -> None:
    own, other = InstanceFactory(), InstanceFactory(project_id="p2")

    assert [item["id"] for item in admin.read("/workflow-instances?project_id=p1")["items"]] == [own.pk]
    assert [item["id"] for item in admin.read("/workflow-instances?project_id=p2")["items"]] == [other.pk]
    assert admin.read("/workflow-instances?project_id=p")["total"] == 0
    assert admin.read(f"/workflow-instances?project_id={absent}")["total"] == 2
    assert member.read("/workflow-instances?project_id=p2")["total"] == 0


@pytest.mark.parametrize("name", ["nightly scan", "a&b=c", "<b>", "夜間"])
def test_lists_can_be_asked_for_one_name(member: Api, name: str) -> None:
    named = InstanceFactory(name=name)
    InstanceFactory(name=f"{name} 2")

    found = member.read(f"/workflow-instances?{urlencode({'name': name})}")

    assert [item["id"] for item in found["items"]] == [named.pk]
    assert found["total"] == 1


@pytest.mark.parametrize(
    "query",
    ["status=done", "page=0", "page=x", "page=1.5", "page_size=0", "page_size=101", "page_size=1e9", "status=READY"],
)
def test_bad_parameters_are_400(member: Api, query: str) -> None:
    refusal = member.refused("GET", f"/workflow-instances?{query}", status=400)

    assert refusal["details"]["fields"][0]["field"] == query.partition("=")[0]


def test_what_is_not_known_about_times_is_null_and_the_rest_has_no_offset(member: Api) -> None:
    moment = timezone.now().replace(microsecond=0)
    instance = InstanceFactory(last_run_at=moment, started_at=moment, finished_at=moment + timedelta(seconds=1))

    shown = member.read(f"/workflow-instances/{instance.pk}")

    assert shown["last_run_at"] == shown["started_at"] == moment.strftime("%Y-%m-%dT%H:%M:%S")
    assert shown["last_sync_at"] is None


@pytest.mark.parametrize("with_inputs", [False, True])
def test_lists_cost_the_same_queries_whatever_their_size(
    member: Api, django_assert_max_num_queries: Any, with_inputs: bool
) -> None:
    app, job = AppTemplateFactory(), JobTemplateFactory()

    def add(count: int) -> None:
        for _ in range(count):
            instance = InstanceFactory()
            source = NodeFactory(instance=instance, node_type="app", template_id=app.pk)
            sources = [{"name": "T", "source_node_id": source.pk, "default_value": None}] if with_inputs else []
            NodeFactory(instance=instance, node_type="job", template_id=job.pk, input_env_vars=sources)

    def cost(path: str) -> int:
        with django_assert_max_num_queries(8) as queries:
            member.read(path)
        return len(queries)

    add(1)
    few = cost("/workflow-instances"), cost("/workflow-instances?page_size=100")
    add(49)
    many = cost("/workflow-instances"), cost("/workflow-instances?page_size=100")

    assert few == many
    # The user behind the token, instances, nodes, app templates; job templates for inputs; the total for paging.
    assert many == (4 + with_inputs, 5 + with_inputs)


def test_an_instance_costs_the_same_queries_whatever_its_nodes(member: Api, django_assert_max_num_queries: Any) -> None:
    small, large = InstanceFactory(), InstanceFactory()
    NodeFactory(instance=small, node_type="app")
    for _ in range(30):
        NodeFactory(instance=large, node_type="app")

    def cost(path: str) -> int:
        with django_assert_max_num_queries(8) as queries:
            member.read(path)
        return len(queries)

    for tail in ("", "/nodes"):
        assert cost(f"/workflow-instances/{small.pk}{tail}") == cost(f"/workflow-instances/{large.pk}{tail}")
