"""A request that is repeated with its key is one run (fault F13)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from tests.engine import job, workflow
from tests.race.together import together
from workflows.domain.actors import Actor
from workflows.domain.errors import WrongStatus
from workflows.models import RequestKey, Run, WorkflowInstance
from workflows.services import lifecycle
from workflows.services.request_keys import forget_old_keys
from workflows.services.triggers import fire_http_trigger, trigger_instance

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME, YOU = Actor(id="1", name="me"), Actor(id="2", name="you")


def start(instance: WorkflowInstance, actor: Actor, key: str | None) -> None:
    lifecycle.start_instance(instance_id=instance.pk, actor=actor, key=key)


def test_many_at_once_with_one_key_are_one_run() -> None:
    instance = workflow({"a": job()})

    results = together(*[lambda: start(instance, ME, "k")] * 4)

    assert results == [None] * 4
    assert Run.objects.count() == 1
    assert RequestKey.objects.values_list("action", "caller", "key", "run_number").get() == ("start", "1", "k", 1)


def test_another_key_or_another_caller_or_none_is_another_request() -> None:
    instance = workflow({"a": job()})
    start(instance, ME, "k")

    for actor, key in ((ME, "other"), (YOU, "k"), (ME, None)):
        with pytest.raises(WrongStatus):
            start(instance, actor, key)
    assert RequestKey.objects.count() == 1


def test_a_refused_request_leaves_its_key_unused() -> None:
    instance = workflow({"a": job()}, run_mode="persistent", trigger_type="http", trigger_enabled=True)
    instance_id = instance.pk
    with pytest.raises(WrongStatus):
        trigger_instance(instance_id=instance_id, actor=ME, key="k")
    WorkflowInstance.objects.update(status="stopped")

    trigger_instance(instance_id=instance_id, actor=ME, key="k")
    WorkflowInstance.objects.update(status="stopped")
    Run.objects.update(finished_at=Now(), status="stopped")
    trigger_instance(instance_id=instance_id, actor=ME, key="k")
    fire_http_trigger(instance_id=instance_id, secret=None, key="k")
    fire_http_trigger(instance_id=instance_id, secret=None, key="k")

    assert list(Run.objects.order_by("pk").values_list("trigger", flat=True)) == ["trigger", "http"]


def test_start_and_trigger_share_a_key() -> None:
    """A client picks the verb by the status, which the first request has changed when the second comes."""
    instance = workflow({"a": job()}, run_mode="persistent", trigger_type="http", trigger_enabled=True)
    start(instance, ME, "k")
    WorkflowInstance.objects.update(status="succeeded")
    Run.objects.update(finished_at=Now(), status="succeeded")

    trigger_instance(instance_id=instance.pk, actor=ME, key="k")

    assert Run.objects.count() == 1
    fire_http_trigger(instance_id=instance.pk, secret=None, key="k")
    assert Run.objects.count() == 2


def test_a_key_counts_for_a_day() -> None:
    instance = workflow({"a": job()})
    start(instance, ME, "k")
    WorkflowInstance.objects.update(status="stopped")
    Run.objects.update(finished_at=Now(), status="stopped")
    RequestKey.objects.update(created_at=Now() - timedelta(hours=25))

    start(instance, ME, "k")

    assert Run.objects.count() == 2
    assert RequestKey.objects.values_list("run_number", flat=True).get() == 2
    RequestKey.objects.update(created_at=Now() - timedelta(hours=25))
    assert forget_old_keys() == 1
