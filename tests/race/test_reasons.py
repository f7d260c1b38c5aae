"""A job's failure was told before what its pod suffered from, which is added as soon as it is known."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from k8s_bridge.diagnosis import Category, Diagnosis
from k8s_bridge.errors import ServerTrouble
from k8s_bridge.names import Owner, labels, shard_of
from k8s_bridge.observations import Observation, Phase
from k8s_bridge.watcher import Change, Snapshot
from tests.engine import eventually, job, node, workflow
from tests.race.seen import seen, wanted
from tests.race.together import Act, gate, launch_all
from workflows.domain.actors import Actor
from workflows.domain.transitions import Verb
from workflows.models import Event, NodeRun, Run, WorkflowInstance, Workload
from workflows.services import following, lifecycle, logs
from workflows.services.cluster import gateway, installation_uid
from workflows.services.diagnoses import as_data
from workflows.services.following import Inbox, Pipeline
from workflows.services.logs import capture_logs
from workflows.services.observing import apply_observations

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
REASON = Diagnosis(Category.EXIT_CODE, "Container main ended with exit code 3.", "", "Read its log.")
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
    complete = logs.complete_reasons

    def die(*args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs, "complete_reasons", die)
    with pytest.raises(KeyboardInterrupt):
        capture_logs(node_run_ids=records(instance))
    monkeypatch.setattr(logs, "complete_reasons", complete)
    capture_logs(node_run_ids=records(instance))
    assert_complete(instance)

    again = Diagnosis(Category.EXIT_CODE, "Told a second time.", "", "")
    assert complete(instance.pk, {records(instance)[0]: again}) == 0
    assert_complete(instance)


def test_the_reason_does_not_wait_for_a_log_that_cannot_be_read_now(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = failed()

    def no_way_to_the_node(*args: object, **options: object) -> None:
        raise ServerTrouble("the node cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(gateway(), "read_log", no_way_to_the_node)
        assert capture_logs(node_run_ids=records(instance)) == 0
    record = NodeRun.objects.get(instance=instance)
    assert record.diagnosis is not None
    assert (record.diagnosis["category"], record.evidence) == ("exit_code", None)
    assert capture_logs(node_run_ids=records(instance)) == 1

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


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure waits for its reason so long that no machine is too slow to see it wait."""
    monkeypatch.setattr(following, "REASON_PATIENCE", 60.0)


@pytest.mark.usefixtures("long_wait")
def test_a_failure_that_only_names_the_limit_waits_for_what_the_pod_suffered_from() -> None:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a = wanted(instance, "a")
    inbox = Inbox()

    inbox.put(seen(a, Phase.FAILED, source="Job", uid="job", diagnosis=LIMIT))
    assert inbox.take(0) == []
    inbox.put(seen(a, Phase.WAITING, uid="pod", diagnosis=REASON))
    for _ in range(2):
        apply_observations(inbox.take(10))

    record = NodeRun.objects.get(instance=instance)
    words = "The job failed: the limit was reached. Container main ended with exit code 3. Read its log."
    assert (node(instance, "a").message, record.message, record.diagnosis) == (words, words, as_data(REASON))
    assert inbox.take(0.1) == []


def test_a_failure_whose_pods_say_nothing_does_not_wait_for_ever() -> None:
    a = wanted_at_once()
    failures = [seen(a, Phase.FAILED, source="Job", uid=uid, diagnosis=LIMIT) for uid in ("foreign", "ours")]
    inbox = Inbox()

    for failure in failures:
        inbox.put(failure)

    assert took(inbox, 2) == ["foreign", "ours"]


@pytest.mark.usefixtures("long_wait")
def test_the_reason_of_an_earlier_pod_is_not_taken_for_that_of_the_last() -> None:
    a = wanted_at_once()
    inbox = Inbox()

    inbox.put(seen(a, Phase.WAITING, uid="first", diagnosis=REASON))
    inbox.begin_anew(a.pk)
    inbox.put(seen(a, Phase.FAILED, source="Job", uid="job", diagnosis=LIMIT))
    assert took(inbox, 1) == ["first"]
    inbox.put(seen(a, Phase.WAITING, uid="last", diagnosis=REASON))

    assert took(inbox, 2) == ["last", "job"]


@pytest.mark.usefixtures("long_wait")
@pytest.mark.parametrize("order", list(itertools.permutations(["Pod", "Job"])), ids="-".join)
def test_a_list_of_pods_is_heard_to_its_end_before_the_failure(order: tuple[str, ...]) -> None:
    a = wanted_at_once()
    pipeline = Pipeline()
    lists = {"Job": [failed_job(a)], "Pod": [failed_pod(a, "late", second=2), failed_pod(a, "early", second=1)]}

    for kind in order:
        pipeline.take(Snapshot(kind, tuple(lists[kind])))

    assert took(pipeline._inbox, 3) == ["early", "late", "job"]


@pytest.mark.usefixtures("long_wait")
def test_a_failure_waits_for_the_pod_that_was_made_last() -> None:
    a = wanted_at_once()
    pipeline = Pipeline()
    early, late = (failed_pod(a, name, second=at) for at, name in enumerate(("early", "late"), start=1))
    new = late | {"status": {"phase": "Pending"}}

    for change in (
        Change("Pod", "ADDED", early),
        Change("Job", "ADDED", failed_job(a) | {"status": {}}),  # late, and not the news of another pod
        Change("Pod", "ADDED", new),
        Change("Job", "MODIFIED", failed_job(a)),
    ):
        pipeline.take(change)
    assert took(pipeline._inbox, 1) == ["early"]
    assert pipeline._inbox.take(0.1) == []
    pipeline.take(Change("Pod", "MODIFIED", late))

    assert took(pipeline._inbox, 2) == ["late", "job"]


@pytest.mark.usefixtures("long_wait")
def test_a_failure_that_is_explained_does_not_wait() -> None:
    a = wanted_at_once()
    pipeline = Pipeline()

    pipeline.take(Change("Pod", "ADDED", failed_pod(a, "pod", second=1)))
    pipeline.take(Change("Job", "ADDED", failed_job(a) | {"status": {}}))
    pipeline.take(Change("Job", "MODIFIED", failed_job(a)))

    assert took(pipeline._inbox, 2) == ["pod", "job"]


@pytest.mark.usefixtures("long_wait")
def test_what_was_seen_before_the_shard_went_elsewhere_explains_no_failure() -> None:
    """Another watcher may have seen a newer pod meanwhile: the failure waits for the list that comes with the shard."""
    a = wanted_at_once()
    pipeline = Pipeline()
    early, late = (failed_pod(a, name, second=at) for at, name in enumerate(("early", "late"), start=1))

    pipeline.take(Change("Pod", "ADDED", early))
    assert took(pipeline._inbox, 1) == ["early"]
    pipeline.forget([shard_of(a.instance_id)])
    pipeline.take(Change("Job", "MODIFIED", failed_job(a)))
    assert pipeline._inbox.take(0.1) == []
    pipeline.take(Snapshot("Pod", (early, late)))

    assert took(pipeline._inbox, 3) == ["early", "late", "job"]


def wanted_at_once() -> Workload:
    instance = workflow({"a": job()})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    return wanted(instance, "a")


def took(inbox: Inbox, count: int) -> list[str]:
    """The uids of the next `count` observations."""
    found: list[Observation] = []
    while len(found) < count:
        batch = inbox.take(20)
        assert batch, f"only {found} came"
        found += batch
    return [one.uid for one in found]


def owned(workload: Workload, uid: str) -> dict[str, Any]:
    owner = Owner(installation_uid(), "p1", workload.instance_id, workload.node_id, workload.run_number, workload.pk)
    return {"metadata": {"name": uid, "namespace": workload.namespace, "uid": uid, "labels": labels(owner)}}


def failed_job(workload: Workload) -> dict[str, Any]:
    condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Limit reached"}
    return owned(workload, "job") | {"spec": {"backoffLimit": 1}, "status": {"conditions": [condition]}}


def failed_pod(workload: Workload, uid: str, *, second: int) -> dict[str, Any]:
    ended = {"name": "main", "state": {"terminated": {"exitCode": second, "reason": "Error"}}}
    spec = {"restartPolicy": "Never", "containers": [{"name": "main"}]}
    made = owned(workload, uid)
    made["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:0{second}Z"
    return made | {"spec": spec, "status": {"phase": "Failed", "containerStatuses": [ended]}}
