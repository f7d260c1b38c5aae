"""Observations twice, late, out of order, or of an older attempt (contract E.6)."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from k8s_bridge.diagnosis import Category, Diagnosis
from k8s_bridge.observations import Observation, Phase
from tests.engine import eventually, job, node, statuses, web_app, workflow
from tests.race.seen import seen, wanted
from tests.race.together import launch_all
from workflows.domain.actors import Actor
from workflows.models import Event, NodeRun, Workload
from workflows.services import following, lifecycle
from workflows.services.facts import Facts, look_at_instance
from workflows.services.following import CROWD, Inbox, Pipeline
from workflows.services.observing import apply_observations
from workflows.services.reconciling import news_of

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
REASON = Diagnosis(Category.EXIT_CODE, "Container main ended with exit code 3.", "", "Read its log.")
LIMIT = Diagnosis(Category.BACKOFF_LIMIT, "The job failed: its pod kept failing.", "", "Raise the limit.")
EXPLAINED = "The job failed: its pod kept failing. Container main ended with exit code 3. Read its log."
PHASES = [Phase.WAITING, Phase.PULLING, Phase.RUNNING, Phase.SUCCEEDED]


@pytest.mark.parametrize("order", list(itertools.permutations(PHASES)), ids=lambda order: "-".join(order))
@pytest.mark.parametrize("copies", [1, 2])
def test_any_order_ends_in_the_same_success(order: tuple[Phase, ...], copies: int) -> None:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a = wanted(instance, "a")

    moved = apply_observations(seen(a, phase) for phase in order for _ in range(copies))

    assert moved == 1
    assert statuses(instance) == {"": "succeeded", "a": "succeeded"}
    record = NodeRun.objects.get(instance=instance)
    assert (record.due_at, record.clock_started_at) == (None, None)
    assert Event.objects.filter(instance_id=instance.pk, kind="node.succeeded").count() == 1


@pytest.mark.parametrize("later", [Phase.FAILED, Phase.GONE, Phase.SUCCEEDED, Phase.RUNNING])
def test_an_end_is_final(later: Phase) -> None:
    instance = workflow({"a": job(), "b": job()}, [("a", "b")])
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a = wanted(instance, "a")
    apply_observations([seen(a, Phase.SUCCEEDED)])

    moved = apply_observations([seen(a, later, source="Job")])

    assert moved == 0
    assert statuses(instance) == {"": "running", "a": "succeeded", "b": "running"}


def test_an_old_attempt_says_nothing_about_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    old = wanted(instance, "a")
    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    moved = apply_observations([seen(old, Phase.SUCCEEDED), seen(old, Phase.FAILED, source="Job")])

    assert moved == 0
    assert statuses(instance) == {"": "running", "a": "running"}
    assert wanted(instance, "a").pk > old.pk


def test_an_object_of_another_uid_decides_nothing() -> None:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a = wanted(instance, "a")
    Workload.objects.filter(pk=a.pk).update(state="live", uid="ours")

    moved = apply_observations([seen(a, Phase.FAILED, source="Job", uid="another")])

    assert moved == 0
    assert statuses(instance)["a"] == "running"


def test_what_a_program_writes_cannot_stop_the_engine() -> None:
    instance, other = workflow({"a": job()}), workflow({"a": job()})
    for each in (instance, other):
        lifecycle.start_instance(instance_id=each.pk, actor=ME)
    nasty = Diagnosis(Category.EXIT_CODE, "Container main ended.", "\x00 \ud800 \u202e " + "x" * 5000, "Look.")
    failed = seen(wanted(instance, "a"), Phase.FAILED, source="Job", diagnosis=nasty)

    moved = apply_observations([failed, seen(wanted(other, "a"), Phase.SUCCEEDED)])

    assert moved == 2
    assert statuses(other)[""] == "succeeded"
    assert (node(instance, "a").message or "").startswith("Container main ended. \ufffd ?")


def test_one_observation_that_cannot_be_applied_does_not_keep_the_others_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    instance = workflow({"a": job(), "b": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    poison, good = seen(wanted(instance, "a"), Phase.RUNNING), seen(wanted(instance, "b"), Phase.SUCCEEDED)

    def apply(batch: list[Observation], **options: Any) -> int:
        if poison in batch:
            raise ValueError("cannot be applied")
        return apply_observations(batch, **options)

    monkeypatch.setattr(following, "apply_observations", apply)

    Pipeline()._apply([poison, good], threading.Event())

    assert statuses(instance) == {"": "running", "a": "running", "b": "succeeded"}
    assert "cannot be applied" in caplog.text


def test_the_reason_of_a_failed_job_comes_before_its_failure() -> None:
    instance, other = workflow({"a": job()}), workflow({"a": job()})
    for each in (instance, other):
        lifecycle.start_instance(instance_id=each.pk, actor=ME)
    a = wanted(instance, "a")
    inbox = Inbox()

    inbox.put(seen(wanted(other, "a"), Phase.PULLING))
    inbox.put(seen(a, Phase.WAITING, diagnosis=REASON))
    inbox.put(seen(a, Phase.FAILED, source="Job", diagnosis=LIMIT))
    apply_observations(inbox.take(0.01))

    assert node(instance, "a").message == EXPLAINED
    assert NodeRun.objects.get(instance=instance).diagnosis["category"] == "exit_code"


def test_a_set_up_app_follows_its_deployment_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_wait", lambda is_true: True)
    instance = workflow({"web": web_app(), "other": web_app()})
    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    web, other = wanted(instance, "web"), wanted(instance, "other")

    def deployment(workload: Workload, phase: Phase) -> Observation:
        return seen(workload, phase, source="Deployment")

    apply_observations(
        [
            seen(web, Phase.RUNNING),
            deployment(other, Phase.READY),
            deployment(web, Phase.READY),
            deployment(other, Phase.WAITING),
            deployment(web, Phase.WAITING),
            deployment(web, Phase.READY),
        ]
    )

    assert {name: status for name, status in statuses(instance).items() if name} == {
        "web": "succeeded",
        "other": "running",
    }
    found = node(instance, "other")
    assert (found.message, found.finished_at) == ("the app is no longer ready", None)
    assert found.started_at is not None
    assert node(instance, "web").message is None
    assert {record.node_name: record.status for record in NodeRun.objects.filter(instance=instance)} == {
        "web": "succeeded",
        "other": "running",
    }


def test_an_instance_with_a_crowd_of_nodes_rests_between_two_looks_and_the_others_do_not() -> None:
    crowd, other = workflow({f"n{number}": job() for number in range(CROWD + 5)}), workflow({"a": job()})
    for each in (crowd, other):
        lifecycle.start_instance(instance_id=each.pk, actor=ME)
    inbox = Inbox()
    first, second = (seen(wanted(crowd, name), Phase.SUCCEEDED) for name in ("n0", "n1"))
    running: dict[str, int] = {}

    third = seen(wanted(other, "a"), Phase.SUCCEEDED)

    inbox.rest(crowd.pk, 2)
    inbox.put(first)
    inbox.put(third)
    inbox.put(second)

    assert inbox.take(10) == [third]
    assert inbox.take(10) == [first, second]
    assert apply_observations([first, second], running=running) == 2
    assert running == {crowd.pk: CROWD + 3}


def test_nobody_looks_again_and_again_at_an_instance_that_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    inbox, looks = Inbox(), []
    look = inbox._due
    monkeypatch.setattr(inbox, "_due", lambda now: looks.append(now) or look(now))

    inbox.rest(instance.pk, 60)
    inbox.put(seen(wanted(instance, "a"), Phase.RUNNING))

    assert inbox.take(0.3) == []
    assert len(looks) < 10


def test_a_readiness_that_was_listed_before_the_watch_told_another_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "_wait", lambda is_true: True)
    instance = workflow({"web": web_app()})
    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    launch_all(instance.pk)
    web = wanted(instance, "web")
    is_ready = Facts()

    def has_become_ready() -> bool:
        is_ready.objects = look_at_instance(instance).objects
        return is_ready.objects[web.pk].phase is Phase.READY

    eventually(has_become_ready, what="a ready app")
    apply_observations(is_ready.all())
    listed_before = Facts()
    listed_before.objects[web.pk] = seen(web, Phase.WAITING, source="Deployment")

    assert [found.phase for found in news_of(instance, listed_before)] == [Phase.READY]
    assert list(news_of(instance, is_ready)) == []
