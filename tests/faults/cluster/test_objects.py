"""Objects that other people remove, hold or evict."""

from __future__ import annotations

import time

import pytest

from tests.e2e.driver import app, job, nodes_by_name, statuses
from tests.faults.cluster.stage import Stage, real_cluster_only
from tests.stack import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

SEEN_SECONDS = 30.0  # in which a deletion from outside is found out


def test_f22_the_namespace_is_deleted_during_a_run(stage: Stage) -> None:
    """Fault: the namespace goes with everything in it. Criterion: the run fails and nothing is made there for ever."""
    sleeping = stage.driver.job_template("sleep 3600", backoff_limit=0)
    one = stage.driver.instance([job(sleeping, "a"), job(sleeping, "b"), job(sleeping, "c")], [("a", "c")])
    stage.start(one)
    for name in ("a", "b"):
        stage.wait_for_object("Job", one, name)

    stage.cluster.request("DELETE", f"/api/v1/namespaces/{stage.namespace}")
    ended = stage.driver.wait_for(one, "succeeded", "failed")

    assert ended["status"] == "failed"
    assert statuses(ended) == {"a": "failed", "b": "failed", "c": "pending"}
    assert sorted(stage.made().values()) == [1, 1]
    stage.check_invariants()


def test_f23_objects_are_deleted_by_hand(stage: Stage) -> None:
    """Fault: somebody deletes a Job and a Deployment. Criterion: found out within 30 s; the node fails and says why."""
    sleeping = stage.driver.job_template("sleep 3600")
    never = stage.driver.app_template(
        container={"readiness_probe": {"type": "exec", "command": ["false"], "initial_delay_seconds": 0}}
    )
    one = stage.driver.instance([job(sleeping, "work"), app(never, "site")])
    stage.start(one)
    names = [
        (kind, stage.wait_for_object(kind, one, name)["metadata"]["name"])
        for kind, name in (("Job", "work"), ("Deployment", "site"))
    ]

    for kind, name in names:
        stage.delete(kind, name)
    began = time.monotonic()
    ended = stage.driver.wait_for(one, "succeeded", "failed")

    assert time.monotonic() - began <= SEEN_SECONDS
    assert statuses(ended) == {"work": "failed", "site": "failed"}
    assert all("deleted from outside" in node["message"] for node in ended["nodes"])
    stage.check_invariants()


def test_f25_somebody_elses_object_has_our_name(stage: Stage) -> None:
    """Fault: the name of our Job is taken. Criterion: the node fails; the other object stays, also at the clean-up."""
    one = stage.driver.instance([job(stage.driver.job_template("true"), "work")])
    node_id = stage.node(one, "work")["id"]
    name = f"wf-{one.rpartition('-')[2]}-{node_id.rpartition('-')[2]}"
    uid = stage.make_foreign("Job", name)

    stage.start(one)
    ended = stage.driver.wait_for(one, "succeeded", "failed")

    assert ended["status"] == "failed"
    assert "belongs to somebody else" in nodes_by_name(ended)["work"]["message"]
    stage.check_invariants()
    found = stage.read("Job", name)
    assert found is not None
    assert found["metadata"]["uid"] == uid
    assert "deletionTimestamp" not in found["metadata"]


@real_cluster_only
def test_f31_a_pod_is_evicted(stage: Stage) -> None:
    """Fault: the pod of a Job without retries is evicted. Criterion: no retry is used up, another pod brings the end."""
    one = stage.driver.instance([job(stage.driver.job_template("sleep 5", backoff_limit=0), "work")])
    stage.start(one)
    pod = _running_pod(stage)
    path = f"/api/v1/namespaces/{stage.namespace}/pods/{pod}/eviction"
    stage.cluster.request("POST", path, body={"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}})

    ended = stage.driver.wait_for(one, "succeeded", "failed")

    assert ended["status"] == "succeeded", ended
    assert list(stage.made().values()) == [1]
    stage.check_invariants()


def _running_pod(stage: Stage) -> str:
    """The name of the only pod of the namespace, once it runs."""
    found: list[str] = []

    def is_running() -> bool:
        found[:] = [pod["metadata"]["name"] for pod in stage.list("Pod") if pod["status"].get("phase") == "Running"]
        return bool(found)

    eventually(is_running, what="a running pod")
    return found[0]


@real_cluster_only
def test_f32_a_pod_stays_terminating_for_ever(stage: Stage) -> None:
    """Fault: a pod that is deleted and never goes, as on a lost node. Criterion: the node fails at its deadline, the
    clean-up does not hang on the pod."""
    template = stage.driver.job_template("sleep 3600", backoff_limit=0)
    one = stage.driver.instance([job(template, "work", timeout_seconds=10)])
    stage.start(one)
    pod = _running_pod(stage)
    path = f"/api/v1/namespaces/{stage.namespace}/pods/{pod}"
    held = stage.cluster.request("GET", path)
    held["metadata"]["finalizers"] = ["tests.secflow.io/held"]
    stage.cluster.request("PUT", path, body=held)
    try:
        stage.delete("Pod", pod)
        ended = stage.driver.wait_for(one, "succeeded", "failed")

        assert ended["status"] == "failed"
        assert nodes_by_name(ended)["work"]["message"]
        stage.check_invariants()
    finally:
        held = stage.cluster.request("GET", path)
        held["metadata"]["finalizers"] = []
        stage.cluster.request("PUT", path, body=held)
