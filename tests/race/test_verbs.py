"""Verbs that meet: two callers, or a caller and the cluster (contract D.2, E.2)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from k8s_bridge.observations import Phase
from tests.engine import job, node, statuses, workflow
from tests.race.seen import seen, wanted
from tests.race.together import together
from workflows.domain.actors import Actor
from workflows.domain.errors import Invalid, WrongStatus
from workflows.locks import lock_instance
from workflows.models import Cleanup, Event, Run, WorkflowInstance, Workload
from workflows.services import lifecycle
from workflows.services.journal import Entry, append
from workflows.services.observing import apply_observations
from workflows.services.triggers import fire_http_trigger

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster", "no_waiting")]
ME = Actor(id="1", name="me")


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs here, so nobody waits for what one would do."""
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)


def kinds(instance: WorkflowInstance) -> list[str]:
    """The journal's kinds in order; its sequence has no gap."""
    rows = list(Event.objects.filter(instance_id=instance.pk).order_by("sequence").values_list("sequence", "kind"))
    assert [sequence for sequence, _ in rows] == list(range(1, len(rows) + 1))
    return [kind for _, kind in rows]


def test_of_two_starts_at_once_one_runs_and_the_other_is_told_the_status() -> None:
    instance = workflow({"a": job(), "b": job()}, [("a", "b")])

    results = together(*[lambda: lifecycle.start_instance(instance_id=instance.pk, actor=ME)] * 2)

    refused = [result for result in results if result is not None]
    assert [type(result) for result in refused] == [WrongStatus]
    assert refused[0].details == {"status": "running", "allowed": ["pending", "initialized", "stopped"]}
    assert Run.objects.filter(instance=instance).count() == 1
    assert Workload.objects.filter(instance=instance).count() == 1
    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 1
    assert kinds(instance) == ["run.accepted", "node.running"]


@pytest.mark.parametrize("turn", range(4))
def test_start_and_stop_at_once_leave_one_clear_state(turn: int) -> None:
    instance = workflow({"a": job()})
    WorkflowInstance.objects.filter(pk=instance.pk).update(status="initialized")

    results = together(
        lambda: lifecycle.start_instance(instance_id=instance.pk, actor=ME),
        lambda: lifecycle.stop_instance(instance_id=instance.pk, actor=ME),
    )

    assert results == [None, None]
    run = Run.objects.get(instance=instance)
    is_last = kinds(instance).index("run.accepted") > kinds(instance).index("instance.stopped")
    wanted_now = Workload.objects.filter(instance=instance, state__in=("launching", "live")).count()
    if is_last:
        assert (statuses(instance), run.status, wanted_now) == ({"": "running", "a": "running"}, "running", 1)
    else:
        assert (statuses(instance), run.status, wanted_now) == ({"": "stopped", "a": "stopped"}, "stopped", 0)


@pytest.mark.parametrize("turn", range(4))
def test_stop_and_success_at_once_have_one_end_and_launch_nothing_after_the_stop(turn: int) -> None:
    instance = workflow({"a": job(), "b": job()}, [("a", "b")])
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    success = seen(wanted(instance, "a"), Phase.SUCCEEDED)

    results = together(
        lambda: lifecycle.stop_instance(instance_id=instance.pk, actor=ME),
        lambda: apply_observations([success]),
    )

    assert results[0] is None
    assert results[1] in (0, 1)
    assert statuses(instance) == {"": "stopped", "a": "stopped", "b": "stopped"}
    assert Run.objects.get(instance=instance).status == "stopped"
    assert not Workload.objects.filter(instance=instance, state__in=("launching", "live")).exists()
    assert [kind for kind in kinds(instance) if kind.startswith(("run.", "instance."))] == [
        "run.accepted",
        "instance.stopped",
    ]
    assert apply_observations([success]) == 0


@pytest.mark.parametrize("turn", range(4))
def test_stop_and_the_last_success_at_once_end_the_run_once(turn: int) -> None:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    success = seen(wanted(instance, "a"), Phase.SUCCEEDED)

    stopped, _ = together(
        lambda: lifecycle.stop_instance(instance_id=instance.pk, actor=ME),
        lambda: apply_observations([success]),
    )

    status = statuses(instance)[""]
    assert status == ("stopped" if stopped is None else "succeeded")
    assert Run.objects.get(instance=instance).status == status
    ends = [kind for kind in kinds(instance) if kind in ("run.succeeded", "instance.stopped")]
    assert ends == ["instance.stopped" if stopped is None else "run.succeeded"]


def test_a_trigger_that_meets_deactivate_is_accepted_before_it_or_not_at_all() -> None:
    instance = workflow({"a": job()}, run_mode="persistent", trigger_type="http", trigger_enabled=True)
    WorkflowInstance.objects.filter(pk=instance.pk).update(status="initialized")

    triggered, deactivated = together(
        lambda: fire_http_trigger(instance_id=instance.pk, secret=None),
        lambda: lifecycle.deactivate_instance(instance_id=instance.pk, actor=ME),
    )

    assert deactivated is None
    if triggered is None:
        assert kinds(instance) == ["run.accepted", "node.running", "instance.deactivated"]
    else:
        assert isinstance(triggered, Invalid)
        assert kinds(instance) == ["instance.deactivated"]


def test_a_trigger_that_was_checked_before_deactivate_and_comes_after_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance = workflow({"a": job()}, run_mode="persistent", trigger_type="http", trigger_enabled=True)
    WorkflowInstance.objects.filter(pk=instance.pk).update(status="initialized")
    check = lifecycle.check_cluster

    def check_and_lose_time(*args: Any) -> None:
        check(*args)
        lifecycle.deactivate_instance(instance_id=instance.pk, actor=ME)

    monkeypatch.setattr(lifecycle, "check_cluster", check_and_lose_time)

    with pytest.raises(Invalid, match="is not active"):
        fire_http_trigger(instance_id=instance.pk, secret=None)

    assert kinds(instance) == ["instance.deactivated"]
    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 0


def test_ten_triggers_at_once_accept_one_run() -> None:
    instance = workflow({"a": job()}, run_mode="persistent", trigger_type="http", trigger_enabled=True)
    WorkflowInstance.objects.filter(pk=instance.pk).update(status="stopped")

    results = together(*[lambda: fire_http_trigger(instance_id=instance.pk, secret=None)] * 10)

    assert sum(result is None for result in results) == 1
    assert {type(result) for result in results if result is not None} == {WrongStatus}
    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 1


@pytest.mark.parametrize("verb", ["uninitialize", "delete"])
def test_a_start_cannot_come_between_a_removal_and_its_end(verb: str) -> None:
    instance = workflow({"a": job()}, run_mode="persistent")
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)

    call = getattr(lifecycle, f"{verb}_instance")
    removed, started = together(
        lambda: call(instance_id=instance.pk, actor=ME),
        lambda: lifecycle.start_instance(instance_id=instance.pk, actor=ME),
    )

    goal = Cleanup.objects.get(pk=instance.pk).goal
    assert removed is None
    assert goal == verb
    assert not Workload.objects.filter(instance=instance, state__in=("launching", "live")).exists()
    assert not Run.objects.filter(instance=instance, finished_at__isnull=True).exists()
    assert started is None or f"being {verb}d" in started.message


def test_twenty_writers_leave_no_gap_in_the_journal() -> None:
    instance = workflow({"a": job()})

    def write() -> None:
        for _ in range(5):
            with transaction.atomic():
                append(lock_instance(instance.pk), Entry("test.one", "1"), Entry("test.two", "1"))

    results = together(*[write] * 20)

    assert results == [None] * 20
    assert len(kinds(instance)) == 200
    assert WorkflowInstance.objects.get(pk=instance.pk).version == 200


def test_node_rows_and_records_agree_after_a_flood_of_observations_in_any_order() -> None:
    instance = workflow({"a": job(), "b": job(), "c": job()}, [("a", "c"), ("b", "c")])
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a, b = wanted(instance, "a"), wanted(instance, "b")
    flood = [
        [seen(a, Phase.RUNNING), seen(b, Phase.SUCCEEDED), seen(a, Phase.PULLING)],
        [seen(b, Phase.RUNNING), seen(a, Phase.SUCCEEDED), seen(b, Phase.SUCCEEDED)],
        [seen(a, Phase.SUCCEEDED), seen(a, Phase.RUNNING), seen(b, Phase.FAILED, source="Job")],
    ]

    results = together(*[lambda batch=batch: apply_observations(batch) for batch in flood * 3])  # type: ignore[misc]

    assert not [result for result in results if isinstance(result, Exception)]
    assert kinds(instance).count("node.running") == 3 or node(instance, "b").status == "failed"
    assert kinds(instance).count("node.succeeded") + kinds(instance).count("node.failed") == 2
    run = Run.objects.get(instance=instance)
    assert {record.node_name: record.status for record in run.node_runs.all()} == {
        name: status for name, status in statuses(instance).items() if name
    }
