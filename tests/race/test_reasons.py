"""A job's failure was told before what its pod suffered from, which is added as soon as it is known."""

from __future__ import annotations

import pytest

from k8s_bridge.diagnosis import Category, Diagnosis
from k8s_bridge.observations import Phase
from tests.engine import eventually, job, node, workflow
from tests.race.seen import seen, wanted
from tests.race.together import Act, gate, launch_all
from workflows.domain.actors import Actor
from workflows.domain.transitions import Verb
from workflows.models import Event, NodeRun, Run, WorkflowInstance
from workflows.services import lifecycle, logs
from workflows.services.cluster import gateway
from workflows.services.logs import capture_logs
from workflows.services.observing import apply_observations

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
LIMIT = Diagnosis(Category.BACKOFF_LIMIT, "The job failed: the limit was reached.", "", "Raise the limit.")


def failed(*others: str) -> WorkflowInstance:
    """Its node `a` ended with exit code 7, of which only the failed Job was seen. The other nodes run on."""
    instance = workflow({"a": job("echo word; exit 7")} | {name: job("sleep 600") for name in others})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    launch_all(instance.pk)
    a = wanted(instance, "a")

    def is_over() -> bool:
        return [pod["status"].get("phase") for pod in gateway().pods_of(a.namespace, a.name)] == ["Failed"]

    eventually(is_over, what="the end of the pod")
    assert apply_observations([seen(a, Phase.FAILED, source="Job", diagnosis=LIMIT)]) == 1
    assert node(instance, "a").message == "The job failed: the limit was reached. Raise the limit."
    return instance


def records(instance: WorkflowInstance) -> list[int]:
    return [NodeRun.objects.get(instance=instance, node_name="a").pk]


def assert_complete(instance: WorkflowInstance, chosen: list[int] | None = None) -> str:
    """The record names both reasons, and the journal has no gap. Returns the message."""
    (record,) = NodeRun.objects.filter(pk__in=chosen or records(instance))
    assert record.diagnosis is not None
    assert record.diagnosis["category"] == "exit_code"
    message = record.message or ""
    assert message.startswith("The job failed: the limit was reached. Container main ended with exit code 7.")
    assert record.evidence is not None
    entries = Event.objects.filter(instance_id=instance.pk).order_by("sequence")
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert WorkflowInstance.objects.get(pk=instance.pk).version == len(entries)
    (told,) = entries.filter(kind="node.trouble")
    assert (told.node_id, told.message, told.data["diagnosis"]) == (record.node_id, message, record.diagnosis)
    assert entries.filter(kind="node.failed").count() == 1
    return message


def test_the_reason_is_added_to_everything_that_repeats_the_failure() -> None:
    instance = failed()

    assert capture_logs(node_run_ids=records(instance)) == 1

    message = assert_complete(instance)
    assert node(instance, "a").message == message
    assert Run.objects.get(instance=instance).message == f"node a failed: {message}"
    assert WorkflowInstance.objects.get(pk=instance.pk).message == f"node a failed: {message}"


def test_the_reason_is_added_while_other_nodes_still_run_and_the_run_ends_with_it() -> None:
    instance = failed("b")

    capture_logs(node_run_ids=records(instance))

    message = assert_complete(instance)
    assert Run.objects.get(instance=instance).message is None
    apply_observations([seen(wanted(instance, "b"), Phase.SUCCEEDED)])
    assert Run.objects.get(instance=instance).message == f"node a failed: {message}"


def test_who_triggered_the_workflow_again_is_not_told_of_the_old_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = failed()
    old = records(instance)

    with gate(monkeypatch, "read_log", when="after") as held:
        act = Act(lambda: capture_logs(node_run_ids=old))
        assert held.reached.wait(60)
        lifecycle.accept_run(instance_id=instance.pk, actor=ME, verb=Verb.TRIGGER, trigger="trigger")

    assert act.result == 1
    message = assert_complete(instance, old)
    assert [run.message for run in Run.objects.order_by("id")] == [f"node a failed: {message}", None]
    assert WorkflowInstance.objects.get(pk=instance.pk).message is None
    assert node(instance, "a").message is None


def test_whoever_dies_before_the_evidence_is_kept_leaves_the_reason_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance = failed()
    complete = logs.complete_reason

    def die(*args: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs, "complete_reason", die)
    with pytest.raises(KeyboardInterrupt):
        capture_logs(node_run_ids=records(instance))
    monkeypatch.setattr(logs, "complete_reason", complete)
    capture_logs(node_run_ids=records(instance))
    assert_complete(instance)

    again = Diagnosis(Category.EXIT_CODE, "Told a second time.", "", "")
    assert not complete(instance.pk, records(instance)[0], again)
    assert_complete(instance)


def test_a_pod_that_is_gone_leaves_the_limit_as_the_reason() -> None:
    instance = failed()
    a = wanted(instance, "a")
    gateway().delete_objects(a.namespace, instance.pk)
    eventually(lambda: gateway().pods_of(a.namespace, a.name) == [], what="the end of the pod's record")

    capture_logs(node_run_ids=records(instance))

    record = NodeRun.objects.get(instance=instance)
    assert record.diagnosis is not None
    assert record.diagnosis["category"] == "backoff_limit"
    assert not Event.objects.filter(instance_id=instance.pk, kind="node.trouble").exists()
