"""Clean-ups of what does not go, of what another life of the database left, and beside launches in flight."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from k8s_bridge.kinds import SERVICE, collection_path, object_path
from tests.engine import eventually, job, node, objects_of, workflow
from tests.race.seen import wanted
from tests.race.together import Act, launch_all, somebody_waits
from workflows import dispatch
from workflows.domain.actors import Actor
from workflows.domain.statuses import WorkloadState
from workflows.locks import lock_instance
from workflows.models import Cleanup, WorkflowInstance, Workload
from workflows.services import cleaning, lifecycle
from workflows.services.cleaning import clean_up_instance
from workflows.services.cluster import gateway
from workflows.services.reconciling import reconcile
from workflows.services.runs import retire, wanted_workloads

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster", "_nobody_waits")]
ME = Actor(id="1", name="me")


@pytest.fixture
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop returns at once: here the test takes the turns of its clean-up."""
    monkeypatch.setattr(lifecycle, "_wait_for_cleanup", lambda instance_id: True)


@pytest.fixture
def launched() -> Iterator[WorkflowInstance]:
    """A run with one job in the cluster, which does not end by itself."""
    instance = workflow({"a": job("sleep 300")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert launch_all(instance.pk) == 1
    yield instance
    gateway().delete_objects(f"secflow-{instance.project_id}", instance.pk)


def kept_service(work: Workload) -> str:
    """Makes a Service of the workload that a finalizer keeps; the path of it."""
    found = gateway().read_workload(work.namespace, work.kind, work.name)
    assert found is not None
    labels = {key: text for key, text in found["metadata"]["labels"].items() if "/job" not in key and "uid" not in key}
    metadata = {"name": work.name, "labels": labels, "finalizers": ["example.com/balancer"]}
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": [{"name": "a", "port": 80}], "selector": {"app": "none"}},
    }
    gateway().client.request("POST", collection_path(SERVICE, work.namespace), body=body)
    return object_path(SERVICE, work.namespace, work.name)


def let_go(path: str) -> None:
    body = gateway().client.request("GET", path)
    body["metadata"]["finalizers"] = []
    gateway().client.request("PUT", path, body=body)


def test_what_a_finalizer_keeps_is_looked_at_ever_less_often(
    launched: WorkflowInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(dispatch, "send", lambda *args, **kwargs: sent.append(args))
    monkeypatch.setattr(cleaning, "PATIENCE", 0.2)
    path = kept_service(wanted(launched, "a"))
    lifecycle.stop_instance(instance_id=launched.pk, actor=ME)
    sent.clear()

    rests = []
    for _ in range(4):
        Cleanup.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        assert not clean_up_instance(instance_id=launched.pk)
        rests.append(Cleanup.objects.get().due_at - timezone.now())

    assert sent == []
    assert rests[0] > timedelta(0)
    assert rests[3] > timedelta(seconds=5) > rests[0]
    let_go(path)
    Cleanup.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    eventually(lambda: clean_up_instance(instance_id=launched.pk), what="the end of the clean-up")
    assert objects_of(launched) == []


def test_what_is_newer_than_a_restored_database_is_removed_once_it_counts_on_behind_it(
    launched: WorkflowInstance,
) -> None:
    """The rows of a back-up end before the object was made; the sequence was set on, as docs/operating.md tells to do."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE secflow_platform_workflow_node_run SET workload_id = NULL")
        cursor.execute("DELETE FROM secflow_platform_workflow_workload")
        cursor.execute(
            "SELECT setval(name, nextval(name::regclass) + 1000)"
            " FROM pg_get_serial_sequence('secflow_platform_workflow_workload', 'id') AS name"
        )
    WorkflowInstance.objects.update(status="stopped")

    assert reconcile()["stray"] >= 1
    eventually(lambda: clean_up_instance(instance_id=launched.pk), what="the clean-up")

    assert objects_of(launched) == []
    reconcile()
    assert not Cleanup.objects.filter(pk=launched.pk).exists()


def test_a_launch_that_is_recorded_while_others_are_given_up_keeps_its_name(launched: WorkflowInstance) -> None:
    work = wanted(launched, "a")
    Workload.objects.filter(pk=work.pk).update(state=WorkloadState.LAUNCHING)
    name = node(launched, "a").k8s_resource_name

    def give_up() -> int:
        with transaction.atomic():
            instance = lock_instance(launched.pk)
            return retire(wanted_workloads(instance).filter(state=WorkloadState.LAUNCHING))

    with transaction.atomic():
        Workload.objects.filter(pk=work.pk).update(state=WorkloadState.LIVE)  # as who made the object records it
        act = Act(give_up)
        eventually(somebody_waits, what="the wait for the record")

    assert act.result == 0
    assert Workload.objects.get(pk=work.pk).state == WorkloadState.LIVE
    assert node(launched, "a").k8s_resource_name == name is not None
