"""What is kept of a node that failed (reliability F29, F30)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k8s_bridge.names import namespace_of
from tests.engine import container, ends, eventually, job, objects_of, web_app, workflow
from workflows.domain.actors import Actor
from workflows.models import NodeLog, NodeRun, WorkflowInstance, WorkflowNode
from workflows.services import lifecycle
from workflows.services.cluster import gateway

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("engine")]
ME = Actor(id="1", name="me")


def evidence_of(instance: WorkflowInstance) -> dict[str, Any]:
    def is_kept() -> bool:
        return not NodeLog.objects.filter(node_run__instance=instance, due_at__isnull=False).exists()

    eventually(is_kept, what="the evidence")
    found: dict[str, Any] = NodeRun.objects.get(instance=instance).evidence
    return found


def test_a_failed_job_leaves_states_and_last_lines_of_every_container() -> None:
    secret = [{"name": "PASSWORD", "value": "hunter2"}]
    template = job("echo from main; exit 3", env_vars=secret)
    template.containers = [*template.containers, container("echo from the side", name="side")]
    template.save()
    instance = workflow({"a": template})

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    found = evidence_of(instance)
    states = {item["name"]: item["state"] for item in found["pods"][0]["containers"]}
    assert (states["main"]["is"], states["main"]["exitCode"]) == ("terminated", 3)
    assert (states["side"]["is"], states["side"]["exitCode"]) == ("terminated", 0)
    assert {log["container"]: log["text"] for log in found["logs"]} == {
        "main": "from main\n",
        "side": "from the side\n",
    }
    assert "BackoffLimitExceeded" in {event["reason"] for event in found["events"]}
    assert "hunter2" not in json.dumps(found)


def test_an_app_that_keeps_crashing_leaves_the_words_of_its_last_run() -> None:
    instance = workflow({"web": web_app(command=["sh", "-c", "echo no config; exit 4"], image="busybox:latest")})
    WorkflowNode.objects.filter(instance=instance).update(timeout_seconds=5)

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    assert NodeRun.objects.get(instance=instance).diagnosis["category"] == "crash_loop"
    found = evidence_of(instance)
    (state,) = found["pods"][0]["containers"]
    assert 4 in {(state[key] or {}).get("exitCode") for key in ("state", "last_state")}
    assert {log["text"] for log in found["logs"]} == {"no config\n"}
    assert "BackOff" in {event["reason"] for event in found["events"]}


def test_a_job_whose_pods_are_removed_at_once_left_its_evidence_before() -> None:
    instance = workflow({"a": job("echo still here; sleep 300")})
    WorkflowNode.objects.filter(instance=instance).update(timeout_seconds=2)

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    eventually(lambda: objects_of(instance) == [], what="the removal")
    found = evidence_of(instance)
    assert [log["text"] for log in found["logs"]] == ["still here\n"]
    assert found["pods"][0]["containers"][0]["state"]["is"] == "running"


def test_a_node_that_succeeds_leaves_none() -> None:
    instance = workflow({"a": job("echo fine")})

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "succeeded"
    assert evidence_of(instance) is None


def test_a_job_that_somebody_deletes_leaves_the_words_of_its_ending_pod() -> None:
    instance = workflow({"a": job("trap '' TERM; echo still here; sleep 10; sleep 10")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    started = NodeRun.objects.filter(instance=instance, clock_started_at__isnull=False)
    eventually(started.exists, what="the start")
    namespace = namespace_of(instance.project_id)
    found = gateway().list_instance(namespace, instance.pk)["Job"][0]["metadata"]
    # Its words come after its trap, before which it would end at once.
    eventually(lambda: gateway().pod_logs(namespace, found["name"]).text == "still here\n", what="the words")

    gateway().delete_workload(found["namespace"], "Job", found["name"], found["uid"])

    assert ends(instance) == "failed"
    evidence = evidence_of(instance)
    assert NodeRun.objects.get(instance=instance).diagnosis["category"] == "deleted"
    assert [log["text"] for log in evidence["logs"]] == ["still here\n"]
    assert evidence["pods"][0]["deleted_at"] is not None
