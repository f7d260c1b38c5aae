"""Two authors at once: the lock of the instance lets one after the other in (contract F, H.2, A.8)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from tests.factories import AppTemplateFactory, InstanceFactory, NodeFactory
from workflows.domain.actors import Actor
from workflows.domain.errors import Conflict, CycleFound, DomainError
from workflows.models import Event, WorkflowInstance, WorkflowNode
from workflows.services.authoring_edges import add_edge
from workflows.services.authoring_nodes import create_node, delete_node
from workflows.services.authoring_rules import new_ids

AUTHOR = Actor(id="1", is_admin=True)


def at_once(*calls: Callable[[], Any]) -> list[type[DomainError] | None]:
    """Runs the calls at the same time, each on a connection of its own; what each raised, in order."""
    start = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> type[DomainError] | None:
        try:
            start.wait(10)
            call()
        except DomainError as err:
            return type(err)
        finally:
            connection.close()
        return None

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.mark.django_db(transaction=True)
def test_one_service_name_goes_to_one_of_two_authors() -> None:
    instance = InstanceFactory()
    config = {"node_type": "app", "template_id": AppTemplateFactory().pk, "name": "n", "service_name": "web"}
    config |= {"env_vars": [], "volume_mounts": [], "input_env_vars": [], "input_volume_mounts": []}

    results = at_once(*[lambda: create_node(instance_id=instance.pk, actor=AUTHOR, config=config)] * 4)

    assert sorted(results, key=str) == sorted([None, Conflict, Conflict, Conflict], key=str)
    assert WorkflowNode.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_edges_cannot_close_a_cycle_together() -> None:
    instance = InstanceFactory()
    a, b = NodeFactory(instance=instance).pk, NodeFactory(instance=instance).pk

    def connect(edge_id: str, source: str, target: str) -> Callable[[], None]:
        edge = {"edge_id": edge_id, "source": source, "target": target, "shared_pvc": None}
        return lambda: add_edge(instance_id=instance.pk, actor=AUTHOR, edge=edge)

    results = at_once(connect("ab", a, b), connect("ba", b, a))

    assert sorted(results, key=str) == sorted([None, CycleFound], key=str)
    instance.refresh_from_db()
    assert len(instance.edges) == 1


@pytest.mark.django_db(transaction=True)
def test_no_write_of_many_is_lost_and_the_journal_has_no_gap() -> None:
    instance = InstanceFactory()
    hub = NodeFactory(instance=instance).pk
    others = [NodeFactory(instance=instance).pk for _ in range(6)]

    def connect(target: str) -> Callable[[], None]:
        edge = {"edge_id": f"to-{target}", "source": hub, "target": target, "shared_pvc": None}
        return lambda: add_edge(instance_id=instance.pk, actor=AUTHOR, edge=edge)

    assert at_once(*map(connect, others)) == [None] * 6

    assert set(WorkflowNode.objects.get(pk=hub).downstream_node_ids) == set(others)
    assert len(WorkflowInstance.objects.get().edges) == 6
    assert list(Event.objects.order_by("sequence").values_list("sequence", flat=True)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.django_db(transaction=True)
def test_an_edge_and_the_deletion_of_its_end_leave_no_dangling_edge() -> None:
    instance = InstanceFactory()
    a, b = NodeFactory(instance=instance).pk, NodeFactory(instance=instance).pk
    edge = {"edge_id": "ab", "source": a, "target": b, "shared_pvc": None}

    at_once(
        lambda: add_edge(instance_id=instance.pk, actor=AUTHOR, edge=edge),
        lambda: delete_node(instance_id=instance.pk, node_id=b, actor=AUTHOR),
    )

    instance.refresh_from_db()
    assert instance.edges == []
    assert WorkflowNode.objects.get().downstream_node_ids == []


@pytest.mark.django_db
def test_a_suffix_is_never_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    NodeFactory(id="wf-node-other-name-aaaaaaaa")
    # The first two suffixes that chance gives are used: one in the table, one by the id before.
    letters = iter("a" * 8 + "b" * 8 + "b" * 8 + "c" * 8)
    monkeypatch.setattr(secrets, "choice", lambda _: next(letters))

    assert new_ids(WorkflowNode, "wf-node", ["first", "second"]) == [
        "wf-node-first-bbbbbbbb",
        "wf-node-second-cccccccc",
    ]
