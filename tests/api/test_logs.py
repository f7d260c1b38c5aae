"""Log records and pod logs as far as they need no cluster (contract C.11, D.9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.api.conftest import Api
from tests.factories import InstanceFactory, NodeFactory
from workflows.models import NodeLog, NodeRun, Run, WorkflowInstance, WorkflowNode
from workflows.selectors import logs as selectors

BEGAN = timezone.now().replace(microsecond=0)


def record(node: WorkflowNode, number: int, *, purpose: str = "run", **fields: Any) -> NodeRun:
    """The record of a node in a closed run."""
    run, _ = Run.objects.get_or_create(
        instance=node.instance,
        number=number,
        purpose=purpose,
        defaults={
            "trigger": "start",
            "actor": "1",
            "status": "succeeded",
            "started_at": BEGAN,
            "finished_at": BEGAN,
        },
    )
    return NodeRun.objects.create(
        run=run,
        instance=node.instance,
        node_id=node.pk,
        node_name=node.name,
        node_type=node.node_type,
        spec={},
        resource_name="wf-a-b",
        resource_type="Job",
        timeout_seconds=1,
        **fields,
    )


@pytest.fixture
def node(db: None) -> WorkflowNode:
    made: WorkflowNode = NodeFactory(name="crawler")
    return made


@pytest.fixture
def path(node: WorkflowNode) -> str:
    return f"/workflow-instances/{node.instance_id}/logs"


def test_a_record_has_the_node_its_run_and_the_kept_text(member: Api, node: WorkflowNode, path: str) -> None:
    kept = record(
        node,
        4,
        status="succeeded",
        started_at=BEGAN,
        finished_at=BEGAN + timedelta(seconds=12.7),
        message="ended well",
        diagnosis={"category": "none"},
    )
    fetched = BEGAN + timedelta(seconds=30)
    NodeLog.objects.create(
        node_run=kept,
        part="execution",
        text="done\n",
        pod_name="pod-1",
        container="main",
        status_when_fetched="succeeded",
        fetched_at=fetched,
    )

    listed = member.read(path)

    assert {key: listed[key] for key in ("total", "page", "page_size")} == {"total": 1, "page": 1, "page_size": 20}
    (item,) = listed["items"]
    assert {key: item[key] for key in item if key not in ("created_at", "updated_at")} == {
        "id": f"log-{kept.pk}",
        "task_id": "run-4",
        "node_id": node.pk,
        "node_name": "crawler",
        "instance_id": node.instance_id,
        "project_id": "p1",
        "node_type": "job",
        "k8s_resource_name": "wf-a-b",
        "k8s_resource_type": "Job",
        "status": "succeeded",
        "started_at": BEGAN.strftime("%Y-%m-%dT%H:%M:%S"),
        "finished_at": item["finished_at"],
        "duration_seconds": 12,
        "message": "ended well",
        "init_logs": {"logs": "", "fetched_at": None},
        "execution_logs": {
            "task_id": "run-4",
            "pod_name": "pod-1",
            "container": "main",
            "logs": "done\n",
            "fetched_at": fetched.strftime("%Y-%m-%dT%H:%M:%S"),
            "status_when_fetched": "succeeded",
        },
        "log_updated_at": fetched.strftime("%Y-%m-%dT%H:%M:%S"),
        "metadata": {"purpose": "run", "diagnosis": {"category": "none"}},
    }


def test_a_record_is_live(member: Api, node: WorkflowNode, path: str) -> None:
    running = record(node, 1, status="running", started_at=BEGAN)

    (item,) = member.read(path)["items"]
    assert (item["status"], item["duration_seconds"], item["log_updated_at"]) == ("running", None, None)
    NodeRun.objects.filter(pk=running.pk).update(status="failed", message="exit code 1")
    (item,) = member.read(path)["items"]
    assert (item["status"], item["message"]) == ("failed", "exit code 1")


def test_a_text_that_could_not_be_kept_says_why(member: Api, node: WorkflowNode, path: str) -> None:
    kept = record(node, 1)
    NodeLog.objects.create(node_run=kept, part="execution", error="the pod is gone", fetched_at=BEGAN)

    assert member.read(path)["items"][0]["execution_logs"]["logs"] == "the pod is gone"


def test_records_are_newest_first_and_paged(member: Api, node: WorkflowNode, path: str) -> None:
    numbers = [record(node, number).run.number for number in range(1, 6)][::-1]

    def tasks(query: str) -> list[str]:
        return [item["task_id"] for item in member.read(path + query)["items"]]

    assert tasks("") == [f"run-{number}" for number in numbers]
    assert tasks("?page=2&page_size=2") == ["run-3", "run-2"]
    assert tasks("?page=9") == []
    assert member.read(f"{path}?page=2&page_size=2")["total"] == 5


def test_one_node_can_be_asked_for_also_when_it_is_gone(member: Api, node: WorkflowNode, path: str) -> None:
    other = NodeFactory(instance=node.instance)
    record(node, 1)
    record(other, 1)

    assert [item["node_id"] for item in member.read(f"{path}?node_id={other.pk}")["items"]] == [other.pk]
    WorkflowNode.objects.filter(pk=other.pk).delete()
    assert member.read(f"{path}?node_id={other.pk}")["total"] == 1
    assert member.read(f"{path}?node_id=unknown") == {"total": 0, "page": 1, "page_size": 20, "items": []}
    assert member.read(f"{path}?node_id=")["total"] == 2


def test_records_of_other_instances_are_not_shown(member: Api, path: str) -> None:
    record(NodeFactory(), 1)

    assert member.read(path)["total"] == 0


@pytest.mark.parametrize("query", ["page=0", "page_size=0", "page_size=101", "page=x"])
def test_bad_paging_is_400(member: Api, path: str, query: str) -> None:
    assert member.refused("GET", f"{path}?{query}", status=400)["details"]["fields"][0]["field"] == query.split("=")[0]


def test_records_cost_the_same_queries_whatever_their_number(
    member: Api, django_assert_max_num_queries: Any, node: WorkflowNode, path: str
) -> None:
    def add(count: int) -> None:
        first = NodeRun.objects.count() + 1
        for number in range(first, first + count):
            NodeLog.objects.create(node_run=record(node, number), part="execution", text="x")

    def cost() -> int:
        with django_assert_max_num_queries(6) as queries:
            member.read(f"{path}?page_size=100")
        return len(queries)

    add(1)
    few = cost()
    add(49)

    assert cost() == few


def test_of_very_long_texts_a_page_gives_the_ends(
    member: Api, monkeypatch: pytest.MonkeyPatch, node: WorkflowNode, path: str
) -> None:
    monkeypatch.setattr(selectors, "PAGE_CHARACTERS", 100)
    for number, text in ((1, "short"), (2, "x" * 500 + "end")):
        NodeLog.objects.create(node_run=record(node, number), part="execution", text=text)

    long, short = (item["execution_logs"]["logs"] for item in member.read(path)["items"])

    assert short == "short"
    said, kept = long.split("\n")
    assert "page_size" in said
    assert kept == "x" * 92 + "end"
    alone = member.read(f"{path}?page_size=1")["items"][0]["execution_logs"]["logs"]
    assert alone.endswith("x" * 97 + "end")


@pytest.mark.parametrize(
    ("sizes", "budget", "share"),
    [([], 10, 10), ([3, 4], 10, 10), ([3, 4], 7, 7), ([3, 9], 10, 7), ([9, 9, 9], 10, 3), ([1, 9, 9], 10, 4)],
)
def test_a_budget_is_shared_by_the_longest(sizes: list[int], budget: int, share: int) -> None:
    assert selectors.fair_share(sizes, budget) == share


def test_a_node_without_cluster_object_has_no_pod_log(member: Api, node: WorkflowNode) -> None:
    refusal = member.refused("GET", f"/workflow-instances/{node.instance_id}/nodes/{node.pk}/logs", status=400)

    assert refusal["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "query",
    ["tail_lines=0", "tail_lines=10001", "tail_lines=x", "previous=maybe", "timestamps=2", "timestamp=x"],
)
def test_bad_log_parameters_are_400(member: Api, node: WorkflowNode, query: str) -> None:
    path = f"/workflow-instances/{node.instance_id}/nodes/{node.pk}/logs?{query}"

    assert member.refused("GET", path, status=400)["details"]["fields"][0]["field"] == query.partition("=")[0]


def test_records_go_with_their_instance(member: Api, node: WorkflowNode) -> None:
    NodeLog.objects.create(node_run=record(node, 1), part="execution", text="x")
    InstanceFactory()

    member.send("DELETE", f"/workflow-instances/{node.instance_id}")

    assert WorkflowInstance.objects.count() == 1
    assert not NodeRun.objects.exists()
    assert not NodeLog.objects.exists()
