"""Runs from start to end against a cluster (contract E.2, E.5, E.6)."""

from __future__ import annotations

import pytest

from tests.engine import ends, eventually, job, node, objects_of, statuses, web_app, workflow
from workflows.domain.actors import Actor
from workflows.models import Cleanup, Event, NodeLog, Run, WorkflowInstance, Workload
from workflows.services import lifecycle
from workflows.services.triggers import trigger_instance

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("engine")]
ME = Actor(id="1", name="me")


def gapless(instance_id: str) -> list[str]:
    """The kinds of the instance's journal in order; the sequence has no gap."""
    rows = list(Event.objects.filter(instance_id=instance_id).order_by("sequence").values_list("sequence", "kind"))
    assert [sequence for sequence, _ in rows] == list(range(1, len(rows) + 1))
    return [kind for _, kind in rows]


def test_a_chain_runs_in_order_to_success() -> None:
    instance = workflow({"a": job("echo one"), "b": job("echo two"), "c": job("echo three")}, [("a", "b"), ("b", "c")])

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "succeeded"
    a, b, c = (node(instance, name) for name in "abc")
    assert a.finished_at <= b.started_at <= b.finished_at <= c.started_at
    assert [kind for kind in gapless(instance.pk) if kind.startswith("run")] == ["run.accepted", "run.succeeded"]
    eventually(lambda: NodeLog.objects.filter(fetched_at__isnull=False).count() == 3, what="three kept logs")
    assert {log.node_run.node_name: log.text for log in NodeLog.objects.select_related("node_run")} == {
        "a": "one\n",
        "b": "two\n",
        "c": "three\n",
    }


def test_a_diamond_joins() -> None:
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]
    instance = workflow({name: job() for name in "abcd"}, edges)

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "succeeded"
    d = node(instance, "d")
    assert d.started_at >= max(node(instance, "b").finished_at, node(instance, "c").finished_at)


def test_a_failure_lets_the_others_finish_and_starts_nothing_new() -> None:
    instance = workflow(
        {"bad": job("exit 3"), "slow": job("sleep 2"), "after_bad": job(), "after_slow": job()},
        [("bad", "after_bad"), ("slow", "after_slow")],
    )

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    assert statuses(instance) == {
        "": "failed",
        "bad": "failed",
        "slow": "succeeded",
        "after_bad": "pending",
        "after_slow": "pending",
    }
    assert "because node bad failed" in (node(instance, "after_bad").message or "")
    assert "node bad failed" in (WorkflowInstance.objects.get(pk=instance.pk).message or "")


def test_an_app_becomes_ready_and_a_job_reaches_it_by_its_service_name() -> None:
    get = job("wget -q -O - http://site:8080/ | head -c 20")
    instance = workflow({"web": web_app(service_name="site"), "get": get}, [("web", "get")])

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "succeeded"
    assert node(instance, "web").service_name == "site"
    kinds = {item.partition("/")[0] for item in objects_of(instance)}
    assert {"Deployment", "Service"} <= kinds


def test_stop_removes_everything_and_stops_every_node() -> None:
    instance = workflow({"long": job("sleep 300"), "next": job()}, [("long", "next")])
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: Workload.objects.filter(instance=instance, state="live").exists(), what="the launch")

    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)

    assert statuses(instance) == {"": "stopped", "long": "stopped", "next": "stopped"}
    assert objects_of(instance) == []
    assert not Cleanup.objects.exists()
    assert node(instance, "long").k8s_resource_name is None
    assert Run.objects.get(instance=instance).status == "stopped"
    gapless(instance.pk)


def test_initialize_then_start_keeps_the_deployment() -> None:
    instance = workflow({"web": web_app(), "get": job()}, [("web", "get")], run_mode="persistent")

    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    assert statuses(instance)[""] == "initialized"
    eventually(lambda: statuses(instance)["web"] == "succeeded", what="readiness")
    made = [item for item in objects_of(instance) if item.startswith("Deployment")]
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "succeeded"
    trigger_instance(instance_id=instance.pk, actor=ME)

    eventually(lambda: statuses(instance)[""] == "succeeded", what="the second run")
    assert Workload.objects.filter(instance=instance, kind="Deployment").count() == 1
    assert [item for item in objects_of(instance) if item.startswith("Deployment")] == made
    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 2
    assert sorted(Run.objects.filter(instance=instance, purpose="run").values_list("number", flat=True)) == [1, 2]


def test_uninitialize_gives_a_draft_without_objects() -> None:
    instance = workflow({"web": web_app(), "get": job()}, [("web", "get")])
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "succeeded"

    lifecycle.uninitialize_instance(instance_id=instance.pk, actor=ME)

    assert statuses(instance) == {"": "pending", "web": "pending", "get": "pending"}
    assert objects_of(instance) == []
    web = node(instance, "web")
    assert (web.k8s_resource_name, web.service_name, web.started_at, web.finished_at, web.message) == (None,) * 5
    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 1


def test_delete_removes_row_and_objects_and_keeps_the_journal() -> None:
    instance = workflow({"web": web_app(), "long": job("sleep 300")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    lifecycle.delete_instance(instance_id=instance.pk, actor=ME)

    assert not WorkflowInstance.objects.filter(pk=instance.pk).exists()
    assert objects_of(instance) == []
    assert gapless(instance.pk)[-1] == "instance.deleted"


def test_a_timeout_fails_the_job_and_removes_its_pods() -> None:
    instance = workflow({"long": job("echo before; sleep 300")})
    node(instance, "long").__class__.objects.filter(instance=instance).update(timeout_seconds=2)

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    assert "timeout" in (node(instance, "long").message or "")
    eventually(lambda: objects_of(instance) == [], what="the removal of the pods")
    assert NodeLog.objects.get(node_run__node_name="long").text == "before\n"


def test_an_object_deleted_by_hand_fails_its_node() -> None:
    from workflows.services.cluster import gateway

    instance = workflow({"long": job("sleep 300")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: Workload.objects.filter(instance=instance, state="live").exists(), what="the launch")
    workload = Workload.objects.get(instance=instance)

    gateway().delete_workload(workload.namespace, workload.kind, workload.name, workload.uid or "")

    assert ends(instance) == "failed"
    assert "delet" in (node(instance, "long").message or "").lower()
