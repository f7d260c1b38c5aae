"""Edges of a draft (contract F)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import InstanceFactory, NodeFactory
from workflows.domain.statuses import InstanceStatus
from workflows.models import Event, WorkflowInstance, WorkflowNode


class Draft:
    """A draft with three nodes a, b, c."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.instance: WorkflowInstance = InstanceFactory()
        self.id = {name: NodeFactory(instance=self.instance, name=name).pk for name in "abc"}
        self.path = f"/workflow-instances/{self.instance.pk}"

    def edge(self, edge_id: str, source: str, target: str, **fields: Any) -> dict[str, Any]:
        ends = {"source": self.id.get(source, source), "target": self.id.get(target, target)}
        return {"edge_id": edge_id, **ends, **fields}

    def add(self, edge_id: str, source: str, target: str, **fields: Any) -> dict[str, Any]:
        body = {"action": "add", **self.edge(edge_id, source, target, **fields)}
        answer: dict[str, Any] = self.api.send("POST", f"{self.path}/edges", body)
        return answer

    def refused(self, body: dict[str, Any], *, status: int) -> dict[str, Any]:
        before = self.api.read(self.path)
        events = Event.objects.count()
        refusal = self.api.refused("POST", f"{self.path}/edges", body, status=status)
        assert self.api.read(self.path) == before
        assert Event.objects.count() == events
        return refusal

    def relations(self) -> dict[str, tuple[str, str]]:
        name = {pk: name for name, pk in self.id.items()}
        return {
            node.name: (
                "".join(name[pk] for pk in node.depends_on),
                "".join(name[pk] for pk in node.downstream_node_ids),
            )
            for node in WorkflowNode.objects.filter(instance=self.instance)
        }


@pytest.fixture
def draft(member: Api) -> Draft:
    return Draft(member)


def fields_of(refusal: dict[str, Any]) -> list[str]:
    return [item["field"] for item in refusal["details"]["fields"]]


def test_an_added_edge_is_answered_with_the_whole_instance(draft: Draft) -> None:
    answer = draft.add("e1", "a", "b", shared_pvc="data")

    assert answer["edges"] == [draft.edge("e1", "a", "b", shared_pvc="data")]
    assert answer == draft.api.read(draft.path)
    assert draft.relations() == {"a": ("", "b"), "b": ("a", ""), "c": ("", "")}
    event = Event.objects.get()
    assert (event.kind, event.data) == ("edges.changed", {"action": "add", "edge_ids": ["e1"]})


def test_edge_ids_may_be_long(draft: Draft) -> None:
    draft.add("e" * 255, "a", "b")

    draft.refused({"action": "add", **draft.edge("e" * 256, "b", "c")}, status=400)


@pytest.mark.parametrize("left_out", ["edge_id", "source", "target"])
def test_add_needs_three_fields(draft: Draft, left_out: str) -> None:
    body = {"action": "add", **draft.edge("e1", "a", "b")}
    del body[left_out]

    assert fields_of(draft.refused(body, status=400)) == [left_out]


@pytest.mark.parametrize(
    ("edge_id", "source", "target", "status"),
    [
        ("e9", "nowhere", "a", 400),
        ("e9", "a", "nowhere", 400),
        ("e9", "a", "a", 400),
        ("e9", "b", "a", 400),
        ("e1", "a", "c", 409),
        ("e9", "a", "b", 409),
    ],
)
def test_wrong_edges_are_not_added(draft: Draft, edge_id: str, source: str, target: str, status: int) -> None:
    draft.add("e1", "a", "b")

    draft.refused({"action": "add", **draft.edge(edge_id, source, target)}, status=status)


def test_a_node_of_another_instance_is_no_end(draft: Draft) -> None:
    draft.refused({"action": "add", **draft.edge("e1", "a", NodeFactory().pk)}, status=400)


def test_a_cycle_is_named(draft: Draft) -> None:
    draft.add("e1", "a", "b")
    draft.add("e2", "b", "c")

    refusal = draft.refused({"action": "add", **draft.edge("e3", "c", "a")}, status=400)

    cycle = refusal["details"]["cycle"]
    assert cycle[0] == cycle[-1]
    assert set(cycle) == set(draft.id.values())
    steps = set(pairwise(cycle))
    assert steps == {(draft.id[x], draft.id[y]) for x, y in ("ab", "bc", "ca")}


def test_an_update_changes_what_is_given(draft: Draft) -> None:
    draft.add("e1", "a", "b", shared_pvc="data")

    body = {"action": "update", "edge_id": "e1", "target": draft.id["c"]}
    changed = draft.api.send("POST", f"{draft.path}/edges", body)

    assert changed["edges"] == [draft.edge("e1", "a", "c", shared_pvc="data")]
    assert draft.relations() == {"a": ("", "c"), "b": ("", ""), "c": ("a", "")}


@pytest.mark.parametrize(("given", "expected"), [({"shared_pvc": None}, None), ({"shared_pvc": ""}, "data")])
def test_only_an_explicit_null_clears_the_claim(draft: Draft, given: dict[str, Any], expected: str | None) -> None:
    draft.add("e1", "a", "b", shared_pvc="data")

    changed = draft.api.send("POST", f"{draft.path}/edges", {"action": "update", "edge_id": "e1", **given})

    assert changed["edges"][0]["shared_pvc"] == expected


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"edge_id": "e9", "target": "a"}, 404),
        ({"edge_id": "e2"}, 400),
        ({"edge_id": "e2", "target": "nowhere"}, 400),
        ({"edge_id": "e2", "target": "b"}, 400),
        ({"edge_id": "e2", "target": "a"}, 400),
        ({"edge_id": "e3", "target": "b"}, 409),
        ({}, 400),
    ],
)
def test_wrong_updates_change_nothing(draft: Draft, changes: dict[str, str], status: int) -> None:
    draft.add("e1", "a", "b")
    draft.add("e2", "b", "c")
    draft.add("e3", "a", "c")
    ends = {key: draft.id.get(value, value) for key, value in changes.items()}

    draft.refused({"action": "update", **ends}, status=status)


def test_a_deletion_can_be_repeated(draft: Draft) -> None:
    draft.add("e1", "a", "b")
    body = {"action": "delete", "edge_id": "e1", "source": "ignored"}

    assert draft.api.send("POST", f"{draft.path}/edges", body)["edges"] == []
    events = Event.objects.count()
    again = draft.api.send("POST", f"{draft.path}/edges", body)

    assert again["edges"] == []
    assert draft.relations() == {"a": ("", ""), "b": ("", ""), "c": ("", "")}
    assert Event.objects.count() == events


@pytest.mark.parametrize("action", ["remove", "", None, 1, ["add"]])
def test_other_actions_are_400(draft: Draft, action: Any) -> None:
    assert fields_of(draft.refused({**draft.edge("e1", "a", "b"), "action": action}, status=400)) == ["action"]


def test_a_put_replaces_the_whole_set(draft: Draft) -> None:
    draft.add("e1", "a", "b")
    edges = [draft.edge("e2", "b", "a"), draft.edge("e3", "c", "a", shared_pvc="data")]

    changed = draft.api.send("PUT", draft.path, {"edges": edges})

    assert changed["edges"] == [edges[0] | {"shared_pvc": None}, edges[1]]
    assert draft.relations() == {"a": ("bc", ""), "b": ("", "a"), "c": ("", "a")}
    assert draft.api.send("PUT", draft.path, {"edges": []})["edges"] == []
    assert draft.relations() == {"a": ("", ""), "b": ("", ""), "c": ("", "")}


@pytest.mark.parametrize(
    ("edges", "status"),
    [
        ([("e1", "a", "b"), ("e2", "b", "a")], 400),
        ([("e1", "a", "a")], 400),
        ([("e1", "a", "nowhere")], 400),
        ([("e1", "a", "b"), ("e1", "b", "c")], 409),
        ([("e1", "a", "b"), ("e2", "a", "b")], 409),
    ],
)
def test_a_wrong_set_changes_nothing(draft: Draft, edges: list[tuple[str, str, str]], status: int) -> None:
    draft.add("old", "a", "c")
    before = draft.api.read(draft.path)
    body = {"name": "new name", "edges": [draft.edge(*edge) for edge in edges]}

    draft.api.refused("PUT", draft.path, body, status=status)

    assert draft.api.read(draft.path) == before


def test_the_same_set_again_is_no_event(draft: Draft) -> None:
    shown = draft.add("e1", "a", "b")
    events = Event.objects.count()

    assert draft.api.send("PUT", draft.path, {"edges": shown["edges"]}) == shown
    assert Event.objects.count() == events


@pytest.mark.parametrize("status", [status.value for status in InstanceStatus if status != InstanceStatus.PENDING])
def test_edges_are_edited_in_drafts_only(draft: Draft, status: str) -> None:
    draft.add("e1", "a", "b")
    WorkflowInstance.objects.filter(pk=draft.instance.pk).update(status=status)

    for body in (
        {"action": "add", **draft.edge("e2", "b", "c")},
        {"action": "update", "edge_id": "e1", "shared_pvc": "x"},
        {"action": "delete", "edge_id": "e1"},
        {"action": "delete", "edge_id": "unknown"},
    ):
        assert draft.refused(body, status=400)["details"]["status"] == status

    before = draft.api.read(draft.path)
    refusal = draft.api.refused("PUT", draft.path, {"name": "new", "edges": []}, status=400)
    assert refusal["details"]["status"] == status
    assert draft.api.read(draft.path) == before


def test_a_wide_and_deep_graph_is_accepted_at_once(member: Api, django_assert_max_num_queries: Any) -> None:
    instance = InstanceFactory()
    template = NodeFactory(instance=instance).template_id
    WorkflowNode.objects.bulk_create(
        WorkflowNode(
            id=f"wf-node-n-{place:08d}",
            node_id=f"wf-node-n-{place:08d}",
            instance=instance,
            node_type="job",
            template_id=template,
            name=f"n{place}",
        )
        for place in range(2000)
    )
    edges = [
        {"edge_id": f"e{place}", "source": f"wf-node-n-{place:08d}", "target": f"wf-node-n-{place + 1:08d}"}
        for place in range(1999)
    ]

    with django_assert_max_num_queries(25):
        shown = member.send("PUT", f"/workflow-instances/{instance.pk}", {"edges": edges})

    assert len(shown["edges"]) == 1999
    last = next(node for node in shown["nodes"] if node["name"] == "n1999")
    assert last["depends_on"] == ["wf-node-n-00001998"]
