"""Launches that come twice, die half way, or meet a stop: one object or none (reliability promises 1 to 3)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from k8s_bridge.errors import Unreachable
from k8s_bridge.gateway import REPLACE_SECONDS
from k8s_bridge.observations import Phase
from k8s_bridge.results import Ensured
from tests.engine import eventually, job, node, objects_of, running_worker, statuses, web_app, workflow
from tests.race.seen import seen, wanted
from tests.race.together import Act, gate, launch_all, together
from workflows import dispatch
from workflows.domain.actors import Actor
from workflows.models import Cleanup, Event, WorkflowInstance, Workload
from workflows.services import claims, launching, lifecycle
from workflows.services.cleaning import clean_up_instance
from workflows.services.cluster import gateway
from workflows.services.launching import claim_launches, launch_workloads
from workflows.services.observing import apply_observations
from workflows.services.reconciling import reconcile, sweep

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster", "tidy")]
ME = Actor(id="1", name="me")
SLEEP = "sleep 300"


@pytest.fixture
def tidy(cluster: None) -> Iterator[None]:
    """Nothing of a test is left in the cluster."""
    yield
    for instance in WorkflowInstance.objects.all():
        gateway().delete_objects(f"secflow-{instance.project_id}", instance.pk)


def started(*, app: bool = False) -> tuple[WorkflowInstance, Workload]:
    """A run whose one node waits to be launched."""
    instance = workflow({"a": web_app(service_name="site") if app else job(SLEEP)})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    return instance, wanted(instance, "a")


def end_lease(workload: Workload) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE secflow_platform_workflow_workload SET lease_until = now() - interval '1 s',"
            " due_at = now() - interval '1 s' WHERE id = %s",
            [workload.pk],
        )


def test_five_deliveries_of_one_launch_make_one_object_and_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    instance, workload = started()
    made: list[Ensured] = []
    real = gateway().ensure_workload

    def ensure(*args: Any) -> Ensured:
        made.append(real(*args))
        return made[-1]

    monkeypatch.setattr(gateway(), "ensure_workload", ensure)

    counts = together(*[lambda: launch_workloads(workload_ids=[workload.pk])] * 5)

    assert sorted(counts) == [0, 0, 0, 0, 1]
    assert [ensured.created for ensured in made] == [True]
    assert [item for item in objects_of(instance) if item.startswith("Job")] == [f"Job/{workload.name}"]
    assert Workload.objects.values_list("state", "tries", "lease_token").get(pk=workload.pk) == ("live", 1, 1)
    assert Event.objects.filter(instance_id=instance.pk, node_id=workload.node_id).count() == 1


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("app", [False, True], ids=["job", "app with a Service"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["stop", "uninitialize", "delete"])
def test_nothing_is_left_of_a_launch_that_a_removal_overtook(
    monkeypatch: pytest.MonkeyPatch, verb: str, when: str, app: bool
) -> None:
    with gate(monkeypatch, "ensure_workload", when=when) as gated, running_worker():
        instance, workload = started(app=app)
        assert gated.reached.wait(30)
        removal = Act(lambda: getattr(lifecycle, f"{verb}_instance")(instance_id=instance.pk, actor=ME))
        eventually(lambda: Cleanup.objects.filter(pk=instance.pk).exists(), what="the request to clean up")
        gated.open.set()

        assert removal.result is None
        # Well below the time of a lease: who made the object for nothing says so.
        eventually(lambda: not Cleanup.objects.filter(pk=instance.pk).exists(), seconds=20, what="the clean-up")

    assert objects_of(instance) == []
    assert not Workload.objects.filter(pk=workload.pk).exclude(state="gone").exists()
    found = WorkflowInstance.objects.filter(pk=instance.pk).values_list("status", flat=True).first()
    assert found == {"stop": "stopped", "uninitialize": "pending", "delete": None}[verb]
    if verb != "delete":
        a = node(instance, "a")
        assert (a.k8s_resource_name, a.service_name) == (None, None)


def test_a_start_after_the_stop_keeps_its_object_though_the_old_launch_is_still_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)
    with gate(monkeypatch, "ensure_workload", when="after") as gated:
        instance, old = started()
        late = Act(lambda: launch_workloads(workload_ids=[old.pk]))
        assert gated.reached.wait(30)
        lifecycle.stop_instance(instance_id=instance.pk, actor=ME)
        lifecycle.start_instance(instance_id=instance.pk, actor=ME)
        monkeypatch.undo()
        assert launch_all(instance.pk) == 1
        gated.open.set()
        assert late.result == 1
    new = wanted(instance, "a")

    eventually(lambda: clean_up_instance(instance_id=instance.pk), what="the clean-up")

    found = gateway().read_workload(new.namespace, "Job", new.name)
    assert found is not None
    assert found["metadata"]["uid"] == new.uid
    assert not found["metadata"].get("deletionTimestamp")
    assert Workload.objects.get(pk=old.pk).state == "gone"
    assert statuses(instance) == {"": "running", "a": "running"}


def test_a_clean_up_leaves_what_a_start_made_while_it_was_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)
    instance, _ = started()
    assert launch_all(instance.pk) == 1
    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)
    real, starts = gateway().delete_objects, []

    def delete_objects(*args: Any, **kwargs: Any) -> Any:
        if not starts:
            starts.append(lifecycle.start_instance(instance_id=instance.pk, actor=ME))
            assert launch_all(instance.pk) == 1
        return real(*args, **kwargs)

    monkeypatch.setattr(gateway(), "delete_objects", delete_objects)

    eventually(lambda: clean_up_instance(instance_id=instance.pk), what="the clean-up")

    new = wanted(instance, "a")
    found = gateway().read_workload(new.namespace, "Job", new.name)
    assert found is not None
    assert (found["metadata"]["uid"], found["metadata"].get("deletionTimestamp")) == (new.uid, None)
    assert sum(item.startswith("Job/") for item in objects_of(instance)) == 1


def test_a_death_between_claim_and_creation_costs_a_lease_and_nothing_else() -> None:
    instance, workload = started()
    assert len(claim_launches([workload.pk])) == 1

    assert launch_workloads(workload_ids=[workload.pk]) == 0
    end_lease(workload)
    assert launch_workloads(workload_ids=[workload.pk]) == 1

    assert [item for item in objects_of(instance) if item.startswith("Job")] == [f"Job/{workload.name}"]
    assert Workload.objects.values_list("state", "tries").get(pk=workload.pk) == ("live", 2)
    assert statuses(instance)["a"] == "running"


def test_a_death_between_creation_and_record_adopts_the_object() -> None:
    instance, workload = started()
    (claim,) = claim_launches([workload.pk])
    made = gateway().ensure_workload(claim.spec, claim.owner)

    assert launch_workloads(workload_ids=[workload.pk]) == 0
    end_lease(workload)
    assert launch_workloads(workload_ids=[workload.pk]) == 1

    assert made.created
    assert Workload.objects.values_list("state", "uid").get(pk=workload.pk) == ("live", made.uid)
    assert sum(item.startswith("Job/") for item in objects_of(instance)) == 1


def test_a_creation_that_seemed_to_time_out_is_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    instance, workload = started()
    made: list[Ensured] = []
    real = gateway().ensure_workload

    def ensure(*args: Any) -> Ensured:
        made.append(real(*args))
        if len(made) == 1:
            raise Unreachable("the answer did not come in time")
        return made[-1]

    monkeypatch.setattr(gateway(), "ensure_workload", ensure)

    assert launch_workloads(workload_ids=[workload.pk]) == 0
    waiting = Workload.objects.get(pk=workload.pk)
    assert (waiting.state, waiting.lease_until) == ("launching", None)
    assert waiting.due_at is not None
    assert (node(instance, "a").message or "").startswith("waiting to be made: ")
    assert launch_workloads(workload_ids=[workload.pk]) == 1

    assert [ensured.created for ensured in made] == [True, False]
    assert made[0].uid == made[1].uid == Workload.objects.get(pk=workload.pk).uid
    assert statuses(instance)["a"] == "running"
    apply_observations([seen(wanted(instance, "a"), Phase.RUNNING)])
    assert node(instance, "a").message is None


def test_a_job_that_ended_before_it_was_recorded_is_not_run_again() -> None:
    instance, workload = started()
    (claim,) = claim_launches([workload.pk])
    made = gateway().ensure_workload(claim.spec, claim.owner)
    apply_observations([seen(workload, Phase.SUCCEEDED)])
    assert statuses(instance) == {"": "succeeded", "a": "succeeded"}
    gateway().delete_workload(workload.namespace, "Job", workload.name, made.uid)
    eventually(lambda: objects_of(instance) == [], what="the removal of the job, as by its TTL")

    end_lease(workload)
    assert launch_workloads(workload_ids=[workload.pk]) == 0

    assert objects_of(instance) == []


def test_an_end_that_is_seen_before_the_record_does_not_lose_the_uid() -> None:
    _, workload = started()
    (claim,) = claim_launches([workload.pk])
    made = gateway().ensure_workload(claim.spec, claim.owner)
    apply_observations([seen(workload, Phase.SUCCEEDED)])

    launching.record_launches([(claim, made)])

    found = Workload.objects.get(pk=workload.pk)
    assert (found.state, found.uid, found.lease_until, found.due_at) == ("live", made.uid, None, None)


def test_the_holder_of_an_old_lease_neither_records_nor_deletes() -> None:
    instance, workload = started()
    (old,) = claim_launches([workload.pk])
    end_lease(workload)
    (new,) = claim_launches([workload.pk])
    made = gateway().ensure_workload(old.spec, old.owner)

    launching.record_launches([(old, made)])
    assert Workload.objects.values_list("state", "lease_token").get(pk=workload.pk) == ("launching", new.token)
    launching.record_launches([(new, gateway().ensure_workload(new.spec, new.owner))])

    assert Workload.objects.values_list("state", "uid").get(pk=workload.pk) == ("live", made.uid)
    assert sum(item.startswith("Job/") for item in objects_of(instance)) == 1


def test_a_wrong_clock_of_a_worker_cannot_take_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    _, workload = started()
    assert len(claim_launches([workload.pk])) == 1
    wrong = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: wrong)

    assert claim_launches([workload.pk]) == []


def test_a_wrong_clock_of_a_worker_cannot_end_a_clean_up_before_a_launch_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)
    instance, workload = started()
    (claim,) = claim_launches([workload.pk])
    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)
    wrong = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: wrong)

    assert not clean_up_instance(instance_id=instance.pk)
    launching.record_launches([(claim, gateway().ensure_workload(claim.spec, claim.owner))])
    eventually(lambda: clean_up_instance(instance_id=instance.pk), what="the clean-up")

    assert objects_of(instance) == []
    assert Workload.objects.get(pk=workload.pk).state == "gone"


def test_a_claim_passes_over_a_row_that_somebody_has_locked() -> None:
    instance = workflow({"a": job(SLEEP), "b": job(SLEEP)})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    a, b = wanted(instance, "a"), wanted(instance, "b")

    with transaction.atomic():
        Workload.objects.select_for_update().get(pk=a.pk)
        claims = Act(lambda: claim_launches([b.pk, a.pk])).result

    assert [claim.workload_id for claim in claims] == [b.pk]


def test_two_sweeps_at_once_send_each_due_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = workflow({f"n{number}": job(SLEEP) for number in range(60)})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    Workload.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    sent: list[int] = []

    def send(task: str, **kwargs: Any) -> bool:
        if task == dispatch.LAUNCH_WORKLOADS:
            sent.extend(kwargs["workload_ids"])
        return True

    monkeypatch.setattr(dispatch, "send", send)

    counts = together(*[sweep] * 3)

    assert sum(count["launches"] for count in counts) == 60
    assert sorted(sent) == sorted(Workload.objects.values_list("pk", flat=True))


def test_reconcile_finds_and_removes_what_a_dead_worker_left_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)
    instance, workload = started()
    (claim,) = claim_launches([workload.pk])
    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)
    end_lease(workload)
    eventually(lambda: clean_up_instance(instance_id=instance.pk), what="the clean-up")
    gateway().ensure_workload(claim.spec, claim.owner)  # far too late, and nobody is left to take it back

    assert reconcile()["stray"] >= 1
    assert Cleanup.objects.filter(pk=instance.pk).exists()
    eventually(lambda: clean_up_instance(instance_id=instance.pk), what="the second clean-up")

    assert objects_of(instance) == []
    assert statuses(instance) == {"": "stopped", "a": "stopped"}


def test_the_wait_for_an_old_object_is_shorter_than_a_lease() -> None:
    assert gateway()._ensurer._patience == REPLACE_SECONDS
    assert timedelta(seconds=REPLACE_SECONDS) < claims.LEASE
