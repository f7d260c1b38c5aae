"""The HTTP trigger and the trigger of the console (contract D.7, D.8, M.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings as django_settings

from secflow.settings.values import Rate
from tests.engine import job, workflow
from workflows.domain.actors import Actor
from workflows.domain.errors import DomainError, Invalid, NotFound, RateLimited, Unauthenticated, WrongStatus
from workflows.models import Event, Run, WorkflowInstance
from workflows.services.triggers import fire_http_trigger, trigger_instance, trigger_secret

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
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
