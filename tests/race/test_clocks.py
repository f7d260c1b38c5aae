"""The clocks of the processes are wrong by ten minutes, this way or that; the database's decides (fault F38)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from k8s_bridge.errors import Rejected, Unreachable
from k8s_bridge.observations import Phase
from tests.engine import job, node, statuses, web_app, workflow
from tests.race.seen import seen, wanted
from workflows import clock
from workflows.domain.actors import Actor
from workflows.locks import lock_instance
from workflows.models import NodeLog, NodeRun, Run, WorkflowInstance, Workload
from workflows.services import lifecycle, reconciling
from workflows.services.cluster import gateway
from workflows.services.launching import launch_workloads
from workflows.services.logs import capture_logs
from workflows.services.observing import apply_observations
from workflows.services.setup import fail_stuck_setups

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
SKEWS = [timedelta(minutes=-10), timedelta(minutes=10)]
HAND_OFF = 13  # statements; every one of them is waited for by the next node


@pytest.fixture(params=SKEWS, ids=["behind", "ahead"])
def skew(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """This process's clock goes wrong now."""
    real = timezone.now

    def now() -> datetime:
        return real() + request.param

    monkeypatch.setattr(timezone, "now", now)
    return request.param  # type: ignore[no-any-return]


def in_seconds(moment: datetime | None) -> float:
    """How far ahead the moment is, by the database's clock."""
    assert moment is not None
    return (moment - clock.now()).total_seconds()


def test_the_limits_of_a_node_count_from_the_database_clock(skew: timedelta) -> None:
    instance = workflow({"a": job()})

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    pulling = NodeRun.objects.get()
    a = wanted(instance, "a")
    apply_observations([seen(a, Phase.RUNNING)])
    counting = NodeRun.objects.get()
    apply_observations([seen(a, Phase.PULLING)])
    again = NodeRun.objects.get()

    pull, timeout = settings.SECFLOW.pull_limit_seconds, settings.SECFLOW.job_timeout_seconds
    assert (pulling.due_reason, in_seconds(pulling.due_at)) == ("pull", pytest.approx(pull, abs=30))
    assert (counting.due_reason, in_seconds(counting.due_at)) == ("timeout", pytest.approx(timeout, abs=30))
    assert in_seconds(counting.clock_started_at) == pytest.approx(0, abs=30)
    assert (again.due_reason, in_seconds(again.due_at)) == ("pull", pytest.approx(pull, abs=30))
    assert again.clock_used < 30
    assert in_seconds(a.due_at) == pytest.approx(10, abs=30)


def test_a_kept_app_has_its_limit_by_the_database_clock(skew: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_wait", lambda is_true: True)
    instance = workflow({"web": web_app()})
    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    Workload.objects.update(state="live", is_pulled=True)
    reconciling.sweep()

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    record = NodeRun.objects.get(run__purpose="run")
    assert in_seconds(record.due_at) == pytest.approx(settings.SECFLOW.app_timeout_seconds, abs=30)
    assert in_seconds(record.clock_started_at) == pytest.approx(0, abs=30)


def test_a_node_expires_when_its_time_is_over_for_the_database(skew: timedelta) -> None:
    late, young = workflow({"a": job()}), workflow({"a": job()})
    for instance in (late, young):
        lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    records = NodeRun.objects.filter(instance=late)
    records.update(due_at=clock.now() - timedelta(minutes=1), due_reason="timeout")
    NodeRun.objects.filter(instance=young).update(due_at=clock.now() + timedelta(minutes=1), due_reason="timeout")

    assert reconciling.sweep()["expired"] == 1

    assert (statuses(late)[""], statuses(young)[""]) == ("failed", "running")


@pytest.mark.parametrize("end", ["observed", "refused", "vanished", "expired", "stopped"])
def test_no_duration_is_negative_when_clocks_differ(
    end: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a = wanted(instance, "a")
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() - timedelta(minutes=10))

    ways: dict[str, Callable[[], Any]] = {
        "observed": lambda: apply_observations([seen(a, Phase.SUCCEEDED)]),
        "refused": lambda: refuse(monkeypatch, a),
        "vanished": lambda: vanish(a),
        "expired": expire,
        "stopped": lambda: lifecycle.stop_instance(instance_id=instance.pk, actor=ME),
    }
    ways[end]()

    found, run, ended = NodeRun.objects.get(), Run.objects.get(), WorkflowInstance.objects.get()
    for row in (found, run, ended, node(instance, "a")):
        assert row.started_at is not None
        assert row.finished_at is not None
        assert row.finished_at >= row.started_at
        assert in_seconds(row.finished_at) == pytest.approx(0, abs=30)


def refuse(monkeypatch: pytest.MonkeyPatch, workload: Workload) -> None:
    def ensure(*args: Any) -> None:
        raise Rejected("no", status=422)

    monkeypatch.setattr(gateway(), "ensure_workload", ensure)
    launch_workloads(workload_ids=[workload.pk])


def vanish(workload: Workload) -> None:
    Workload.objects.update(state="live", uid="gone")
    reconciling.confirm_workloads(workload_ids=[workload.pk])


def expire() -> None:
    NodeRun.objects.update(due_at=clock.now() - timedelta(minutes=1), due_reason="timeout")
    reconciling.sweep()


def test_a_launch_that_failed_is_tried_again_by_the_database_clock(
    skew: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a = wanted(instance, "a")

    def ensure(*args: Any) -> None:
        raise Unreachable("no answer")

    monkeypatch.setattr(gateway(), "ensure_workload", ensure)

    launch_workloads(workload_ids=[a.pk])

    assert in_seconds(wanted(instance, "a").due_at) == pytest.approx(1, abs=20)


def test_a_log_that_cannot_be_read_is_tried_again_by_the_database_clock(
    skew: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    apply_observations([seen(wanted(instance, "a"), Phase.SUCCEEDED)])
    wanted_at = NodeLog.objects.get().due_at

    def no_answer(*args: Any, **kwargs: Any) -> None:
        raise Unreachable("no answer")

    for verb in ("pod_logs", "read_log"):
        monkeypatch.setattr(gateway(), verb, no_answer)

    capture_logs(node_run_ids=[NodeRun.objects.get().pk])

    assert in_seconds(wanted_at) == pytest.approx(0, abs=30)
    assert in_seconds(NodeLog.objects.get().due_at) == pytest.approx(1, abs=20)


def test_set_ups_are_given_up_by_the_database_clock(skew: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_wait", lambda is_true: True)
    old, young = workflow({"web": web_app()}), workflow({"web": web_app()})
    for instance in (old, young):
        lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    Run.objects.filter(instance=old).update(started_at=clock.now() - timedelta(minutes=2))

    assert fail_stuck_setups(limit_seconds=60) == 1

    assert (statuses(old)[""], statuses(young)[""]) == ("failed", "initializing")


def test_what_was_launched_a_moment_ago_is_not_missing(skew: timedelta) -> None:
    young, old = workflow({"a": job()}), workflow({"a": job()})
    for instance in (young, old):
        lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    for instance, age in ((young, timedelta(0)), (old, timedelta(minutes=1))):
        Workload.objects.filter(instance=instance).update(state="live", launched_at=clock.now() - age, due_at=None)

    assert reconciling.reconcile()["missing"] == 1

    assert Workload.objects.get(instance=young).due_at is None
    assert in_seconds(Workload.objects.get(instance=old).due_at) == pytest.approx(10, abs=20)


def test_who_waited_for_the_lock_has_the_time_after_the_wait() -> None:
    instance = workflow({"a": job()})
    waiting, found = threading.Event(), []

    def wait() -> None:
        try:
            with transaction.atomic():
                waiting.set()
                found.append(lock_instance(instance.pk).locked_at)
        finally:
            connections.close_all()

    with transaction.atomic():
        lock_instance(instance.pk)
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait(10)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.5)")
        released = clock.now()
        WorkflowInstance.objects.filter(pk=instance.pk).update(version=1)
    thread.join(10)

    assert found[0] >= released


def test_a_hand_off_costs_few_statements() -> None:
    instance = workflow({"a": job(), "b": job()}, [("a", "b")])
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a = wanted(instance, "a")
    launch_workloads(workload_ids=[a.pk])
    a = wanted(instance, "a")
    apply_observations([seen(a, Phase.RUNNING)])

    with CaptureQueriesContext(connection) as queries:
        moved = apply_observations([seen(a, Phase.SUCCEEDED)])

    assert moved == 1
    assert statuses(instance) == {"": "running", "a": "succeeded", "b": "running"}
    assert len(queries) <= HAND_OFF, "\n".join(query["sql"] for query in queries)
