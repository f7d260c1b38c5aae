"""Why a node failed or does not get on, at the node itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import InstanceFactory, NodeFactory, NodeRunFactory, RunFactory
from workflows.models import WorkflowInstance, WorkflowNode


def diagnosis(summary: str) -> dict[str, str]:
    return {"category": "image_pull", "summary": summary, "detail": "not found", "resolution": "Check the image."}


def ran(instance: WorkflowInstance, node: WorkflowNode, number: int, found: dict[str, str] | None) -> None:
    NodeRunFactory(run=RunFactory(instance=instance, number=number), node=node, diagnosis=found)


@pytest.mark.parametrize("status", ["pending", "running", "failed"])
def test_a_node_in_trouble_shows_what_its_newest_record_says(member: Api, status: str) -> None:
    instance = InstanceFactory()
    node = NodeFactory(instance=instance, status=status, message="no image")
    ran(instance, node, 1, diagnosis("before"))
    ran(instance, node, 2, diagnosis("now"))
    path = f"/workflow-instances/{instance.pk}"

    for shown in (
        member.read(f"{path}/nodes/{node.pk}"),
        member.read(f"{path}/nodes")[0],
        member.read(path)["nodes"][0],
    ):
        assert shown["diagnosis"] == diagnosis("now")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"status": "succeeded", "message": "the app was ready already"}, diagnosis("old")),
        ({"status": "pending", "message": None}, diagnosis("old")),
        ({"status": "failed", "message": "it failed"}, None),
    ],
)
def test_a_node_without_trouble_has_no_such_field(
    member: Api, fields: dict[str, Any], found: dict[str, str] | None
) -> None:
    instance = InstanceFactory()
    node = NodeFactory(instance=instance, **fields)
    ran(instance, node, 1, found)

    assert "diagnosis" not in member.read(f"/workflow-instances/{instance.pk}/nodes/{node.pk}")


def test_many_troubled_nodes_cost_one_query(member: Api, django_assert_max_num_queries: Any) -> None:
    def cost(count: int) -> int:
        instance = InstanceFactory()
        for _ in range(count):
            ran(
                instance,
                NodeFactory(instance=instance, status="failed", message="m"),
                instance.run_set.count() + 1,
                None,
            )
        with django_assert_max_num_queries(8) as queries:
            member.read(f"/workflow-instances/{instance.pk}")
        return len(queries)

    assert cost(1) == cost(20)
