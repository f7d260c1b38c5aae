"""Statements that travel together are worth as much as those that go one by one."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from k8s_bridge.observations import Phase
from tests.engine import job, statuses, workflow
from tests.race.seen import seen, wanted
from workflows.domain.actors import Actor
from workflows.models import Installation, Turn
from workflows.services import lifecycle
from workflows.services.cluster import installation_uid
from workflows.services.observing import apply_observations
from workflows.services.statements import Statements, update_rows

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
ADD = "INSERT INTO secflow_platform_workflow_turn (name, taken_at) VALUES (%s, now()) RETURNING name"


def names() -> list[str]:
    return sorted(Turn.objects.filter(name__startswith="t-").values_list("name", flat=True))


def test_each_sees_what_those_before_it_did_and_tells_what_it_returned() -> None:
    answers: list[Any] = []
    statements = Statements()
    statements.add(ADD, ["t-a"], lambda rows, count: answers.append((rows, count)))
    statements.add(
        "UPDATE secflow_platform_workflow_turn SET name = 't-b' WHERE name = %(name)s",
        {"name": "t-a"},
        lambda rows, count: answers.append((rows, count)),
    )

    with transaction.atomic():
        statements.send()

    assert answers == [([("t-a",)], 1), ([], 1)]
    assert names() == ["t-b"]


@pytest.mark.parametrize("apart", [False, True])
def test_an_error_is_djangos_and_undoes_the_whole_portion_or_only_itself(apart: bool) -> None:
    called: list[int] = []
    statements = Statements()
    for name in ("t-a", "t-a", "t-b"):
        statements.add(ADD, [name], lambda rows, count: called.append(count))

    with pytest.raises(IntegrityError):
        statements.send(apart=apart)

    assert called == []
    assert ("t-a" in names()) == apart
    assert Installation.objects.count() <= 1  # the connection is usable


def test_what_was_sent_is_not_sent_again() -> None:
    statements = Statements()
    statements.add(ADD, ["t-a"])
    statements.send()

    statements.send()

    assert names() == ["t-a"]


def test_rows_are_updated_by_the_fields_of_their_model() -> None:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    workload = wanted(instance, "a")
    statements = Statements()

    update_rows(statements, type(workload), [workload.pk], {"is_pulled": True, "error": "100 %s"})
    statements.send()

    workload.refresh_from_db()
    assert (workload.is_pulled, workload.error) == (True, "100 %s")


@pytest.mark.parametrize("others", [0, 40])
def test_a_hand_off_is_two_portions_and_the_commit_however_large_the_graph(
    others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation_uid()
    nodes = {name: job() for name in ("a", "b", *(f"n{number}" for number in range(others)))}
    instance = workflow(nodes, [("a", "b")])
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    attempt = seen(wanted(instance, "a"), Phase.SUCCEEDED)
    apply_observations(
        [seen(wanted(instance, "a"), Phase.RUNNING)]
    )  # the graph is in memory now, or is read for the first
    portions: list[int] = []
    send = Statements.send

    def counted(self: Statements, *, apart: bool = False) -> None:
        portions.append(len(self._waiting))
        send(self, apart=apart)

    monkeypatch.setattr(Statements, "send", counted)
    with CaptureQueriesContext(connection) as queries:
        assert apply_observations([attempt]) == 1

    alone = [query["sql"] for query in queries if query["sql"] not in ("BEGIN", "COMMIT")]
    assert statuses(instance)["b"] == "running"
    assert len(portions) == 2
    # Beyond the portions there is nothing but the first reading of the graph.
    assert len(alone) - sum(portions) <= 2
