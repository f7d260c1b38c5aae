"""A lease outlives a slow cluster, but not its worker (fault scenario F01)."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.engine import eventually, job, objects_of, running_watcher, running_worker, workflow
from tests.race.seen import wanted
from tests.race.together import Act, gate
from workflows.domain.actors import Actor
from workflows.models import Workload
from workflows.services import claims, launching, lifecycle
from workflows.services.cluster import gateway

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")


def test_a_launch_that_takes_longer_than_its_lease_stays_with_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LEASE", timedelta(seconds=5))
    monkeypatch.setattr(launching, "RENEWAL", 0.2)
    instance = workflow({"a": job("true")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    workload = wanted(instance, "a")

    with gate(monkeypatch, "ensure_workload", when="before") as gated:
        slow = Act(lambda: launching.launch_workloads(workload_ids=[workload.pk]))
        assert gated.reached.wait(30)
        first = Workload.objects.get(pk=workload.pk).lease_until
        assert first is not None
        eventually(lambda: (Workload.objects.get(pk=workload.pk).lease_until or first) > first + timedelta(seconds=6))
        taken = launching.claim_launches([workload.pk])
        gated.open.set()
        made = slow.result

    assert taken == []
    assert made == 1
    assert Workload.objects.values_list("state", "lease_token").get(pk=workload.pk) == ("live", 1)


def test_a_lease_that_is_over_is_taken_by_the_next_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LEASE", timedelta(seconds=0.2))
    instance = workflow({"a": job("true")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    workload = wanted(instance, "a")
    (dead,) = launching.claim_launches([workload.pk])  # and nothing more of that worker is heard

    taken: list[claims.Claim] = []
    eventually(lambda: bool(taken.extend(launching.claim_launches([workload.pk])) or taken), seconds=10)

    assert [claim.token for claim in taken] == [dead.token + 1]
    claims.renew_claims([dead])
    assert Workload.objects.values_list("lease_token", flat=True).get(pk=workload.pk) == dead.token + 1
    assert time.monotonic() > dead.lease.until


@pytest.mark.usefixtures("unhurried")
def test_a_clean_up_does_not_wait_for_a_dead_worker_whose_object_was_seen() -> None:
    instance = workflow({"a": job("sleep 300")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    workload = wanted(instance, "a")
    (dead,) = launching.claim_launches([workload.pk])
    made = gateway().ensure_workload(dead.spec, dead.owner)  # and the worker dies before it says so
    with running_worker(), running_watcher():
        eventually(lambda: Workload.objects.get(pk=workload.pk).uid == made.uid, what="the sight of the Job")

        lifecycle.delete_instance(instance_id=instance.pk, actor=ME)

    assert not Workload.objects.filter(pk=workload.pk).exists()
    assert objects_of(instance) == []
