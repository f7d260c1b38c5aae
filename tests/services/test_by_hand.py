"""Only sweep, reconcile and the work itself, called by hand: no watcher, and every message is lost (promises 1, 6, 9)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.engine import eventually, job, node, objects_of, statuses, web_app, workflow
from workflows import dispatch
from workflows.domain.actors import Actor
from workflows.models import Cleanup, NodeLog, NodeRun, Workload
from workflows.services import cleaning, launching, lifecycle, logs, reconciling
from workflows.services.cluster import gateway

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")

WORK: dict[str, Callable[..., Any]] = {
    dispatch.LAUNCH_WORKLOADS: launching.launch_workloads,
    dispatch.CONFIRM_WORKLOADS: reconciling.confirm_workloads,
    dispatch.CLEAN_UP_INSTANCE: cleaning.clean_up_instance,
    dispatch.CAPTURE_LOGS: logs.capture_logs,
}


class Sweeper:
    """Lets time pass: what is due by now is found by a sweep, and what the sweep sends is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sent: list[tuple[str, dict[str, Any]]] = []
        for module in (dispatch, reconciling):
            monkeypatch.setattr(module, "send", self._send)

    def _send(self, task: str, **kwargs: Any) -> bool:
        self._sent.append((task, kwargs))
        return True

    def turn(self) -> None:
        self._sent.clear()  # whatever was sent so far is lost
        earlier = timezone.now() - timedelta(minutes=5)
        Workload.objects.filter(due_at__isnull=False, lease_until__isnull=True).update(due_at=earlier)
        Workload.objects.update(launched_at=earlier)
        NodeLog.objects.filter(due_at__isnull=False).update(due_at=earlier)
        Cleanup.objects.update(due_at=earlier)
        reconciling.reconcile()
        reconciling.sweep()
        for task, kwargs in list(self._sent):
            WORK[task](**kwargs)

    def until(self, is_true: Callable[[], bool], *, what: str) -> None:
        def after_a_turn() -> bool:
            self.turn()
            return is_true()

        eventually(after_a_turn, what=what)


@pytest.fixture
def sweeper(monkeypatch: pytest.MonkeyPatch) -> Sweeper:
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)
    monkeypatch.setattr(lifecycle, "_wait", lambda is_true: True)
    return Sweeper(monkeypatch)


def test_a_diamond_comes_to_its_end(sweeper: Sweeper) -> None:
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]
    instance = workflow({name: job(f"echo {name}") for name in "abcd"}, edges)
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    sweeper.until(lambda: statuses(instance)[""] == "succeeded", what="the end of the diamond")

    assert node(instance, "d").started_at >= max(node(instance, name).finished_at for name in "bc")
    assert Workload.objects.filter(instance=instance).count() == 4
    sweeper.until(lambda: not NodeLog.objects.filter(due_at__isnull=False).exists(), what="the logs")
    assert sorted(NodeLog.objects.values_list("text", flat=True)) == ["a\n", "b\n", "c\n", "d\n"]


def test_an_app_is_set_up_and_removed_again(sweeper: Sweeper) -> None:
    instance = workflow({"web": web_app()})
    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)

    sweeper.until(lambda: statuses(instance) == {"": "initialized", "web": "succeeded"}, what="readiness")
    lifecycle.uninitialize_instance(instance_id=instance.pk, actor=ME)
    assert statuses(instance)[""] == "initialized"
    sweeper.until(lambda: statuses(instance) == {"": "pending", "web": "pending"}, what="the removal")

    assert objects_of(instance) == []


def test_a_failed_job_is_found(sweeper: Sweeper) -> None:
    instance = workflow({"bad": job("exit 7"), "next": job()}, [("bad", "next")])
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    sweeper.until(lambda: statuses(instance)[""] == "failed", what="the failure")

    assert "exit code 7" in (node(instance, "bad").message or "")
    assert statuses(instance)["next"] == "pending"


def test_a_deleted_object_is_found(sweeper: Sweeper) -> None:
    instance = workflow({"long": job("sleep 300")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    sweeper.until(lambda: Workload.objects.filter(instance=instance, state="live").exists(), what="the launch")
    workload = Workload.objects.get(instance=instance)

    gateway().delete_workload(workload.namespace, "Job", workload.name, workload.uid or "")
    sweeper.until(lambda: statuses(instance) == {"": "failed", "long": "failed"}, what="the failure")

    assert "was deleted from outside" in (node(instance, "long").message or "")
    assert Workload.objects.get(instance=instance).state == "gone"


def test_a_job_that_ended_in_time_but_was_not_seen_has_not_timed_out(sweeper: Sweeper) -> None:
    instance = workflow({"quick": job("true")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    launching.launch_workloads(workload_ids=[Workload.objects.get(instance=instance).pk])
    workload = Workload.objects.get(instance=instance)
    eventually(
        lambda: bool(
            (gateway().read_workload(workload.namespace, "Job", workload.name) or {})["status"].get("succeeded")
        ),
        what="the job's end",
    )
    NodeRun.objects.update(due_at=timezone.now() - timedelta(seconds=1), due_reason="timeout")

    counts = reconciling.sweep()

    assert counts["expired"] == 0
    assert statuses(instance) == {"": "succeeded", "quick": "succeeded"}
