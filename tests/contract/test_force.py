"""Pods that do not end when they are told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.test_workloads import STAY

if TYPE_CHECKING:
    from tests.contract.conftest import Stage

pytestmark = [pytest.mark.cluster]


def test_pods_that_do_not_end_are_removed_by_force_and_the_others_stay(stage: Stage) -> None:
    deaf, well = (
        stage.job("trap '' TERM", "echo deaf", "while true; do sleep 1; done", name="wf-deaf"),
        stage.job(STAY, name="wf-well"),
    )
    owner = stage.owner()
    stage.gateway.ensure_workload(deaf, owner)
    stage.gateway.ensure_workload(well, stage.owner(node="b"))
    for spec in (deaf, well):
        stage.wait_for(lambda spec=spec: stage.phase("Pod", spec.name, "running"), f"the pod of {spec.name}")  # type: ignore[misc]
    # Before its trap it would end when it is told to.
    stage.wait_for(lambda: "deaf" in stage.gateway.pod_logs(stage.namespace, deaf.name).text, "the trap")
    stage.gateway.delete_workload(stage.namespace, "Job", deaf.name, _uid(stage, deaf.name))
    (pod,) = stage.wait_for(lambda: _ending(stage, deaf.name), "a pod that is told to end")

    gone = stage.gateway.force_delete_pods(stage.namespace, owner.instance_id)

    assert gone == [pod]
    # It has half a minute to end by itself, so it did not.
    stage.wait_for(lambda: not stage.gateway.pods_of(stage.namespace, deaf.name), "the end of the pod", seconds=25)
    assert [
        item["metadata"].get("deletionTimestamp") for item in stage.gateway.pods_of(stage.namespace, well.name)
    ] == [None]


def _uid(stage: Stage, name: str) -> str:
    found = stage.gateway.read_workload(stage.namespace, "Job", name)
    assert found is not None
    return str(found["metadata"]["uid"])


def _ending(stage: Stage, name: str) -> list[str] | None:
    pods = stage.gateway.pods_of(stage.namespace, name)
    return [pod["metadata"]["name"] for pod in pods if pod["metadata"].get("deletionTimestamp")] or None
