"""The HTTP trigger and the trigger of the console (contract D.7, D.8, M.2)."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from secflow.settings.values import Rate
from tests.engine import eventually, job, workflow
from tests.race.together import together
from workflows import clock
from workflows.domain.actors import Actor
from workflows.domain.errors import DomainError, Invalid, NotFound, RateLimited, Unauthenticated, WrongStatus
from workflows.models import Event, Run, WorkflowInstance
from workflows.services import rates
from workflows.services.triggers import fire_http_trigger, trigger_instance, trigger_secret

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
ROOT = Path(__file__).parents[2]
OPEN = {
    "run_mode": "persistent",
    "trigger_type": "http",
    "trigger_enabled": True,
    "is_active": True,
    "status": "initialized",
}
# Each row switches one thing more on, in the order of contract D.7: the first thing that is wrong decides the answer.
CHECKS: list[tuple[str, Any, Any, str]] = [
    ("run_mode", "once", Invalid, "persistent workflows only"),
    ("trigger_type", "manual", Invalid, "trigger type is not http"),
    ("trigger_enabled", False, Invalid, "switched off"),
    ("is_active", False, Invalid, "is not active; activate it first"),
    ("status", "running", WrongStatus, "is running, which does not allow to trigger"),
]


@pytest.fixture
def change_settings(settings: Any) -> Callable[..., None]:
    def change(**changes: Any) -> None:
        settings.SECFLOW = replace(django_settings.SECFLOW, **changes)

    return change


def flow(**changes: Any) -> WorkflowInstance:
    return workflow({"a": job()}, **(OPEN | changes))


def answer_of(instance: WorkflowInstance) -> DomainError:
    """What a call without a secret is refused with."""
    with pytest.raises(DomainError) as caught:
        fire_http_trigger(instance_id=instance.pk, secret=None)
    return caught.value


def rest(instance: WorkflowInstance) -> None:
    """The run is over, as far as the next trigger can see."""
    Run.objects.filter(instance=instance).update(status="succeeded", finished_at="2026-01-01T00:00:00Z")
    WorkflowInstance.objects.filter(pk=instance.pk).update(status="succeeded")


@pytest.mark.parametrize("first_wrong", range(len(CHECKS)), ids=[row[0] for row in CHECKS])
def test_the_first_check_that_fails_decides(first_wrong: int, change_settings: Callable[..., None]) -> None:
    change_settings(trigger_secrets_required=True)
    instance = flow(**{field: value for field, value, _, _ in CHECKS[first_wrong:]})
    _, _, error, words = CHECKS[first_wrong]

    with pytest.raises(DomainError, match=words) as caught:
        fire_http_trigger(instance_id=instance.pk, secret=None)

    assert type(caught.value) is error
    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 0
    assert not Event.objects.filter(instance_id=instance.pk).exists()


def test_an_instance_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        fire_http_trigger(instance_id="wf-inst-none-00000000", secret=None)


@pytest.mark.parametrize("secret", [None, "", "wrong", "\udcff"])
def test_a_secret_that_is_required_must_be_right(secret: str | None, change_settings: Callable[..., None]) -> None:
    change_settings(trigger_secrets_required=True)
    instance = flow()

    with pytest.raises(Unauthenticated, match="X-Trigger-Token"):
        fire_http_trigger(instance_id=instance.pk, secret=secret)

    assert not Run.objects.exists()
    fire_http_trigger(instance_id=instance.pk, secret=trigger_secret(instance.pk))
    assert Run.objects.get().trigger == "http"


def test_the_rate_is_counted_for_each_instance_and_its_http_trigger(change_settings: Callable[..., None]) -> None:
    change_settings(trigger_rate=Rate(count=2, seconds=60))
    busy, quiet = flow(), flow()
    for _ in range(2):
        fire_http_trigger(instance_id=busy.pk, secret=None)
        rest(busy)

    with pytest.raises(RateLimited, match="triggered 2 times within 60 s") as caught:
        fire_http_trigger(instance_id=busy.pk, secret=None)

    assert 55 <= caught.value.details["retry_after"] <= 60
    assert WorkflowInstance.objects.get(pk=busy.pk).run_count == 2
    fire_http_trigger(instance_id=quiet.pk, secret=None)
    trigger_instance(instance_id=busy.pk, actor=ME)


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"status": "running"}, WrongStatus), ({"trigger_enabled": False}, Invalid), ({"run_mode": "once"}, Invalid)],
    ids=["status", "switch", "mode"],
)
def test_refused_calls_count_too(
    changes: dict[str, Any], error: type[DomainError], change_settings: Callable[..., None]
) -> None:
    change_settings(trigger_rate=Rate(count=3, seconds=60))
    instance = flow(**changes)

    answers = [type(answer_of(instance)) for _ in range(5)]

    assert answers == [error] * 3 + [RateLimited] * 2


def test_calls_at_the_same_moment_are_counted_one_by_one(change_settings: Callable[..., None]) -> None:
    change_settings(trigger_rate=Rate(count=3, seconds=60))
    instance = flow(status="running")

    answers = together(*[lambda: fire_http_trigger(instance_id=instance.pk, secret=None)] * 12)

    assert Counter(type(answer) for answer in answers) == {WrongStatus: 3, RateLimited: 9}


def test_another_process_counts_with_us(change_settings: Callable[..., None], redis_url: str) -> None:
    change_settings(trigger_rate=Rate(count=3, seconds=60))
    instance = flow(status="running")
    script = f"""
from workflows.services.rates import counter_at
print([counter_at({redis_url!r}).count("trigger:{instance.pk}:calls", seconds=60)[0] for _ in range(2)])
"""

    other = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert other.stdout.strip() == "[1, 2]"
    assert [type(answer_of(instance)) for _ in range(2)] == [WrongStatus, RateLimited]


def test_the_count_begins_again_when_its_time_is_over(change_settings: Callable[..., None], redis_url: str) -> None:
    change_settings(trigger_rate=Rate(count=1, seconds=60))
    instance = flow(status="running")
    assert [type(answer_of(instance)) for _ in range(3)] == [WrongStatus, RateLimited, RateLimited]
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys(f"*{instance.pk}*")
        assert 0 < client.pttl(key) <= 60_000
        client.pexpire(key, 1)
        eventually(lambda: not client.exists(key), seconds=10, what="the end of the window")

    assert type(answer_of(instance)) is WrongStatus


def test_strangers_do_not_use_up_the_calls_of_those_who_know_the_secret(change_settings: Callable[..., None]) -> None:
    change_settings(trigger_rate=Rate(count=2, seconds=60), trigger_secrets_required=True)
    instance = flow()
    answers = [type(answer_of(instance)) for _ in range(4)]

    fire_http_trigger(instance_id=instance.pk, secret=trigger_secret(instance.pk))

    assert answers == [Unauthenticated] * 2 + [RateLimited] * 2
    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 1


def test_an_instance_that_is_not_there_leaves_no_count(change_settings: Callable[..., None], redis_url: str) -> None:
    change_settings(trigger_rate=Rate(count=2, seconds=60))

    with pytest.raises(NotFound):
        fire_http_trigger(instance_id="wf-inst-none-00000000", secret=None)

    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("*wf-inst-none-00000000*") == []


@pytest.fixture(params=["refuses", "says nothing", "no address"])
def away(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The address of a Valkey that is of no use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "says nothing":
            listener.listen()
        port = listener.getsockname()[1]
        yield None if request.param == "no address" else f"redis://127.0.0.1:{port}/0"


def test_without_valkey_accepted_runs_are_counted(
    away: str | None, change_settings: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    change_settings(trigger_rate=Rate(count=2, seconds=60), redis_url=away)
    caplog.set_level("WARNING", logger="workflows")  # a Celery worker of another test has changed the level for all
    instance = flow()
    began = time.monotonic()
    for _ in range(2):
        fire_http_trigger(instance_id=instance.pk, secret=None)
        rest(instance)

    answer = answer_of(instance)

    assert type(answer) is RateLimited
    assert answer.details == {"retry_after": 60}
    assert time.monotonic() - began < 3
    assert "counted by accepted runs" in caplog.text
    Run.objects.update(started_at=clock.now() - timedelta(seconds=61))
    fire_http_trigger(instance_id=instance.pk, secret=None)


def test_a_valkey_that_comes_back_is_used_again(redis_url: str) -> None:
    counter = rates.Counter(redis_url)
    assert counter.count("back", seconds=60)[0] == 1
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_id=str(counter._client.client_id()))

    assert counter.count("back", seconds=60)[0] == 2
    counter._pause_until = time.monotonic() + 60
    with pytest.raises(rates.CannotCount, match="a moment ago"):
        counter.count("back", seconds=60)
    counter._pause_until = time.monotonic()
    assert counter.count("back", seconds=60)[0] == 3


@pytest.mark.parametrize("status", ["initialized", "succeeded", "failed", "stopped"])
@pytest.mark.parametrize("run_mode", ["once", "persistent"])
def test_the_console_triggers_both_run_modes_whatever_the_http_switches_say(run_mode: str, status: str) -> None:
    instance = flow(run_mode=run_mode, status=status, trigger_type="manual", trigger_enabled=False)

    trigger_instance(instance_id=instance.pk, actor=ME)

    found = WorkflowInstance.objects.get(pk=instance.pk)
    assert (found.status, found.run_count) == ("running", 1)


@pytest.mark.parametrize(("run_mode", "is_accepted"), [("once", True), ("persistent", False)])
def test_only_a_persistent_instance_must_be_active(run_mode: str, is_accepted: bool) -> None:
    instance = flow(run_mode=run_mode, is_active=False)

    if is_accepted:
        trigger_instance(instance_id=instance.pk, actor=ME)
    else:
        with pytest.raises(Invalid, match="is not active"):
            trigger_instance(instance_id=instance.pk, actor=ME)

    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == int(is_accepted)


@pytest.mark.parametrize("status", ["pending", "initializing", "running"])
def test_a_trigger_needs_something_that_can_run_now(status: str) -> None:
    instance = flow(status=status)

    with pytest.raises(WrongStatus) as caught:
        trigger_instance(instance_id=instance.pk, actor=ME)

    assert caught.value.details == {
        "status": status,
        "allowed": ["initialized", "succeeded", "failed", "stopped"],
    }
