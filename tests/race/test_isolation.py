"""One row that cannot be dealt with must not keep a sweep from the others (promises 1 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone

from k8s_bridge.errors import NotAllowed, Unreachable
from k8s_bridge.observations import Phase
from tests.engine import job, statuses, web_app, workflow
from tests.race.seen import seen, wanted
from workflows.domain.actors import Actor
from workflows.domain.errors import WrongStatus
from workflows.models import Cleanup, NodeRun, Run, WorkflowInstance, Workload
from workflows.services import lifecycle, reconciling, setup
from workflows.services.cluster import gateway
from workflows.services.launching import launch_workloads

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
ERRORS = [
    ValueError("poison"),
    DataError("poison"),
    WrongStatus("poison", status="running", allowed=[]),
    NotAllowed("poison", status=403),
]


@pytest.fixture(autouse=True)
def _all_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """A Celery worker in the process, of another test, has changed the level for all."""
    caplog.set_level("WARNING", logger="workflows")


def running(names: str = "a") -> WorkflowInstance:
    instance = workflow({name: job("sleep 60") for name in names})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    return instance


def poison(monkeypatch: pytest.MonkeyPatch, name: str, is_poison: Callable[..., bool], err: Exception) -> list[str]:
    """Makes a service of the reconciler raise for some of its calls; what it raised for, as it happens."""
    real, hits = getattr(reconciling, name), []

    def call(*args: Any, **kwargs: Any) -> Any:
        if is_poison(*args, **kwargs):
            hits.append(name)
            raise err
        return real(*args, **kwargs)

    monkeypatch.setattr(reconciling, name, call)
    return hits


@pytest.mark.parametrize("err", ERRORS, ids=lambda err: type(err).__name__)
def test_an_overdue_node_that_cannot_be_judged_keeps_no_other_from_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, err: Exception
) -> None:
    flows = sorted([running(), running(), running()], key=lambda flow: flow.pk)
    bad = flows[1]
    NodeRun.objects.update(due_at=timezone.now() - timedelta(hours=1), due_reason="timeout")
    hits = poison(monkeypatch, "look_at_instance", lambda instance: instance.pk == bad.pk, err)

    first, second = reconciling.sweep(), reconciling.sweep()

    assert (first["expired"], second["expired"]) == (2, 0)
    assert [statuses(flow)[""] for flow in flows] == ["failed", "running", "failed"]
    assert len(hits) == 2
    assert f"instance_id {bad.pk}" in caplog.text
    assert "poison" in caplog.text
    monkeypatch.undo()
    assert reconciling.sweep()["expired"] == 1
    assert statuses(bad)[""] == "failed"


def test_one_node_that_cannot_be_expired_keeps_no_other_of_its_workflow_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    instance = running("abc")
    bad = NodeRun.objects.get(node_name="b").pk
    NodeRun.objects.update(due_at=timezone.now() - timedelta(hours=1), due_reason="timeout")
    poison(monkeypatch, "expire_node", lambda *, node_run_id: node_run_id == bad, ValueError("poison"))

    assert reconciling.sweep()["expired"] == 2

    assert statuses(instance) == {"": "running", "a": "failed", "b": "running", "c": "failed"}
    assert f"node_run_id {bad}" in caplog.text


def test_a_cluster_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    flows = [running(), running(), running()]
    NodeRun.objects.update(due_at=timezone.now() - timedelta(hours=1), due_reason="timeout")
    hits = poison(monkeypatch, "look_at_instance", lambda instance: True, Unreachable("no answer"))

    assert reconciling.sweep()["expired"] == 0

    assert len(hits) == 1
    assert {statuses(flow)[""] for flow in flows} == {"running"}


@pytest.mark.parametrize("err", ERRORS, ids=lambda err: type(err).__name__)
def test_a_set_up_that_cannot_be_settled_keeps_no_other_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, err: Exception
) -> None:
    monkeypatch.setattr(lifecycle, "_wait", lambda is_true: True)
    flows = [workflow({"web": web_app()}) for _ in range(3)]
    for flow in flows:
        lifecycle.initialize_instance(instance_id=flow.pk, actor=ME)
    Workload.objects.update(state="live", due_at=None)
    first = WorkflowInstance.objects.filter(status="initializing").exclude(workloads__state="launching").first()
    assert first is not None
    poison(monkeypatch, "settle_setup", lambda instance_id: instance_id == first.pk, err)

    reconciling.sweep()

    found = {flow.pk: statuses(flow)[""] for flow in flows}
    assert found == {flow.pk: "initialized" for flow in flows} | {first.pk: "initializing"}
    assert f"instance_id {first.pk}" in caplog.text


def test_the_watchdog_of_set_ups_goes_on_after_one_that_it_cannot_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_wait", lambda is_true: True)
    flows = [workflow({"web": web_app()}) for _ in range(3)]
    for flow in flows:
        lifecycle.initialize_instance(instance_id=flow.pk, actor=ME)
    Run.objects.update(started_at=timezone.now() - timedelta(days=1))
    real, bad = setup.fail_setup, Run.objects.filter(finished_at__isnull=True)[0].instance_id

    def fail(instance: WorkflowInstance, *args: Any, **kwargs: Any) -> None:
        if instance.pk == bad:
            raise ValueError("poison")
        real(instance, *args, **kwargs)

    monkeypatch.setattr(setup, "fail_setup", fail)

    assert reconciling.sweep()["setups"] == 2

    assert {flow.pk for flow in flows if statuses(flow)[""] == "initializing"} == {bad}


@pytest.mark.parametrize("err", ERRORS, ids=lambda err: type(err).__name__)
def test_a_run_that_cannot_go_on_keeps_no_other_idle(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, err: Exception
) -> None:
    flows = [running(), running(), running()]
    NodeRun.objects.update(status="succeeded")
    bad = Run.objects.filter(finished_at__isnull=True)[0]
    hits = poison(monkeypatch, "advance", lambda instance, run, **kwargs: run.pk == bad.pk, err)

    assert reconciling.sweep()["runs"] == 2

    assert len(hits) == 1
    assert {flow.pk for flow in flows if statuses(flow)[""] == "running"} == {bad.instance_id}
    assert f"run_id {bad.pk}" in caplog.text


def test_one_workflow_whose_news_cannot_be_applied_does_not_end_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    flows = [workflow({"a": job("exit 0")}) for _ in range(3)]
    for flow in flows:
        lifecycle.start_instance(instance_id=flow.pk, actor=ME)
    facts = reconciling.Facts()
    for workload in Workload.objects.all():
        facts.objects[workload.pk] = seen(workload, Phase.SUCCEEDED, source="Job")
    monkeypatch.setattr(reconciling, "look_at_all", lambda: facts)
    bad = wanted(flows[0], "a")
    poison(monkeypatch, "apply_observations", lambda news: news[0].attempt == bad.pk, ValueError("poison"))

    counts = reconciling.reconcile()

    assert counts["moved"] == 2
    assert [statuses(flow)[""] for flow in flows] == ["running", "succeeded", "succeeded"]


def test_one_stray_that_cannot_be_removed_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    flows = sorted([running(), running(), running()], key=lambda flow: flow.pk)
    launch_workloads(workload_ids=list(Workload.objects.values_list("pk", flat=True)))
    Workload.objects.update(state="gone", due_at=None)
    bad = flows[0].pk
    poison(monkeypatch, "request_cleanup", lambda instance, **kwargs: instance.pk == bad, ValueError("poison"))

    reconciling.reconcile()

    assert set(Cleanup.objects.values_list("pk", flat=True)) == {flow.pk for flow in flows[1:]}


def test_one_object_that_may_not_be_read_does_not_keep_the_others_from_being_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flows = [running(), running()]
    Workload.objects.update(state="live", uid="gone", launched_at=timezone.now() - timedelta(hours=1))
    bad = wanted(flows[0], "a")
    real = gateway().read_workload

    def read(namespace: str, kind: str, name: str) -> Any:
        if name == bad.name:
            raise NotAllowed("poison", status=403)
        return real(namespace, kind, name)

    monkeypatch.setattr(gateway(), "read_workload", read)

    moved = reconciling.confirm_workloads(
        workload_ids=list(Workload.objects.order_by("pk").values_list("pk", flat=True))
    )

    assert moved == 1
    assert [statuses(flow)[""] for flow in flows] == ["running", "failed"]


@pytest.mark.parametrize("is_back", [True, False], ids=["it comes back", "it stays away"])
def test_a_lost_connection_is_made_anew_and_a_database_that_is_away_ends_the_sweep(
    monkeypatch: pytest.MonkeyPatch, is_back: bool
) -> None:
    flows = [running(), running(), running()]
    NodeRun.objects.update(status="succeeded")
    tries: list[int] = []
    real = reconciling.advance

    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the database is away")

    def lose(*args: Any, **kwargs: Any) -> None:
        tries.append(1)
        if len(tries) > 1:
            real(*args, **kwargs)
            return
        if not is_back:
            monkeypatch.setattr(connection, "get_new_connection", away)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(reconciling, "advance", lose)

    if is_back:
        assert reconciling.sweep()["runs"] == 2
        assert sorted(statuses(flow)[""] for flow in flows) == ["running", "succeeded", "succeeded"]
    else:
        with pytest.raises(OperationalError, match="the database is away"):
            reconciling.sweep()
        monkeypatch.undo()
        assert {statuses(flow)[""] for flow in flows} == {"running"}
    assert len(tries) == (3 if is_back else 1)
