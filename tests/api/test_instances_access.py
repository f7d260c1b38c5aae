"""Who may do what with instances: every route for every role, and nothing changed where it is refused (contract A.2,
A.3).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory
from workflows.models import Event, WorkflowInstance, WorkflowNode

# Method, path below the instance, body, and the status that someone with the right gets. The instance is an
# initialized,
# persistent one with a job node and no cluster: what would need the cluster is asked for where the state refuses it.
ROUTES: list[tuple[str, str, Any, int]] = [
    ("GET", "", None, 200),
    ("PUT", "", {"name": "new"}, 200),
    ("POST", "/initialize", None, 400),
    ("POST", "/activate", None, 200),
    ("POST", "/deactivate", None, 200),
    ("POST", "/edges", {"action": "delete", "edge_id": "e"}, 400),
    ("GET", "/nodes", None, 200),
    ("POST", "/nodes", {"node_type": "job", "template_id": "T", "name": "n"}, 400),
    ("GET", "/nodes/NODE", None, 200),
    ("PUT", "/nodes/NODE", {"name": "new"}, 400),
    ("DELETE", "/nodes/NODE", None, 400),
    ("GET", "/nodes/NODE/logs", None, 400),
    ("GET", "/logs", None, 200),
    ("DELETE", "", None, 200),
]
# In status running these are refused for the state, so that no cluster is needed.
RUNNING: list[tuple[str, str, Any, int]] = [
    ("POST", "/start", None, 400),
    ("POST", "/trigger", None, 400),
]
PENDING: list[tuple[str, str, Any, int]] = [
    ("POST", "/stop", None, 400),
    ("POST", "/uninitialize", None, 400),
]
CASES = [
    (status, *route)
    for status, routes in (("initialized", ROUTES), ("running", RUNNING), ("pending", PENDING))
    for route in routes
]
# sync-status talks to the cluster in every state: only its refusals can be seen here.
REFUSALS = [*CASES, ("initialized", "POST", "/sync-status", None, 200)]


def snapshot() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (WorkflowInstance, WorkflowNode, Event)]


def made(status: str) -> WorkflowNode:
    node: WorkflowNode = NodeFactory(
        instance__status=status, instance__run_mode="persistent", instance__created_by="creator"
    )
    return node


def path_of(node: WorkflowNode, tail: str) -> str:
    return f"/workflow-instances/{node.instance_id}{tail.replace('NODE', node.pk)}"


@pytest.mark.parametrize("role", ["member", "manager", "admin"])
@pytest.mark.parametrize(("status", "method", "tail", "body", "answer"), CASES)
def test_members_managers_and_admins_may(
    request: pytest.FixtureRequest, role: str, status: str, method: str, tail: str, body: Any, answer: int
) -> None:
    caller: Api = request.getfixturevalue(role)

    assert caller.call(method, path_of(made(status), tail), body).status_code == answer


@pytest.mark.parametrize(("status", "method", "tail", "body", "answer"), CASES)
def test_the_creator_may_also_after_leaving_the_project(
    stranger: Api, status: str, method: str, tail: str, body: Any, answer: int
) -> None:
    node = made(status)
    WorkflowInstance.objects.update(created_by=stranger.user_id)

    assert stranger.call(method, path_of(node, tail), body).status_code == answer


@pytest.mark.parametrize(("status", "method", "tail", "body", "answer"), REFUSALS)
def test_strangers_get_403_and_nothing_changes(
    stranger: Api, status: str, method: str, tail: str, body: Any, answer: int
) -> None:
    node = made(status)
    before = snapshot()

    refusal = stranger.refused(method, path_of(node, tail), body, status=403)

    assert refusal["code"] == "FORBIDDEN"
    assert snapshot() == before
    # The right comes before the shape of the body and before the node.
    if method != "GET":
        stranger.refused(method, path_of(node, tail), b"{", status=403)
    if "NODE" in tail:
        stranger.refused(method, f"/workflow-instances/{node.instance_id}/nodes/unknown", status=403)


@pytest.mark.parametrize(("status", "method", "tail", "body", "answer"), REFUSALS)
def test_without_a_token_everything_is_401_and_nothing_changes(
    anonymous: Api, status: str, method: str, tail: str, body: Any, answer: int
) -> None:
    node = made(status)
    before = snapshot()

    assert anonymous.refused(method, path_of(node, tail), body, status=401)["code"] == "UNAUTHORIZED"
    assert anonymous.refused(method, path_of(node, tail).replace(node.instance_id, "unknown"), status=401)
    assert snapshot() == before


@pytest.mark.parametrize(("status", "method", "tail", "body", "answer"), REFUSALS)
def test_an_unknown_instance_is_404_before_anything_else(
    member: Api, status: str, method: str, tail: str, body: Any, answer: int
) -> None:
    node = made(status)

    for unknown in ("wf-inst-x-00000000", "%00", "x" * 300, "%ED%A0%80", "..%2f"):
        path = path_of(node, tail).replace(node.instance_id, unknown)
        assert member.refused(method, path, b"{" if method == "PUT" else body, status=404)["code"] == "NOT_FOUND"


@pytest.mark.parametrize("path", ["/workflow-instances", "/statistics", "/workflow-instances/statistics"])
def test_lists_want_a_token(anonymous: Api, path: str) -> None:
    anonymous.refused("GET", path, status=401)
    anonymous.refused("POST", "/workflow-instances", {"name": "x", "project_id": "p1"}, status=401)


def test_lists_hold_what_the_caller_may_read(member: Api, colleague: Api, stranger: Api, admin: Api) -> None:
    of_project = InstanceFactory(created_by="creator").pk
    own_elsewhere = InstanceFactory(project_id="p3", created_by=member.user_id).pk
    foreign = InstanceFactory(project_id="p2", created_by="creator").pk

    def seen(caller: Api) -> set[str]:
        listed = caller.read("/workflow-instances")
        assert listed["total"] == len(listed["items"])
        return {item["id"] for item in listed["items"]}

    assert seen(member) == {of_project, own_elsewhere}
    assert seen(colleague) == {of_project}
    assert seen(stranger) == {foreign}
    assert seen(admin) == {of_project, own_elsewhere, foreign}
    assert stranger.read("/workflow-instances?project_id=p1") == {"total": 0, "items": []}


def test_a_member_cannot_use_the_instance_to_read_a_foreign_template(member: Api) -> None:
    instance = InstanceFactory()
    foreign = JobTemplateFactory(project_id="p2", created_by="creator").pk
    before = snapshot()
    body = {"node_type": "job", "template_id": foreign, "name": "n"}

    member.refused("POST", f"/workflow-instances/{instance.pk}/nodes", body, status=403)

    assert snapshot() == before
