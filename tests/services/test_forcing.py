"""Pods that do not end, and the operator who removes them."""

from __future__ import annotations

import pytest

from k8s_bridge.names import namespace_of
from tests.engine import eventually, job, workflow
from workflows.domain.actors import Actor
from workflows.domain.errors import NotFound
from workflows.models import Event, Workload
from workflows.services import forcing, launching, lifecycle
from workflows.services.cluster import gateway

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
DEAF = "trap '' TERM; echo deaf; while true; do sleep 1; done"


def test_pods_that_do_not_end_go_and_the_journal_says_who_removed_them() -> None:
    instance = workflow({"a": job(DEAF)})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    workload = Workload.objects.get(instance=instance)
    launching.launch_workloads(workload_ids=[workload.pk])
    workload.refresh_from_db()
    namespace = namespace_of(instance.project_id)

    def phases() -> list[str]:
        return [pod["status"]["phase"] for pod in gateway().pods_of(namespace, workload.name)]

    eventually(lambda: phases() == ["Running"], what="the pod")
    # Before its trap it would end when it is told to.
    eventually(lambda: gateway().pod_logs(namespace, workload.name).text == "deaf\n", what="the trap")
    assert forcing.force_delete_pods(instance_id=instance.pk, actor=ME) == []
    gateway().delete_workload(namespace, workload.kind, workload.name, workload.uid or "")

    def is_told() -> bool:
        (pod,) = gateway().pods_of(namespace, workload.name)
        return bool(pod["metadata"].get("deletionTimestamp"))

    eventually(is_told, what="a pod that is told to end")

    (gone,) = forcing.force_delete_pods(instance_id=instance.pk, actor=ME)

    eventually(lambda: phases() == [], seconds=25, what="the end of the pod")
    entry = Event.objects.get(instance_id=instance.pk, kind="instance.pods_forced")
    assert (entry.actor, entry.data) == (ME.id, {"pods": [gone]})


def test_an_unknown_workflow_has_none() -> None:
    with pytest.raises(NotFound):
        forcing.force_delete_pods(instance_id="wf-inst-nothing-00000000", actor=ME)
