"""A text is kept before the pod that wrote it goes, whoever else is about to fetch it (contract D.9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction

from k8s_bridge.observations import Phase
from tests.engine import eventually, job, node, workflow
from tests.race.seen import seen, wanted
from tests.race.together import PATIENCE, Act, gate, launch_all, somebody_waits
from workflows.domain.actors import Actor
from workflows.models import NodeLog, NodeRun, WorkflowInstance
from workflows.services import lifecycle
from workflows.services.cleaning import clean_up_instance
from workflows.services.cluster import gateway
from workflows.services.logs import capture_logs, capture_logs_of
from workflows.services.observing import apply_observations

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")


def ended() -> WorkflowInstance:
    """A run that is over, whose text is still to be fetched."""
    instance = workflow({"a": job("echo word")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert launch_all(instance.pk) == 1
    work = wanted(instance, "a")

    def is_over() -> bool:
        return [pod["status"].get("phase") for pod in gateway().pods_of(work.namespace, work.name)] == ["Succeeded"]

    eventually(is_over, what="the end of the pod")
    apply_observations([seen(work, Phase.SUCCEEDED)])
    return instance


def relaunch(instance: WorkflowInstance) -> None:
    capture_logs_of(node_ids=[node(instance, "a").pk])


def clean_up(instance: WorkflowInstance) -> None:
    clean_up_instance(instance_id=instance.pk)


@pytest.mark.parametrize("removal", [relaunch, clean_up])
def test_who_removes_the_pod_does_not_pass_over_a_text_that_another_just_takes(
    monkeypatch: pytest.MonkeyPatch, removal: Callable[[WorkflowInstance], None]
) -> None:
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)
    instance = ended()
    if removal is clean_up:
        lifecycle.uninitialize_instance(instance_id=instance.pk, actor=ME)

    with transaction.atomic():  # as the other one does while it takes the text
        NodeLog.objects.select_for_update().get()
        act = Act(lambda: removal(instance))
        eventually(somebody_waits, what="the wait for the other one")

    assert act.result is None
    log = NodeLog.objects.get()
    assert (log.text, log.error, log.due_at) == ("word\n", None, None)


def test_who_only_fetches_leaves_it_to_the_other_one() -> None:
    ended()

    with transaction.atomic():
        NodeLog.objects.select_for_update().get()
        assert Act(lambda: capture_logs(node_run_ids=[NodeRun.objects.get().pk])).result == 0


def test_a_text_that_was_had_is_kept_although_another_found_the_pod_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = ended()
    work, records = wanted(instance, "a"), [NodeRun.objects.get().pk]

    with gate(monkeypatch, "read_log", when="after") as held:
        act = Act(lambda: capture_logs(node_run_ids=records))
        assert held.reached.wait(PATIENCE)
        gateway().delete_objects(work.namespace, instance.pk)
        eventually(lambda: gateway().pods_of(work.namespace, work.name) == [], what="the end of the pod's record")
        assert capture_logs(node_run_ids=records) == 0
        assert "could not be kept" in (NodeLog.objects.get().error or "")

    assert act.result == 1
    log = NodeLog.objects.get()
    assert (log.text, log.error, log.due_at) == ("word\n", None, None)
    assert capture_logs(node_run_ids=records) == 0
