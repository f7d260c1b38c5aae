"""The form of a node shows where the node stands in the graph, made by the server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.admin.pages import form_of
from tests.admin.test_pages import queries
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory
from workflows.admin.building.graph import nearest
from workflows.models import WorkflowInstance, WorkflowNode

_NODES = re.compile(r'<a id="node-([\w-]+)" class="graph-node ([^"]*)"[^>]*>')


def node_url(node: WorkflowNode) -> str:
    return reverse("admin:workflows_workflowinstance_edit_node", args=[node.instance_id, node.pk])


def add_url(instance: WorkflowInstance) -> str:
    template = JobTemplateFactory()
    return reverse("admin:workflows_workflowinstance_add_node", args=[instance.pk]) + f"?template=job:{template.pk}"


def chain(length: int, **fields: Any) -> list[WorkflowNode]:
    """Nodes of one template, each after the one before it."""
    instance = InstanceFactory(**fields)
    nodes = NodeFactory.create_batch(length, instance=instance, template_id=JobTemplateFactory().pk)
    instance.edges = [
        {"edge_id": f"e{at}", "source": nodes[at].pk, "target": nodes[at + 1].pk, "shared_pvc": None}
        for at in range(length - 1)
    ]
    instance.save()
    return nodes


def marked(page: str) -> list[str]:
    """The nodes of the picture that are marked as the one of the page."""
    return [found[1] for found in _NODES.finditer(page) if 'aria-current="true"' in found[0]]


def test_the_form_of_a_node_shows_the_graph_with_the_node_marked(admin: Client, db: None) -> None:
    first, second, third = chain(3)

    page = admin.get(node_url(second)).content.decode()

    assert {found[1] for found in _NODES.finditer(page)} == {first.pk, second.pk, third.pk}
    assert marked(page) == [second.pk]
    assert page.count('<path class="graph-line"') == 2
    assert "this node</span>" in page
    assert f'href="{node_url(third)}"' in page
    assert page.index('class="graph"') < page.index('<form method="post"')


def test_a_refused_form_still_shows_it(admin: Client, db: None) -> None:
    first, _ = chain(2)

    url = node_url(first)
    answer = admin.post(url, form_of(admin.get(url)) | {"name": ""})

    assert answer.status_code == 200
    assert marked(answer.content.decode()) == [first.pk]


def test_a_form_that_cannot_be_edited_shows_how_the_nodes_did(admin: Client, db: None) -> None:
    first, second = chain(2, status="failed")
    WorkflowNode.objects.filter(pk=second.pk).update(status="failed")

    page = admin.get(node_url(first)).content.decode()

    assert f'id="node-{second.pk}" class="graph-node graph-node--failed"' in page
    assert marked(page) == [first.pk]


def test_a_new_node_is_not_in_the_picture_yet(admin: Client, db: None) -> None:
    first, second = chain(2)
    empty = InstanceFactory()

    page = admin.get(add_url(first.instance)).content.decode()

    assert {found[1] for found in _NODES.finditer(page)} == {first.pk, second.pk}
    assert marked(page) == []
    assert "this node</span>" not in page
    assert "The new node is drawn once it is saved." in page
    assert 'class="graph"' not in admin.get(add_url(empty)).content.decode()


def test_only_the_form_of_a_node_marks_one(admin: Client, db: None) -> None:
    first, _ = chain(2)

    page = admin.get(reverse("admin:workflows_workflowinstance_build", args=[first.instance_id])).content.decode()

    assert len(_NODES.findall(page)) == 2
    assert marked(page) == []


def test_the_picture_costs_no_query_however_large_the_graph(
    admin: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = chain(2), chain(40)

    cost = queries(admin, node_url(few[0]))
    assert queries(admin, node_url(many[20])) == cost

    monkeypatch.setattr("workflows.admin.building.overview.built_graph", lambda *args, **kwargs: "")
    assert queries(admin, node_url(many[20])) == cost


def test_of_a_very_large_graph_the_nodes_nearest_to_it_are_drawn(
    admin: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.admin.building.graph.MOST", 5)
    monkeypatch.setattr("workflows.admin.building.overview.MOST", 5)
    nodes = chain(12)

    page = admin.get(node_url(nodes[8])).content.decode()

    assert {found[1] for found in _NODES.finditer(page)} == {node.pk for node in nodes[6:11]}
    assert "7 more nodes, further away, are not drawn." in page


EDGES = [{"source": source, "target": target} for source, target in ("ab", "bc", "cd", "xy", "dz")]


@pytest.mark.parametrize(
    ("start", "most", "expected"),
    [
        ("c", 1, "c"),
        ("c", 3, "cbd"),
        ("c", 6, "cbdaxy"),
        ("a", 99, "abcdxy"),
        ("y", 3, "yxa"),
        ("", 3, "abc"),
        ("gone", 2, "ab"),
        ("c", 0, ""),
    ],
)
def test_nodes_by_distance(start: str, most: int, expected: str) -> None:
    """`z` is no node of the graph, although an edge leads to it."""
    assert "".join(nearest("abcdxy", EDGES, start, most)) == expected
