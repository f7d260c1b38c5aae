"""Nodes that cannot go on, and what people are told about it (contract E.6, H.2, H.5)."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings

from k8s_bridge.kinds import collection_path, object_path
from tests.engine import container, ends, eventually, job, node, objects_of, statuses, web_app, workflow
from workflows.domain.actors import Actor
from workflows.domain.errors import Conflict
from workflows.models import Cleanup, Event, NodeRun, WorkflowInstance, WorkflowNode, Workload
from workflows.services import lifecycle, observing
from workflows.services.cluster import gateway
from workflows.services.logs import read_node_logs
from workflows.services.preflight import check_cluster, prepare
from workflows.services.triggers import trigger_instance

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("engine")]
ME = Actor(id="1", name="me")

real_cluster_only = pytest.mark.skipif(
    not os.environ.get("SECFLOW_TEST_KUBECONFIG"),
    reason="the local cluster enforces no ResourceQuota; name a Kubernetes by SECFLOW_TEST_KUBECONFIG",
)


@pytest.fixture
def short_limits(settings: Any) -> None:
    """Limits of seconds instead of minutes."""
    settings.SECFLOW = replace(django_settings.SECFLOW, pull_limit_seconds=3, app_timeout_seconds=3)


def foreign(kind: str, namespace: str, name: str) -> str:
    """Makes an object that SecFlow does not own; its uid."""
    gateway().ensure_namespace(namespace)
    template = {
        "metadata": {"labels": {"app": "foreign"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:latest", "command": ["sleep", "300"]}],
        },
    }
    bodies: dict[str, dict[str, Any]] = {
        "Job": {"apiVersion": "batch/v1", "spec": {"template": template}},
        "Service": {"apiVersion": "v1", "spec": {"selector": {"app": "foreign"}, "ports": [{"port": 80}]}},
    }
    body = bodies[kind] | {"kind": kind, "metadata": {"name": name, "namespace": namespace}}
    made = gateway().client.request("POST", collection_path(kind, namespace), body=body)
    return str(made["metadata"]["uid"])


def uid_of(kind: str, namespace: str, name: str) -> str:
    return str(gateway().client.request("GET", object_path(kind, namespace, name))["metadata"]["uid"])


def test_a_foreign_object_with_our_name_fails_the_node_and_is_never_touched() -> None:
    instance = workflow({"a": job()})
    suffixes = [id.rsplit("-", 1)[1] for id in (instance.pk, node(instance, "a").pk)]
    namespace, name = f"secflow-{instance.project_id}", f"wf-{suffixes[0]}-{suffixes[1]}"
    uid = foreign("Job", namespace, name)

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    message = node(instance, "a").message or ""
    assert "belongs to somebody else" in message
    assert "remove the other object" in message
    assert NodeRun.objects.get(instance=instance).diagnosis["category"] == "name_conflict"
    lifecycle.uninitialize_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: not Cleanup.objects.exists(), what="the clean-up")
    assert statuses(instance) == {"": "pending", "a": "pending"}
    assert uid_of("Job", namespace, name) == uid


@pytest.mark.parametrize("verb", ["initialize", "start"])
def test_a_taken_service_name_is_a_conflict_and_changes_nothing(verb: str) -> None:
    instance = workflow({"web": web_app(service_name="taken")})
    namespace = f"secflow-{instance.project_id}"
    uid = foreign("Service", namespace, "taken")

    with pytest.raises(Conflict, match="Service name taken is in use") as caught:
        getattr(lifecycle, f"{verb}_instance")(instance_id=instance.pk, actor=ME)

    assert caught.value.details == {"services": [{"node": "web", "service_name": "taken"}]}
    assert statuses(instance) == {"": "pending", "web": "pending"}
    found = WorkflowInstance.objects.get(pk=instance.pk)
    assert (found.run_count, found.version, found.started_at) == (0, 0, None)
    assert not Workload.objects.exists()
    assert not Event.objects.exists()
    assert uid_of("Service", namespace, "taken") == uid


@pytest.mark.parametrize(("apps", "requests"), [(1, {"get services": 1}), (5, {"list services": 1})])
def test_chosen_service_names_are_asked_for_at_once(apps: int, requests: dict[str, int]) -> None:
    nodes = {f"web{number}": web_app(service_name=f"front{number}") for number in range(apps)}
    instance = workflow({**nodes, "other": web_app()})
    taken = foreign("Service", f"secflow-{instance.project_id}", f"front{apps - 1}")
    prepared = prepare(instance)
    before = gateway().client.counts

    with pytest.raises(Conflict) as caught:
        check_cluster(instance, prepared)

    after = gateway().client.counts
    sent = {call: count - before.get(call, 0) for call, count in after.items() if call.endswith(" services")}
    assert {call: count for call, count in sent.items() if count} == requests
    assert caught.value.details == {"services": [{"node": f"web{apps - 1}", "service_name": f"front{apps - 1}"}]}
    assert uid_of("Service", f"secflow-{instance.project_id}", f"front{apps - 1}") == taken


def test_a_missing_image_ends_by_the_pull_limit_and_says_why(short_limits: None) -> None:
    instance = workflow({"a": job(image="registry.invalid/no/such:image")})

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    message = node(instance, "a").message or ""
    assert message.startswith("pull limit: ")
    assert "registry.invalid/no/such:image cannot be pulled" in message
    assert "Check that the image and tag exist" in message
    diagnosis = NodeRun.objects.get(instance=instance).diagnosis
    assert diagnosis["category"] == "image_pull"
    assert diagnosis["summary"].startswith("pull limit: ")
    assert Event.objects.get(instance_id=instance.pk, kind="node.expired").data["diagnosis"] == diagnosis
    eventually(lambda: objects_of(instance) == [], what="the removal of the pods")


def test_an_image_name_that_cannot_be_right_fails_the_node_at_once() -> None:
    instance = workflow({"a": job(image="Team/Tool:1"), "web": web_app(image="Team/App:1")})

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    for name, image in (("a", "Team/Tool:1"), ("web", "Team/App:1")):
        diagnosis = NodeRun.objects.get(instance=instance, node_name=name).diagnosis
        assert diagnosis["category"] == "invalid_image"
        assert image in diagnosis["summary"]
        assert "Correct the image in the template" in (node(instance, name).message or "")
    eventually(lambda: not any(item.startswith("Job/") for item in objects_of(instance)), what="the job's removal")
    assert any(item.startswith("Deployment/") for item in objects_of(instance))


def test_a_job_that_runs_out_of_time_says_what_it_was_doing() -> None:
    instance = workflow({"a": job("sleep 300")})
    WorkflowNode.objects.filter(instance=instance).update(timeout_seconds=1)

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    diagnosis = NodeRun.objects.get(instance=instance).diagnosis
    assert diagnosis["category"] == "timeout"
    assert diagnosis["summary"] == "timeout: not finished within 1 s. Its pod was running and had not finished."


def test_a_missing_claim_fails_the_node_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "CLAIM_GRACE", timedelta(seconds=1))
    mount = {"pvc_name": "no-such-claim", "mount_path": "/data", "sub_path": None, "read_only": False}
    instance = workflow({"a": job(volume_mounts=[mount])})

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    assert (node(instance, "a").message or "").startswith("missing claim: ")
    assert "no-such-claim" in (node(instance, "a").message or "")
    assert NodeRun.objects.get(instance=instance).diagnosis["category"] == "missing_claim"


def test_an_app_that_never_gets_ready_times_out_and_its_objects_stay(short_limits: None) -> None:
    never = {
        "type": "tcp",
        "port": 9,
        "path": None,
        "command": None,
        "initial_delay_seconds": 0,
        "period_seconds": 1,
        "timeout_seconds": 1,
        "failure_threshold": 1,
        "success_threshold": 1,
    }
    instance = workflow({"web": web_app(readiness_probe=never), "next": job()}, [("web", "next")])

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "failed"
    assert statuses(instance)["next"] == "pending"
    message = node(instance, "web").message or ""
    assert message.startswith("timeout: not ready within 3 s.")
    assert "readiness probe" in message
    assert any(item.startswith("Deployment/") for item in objects_of(instance))
    lifecycle.uninitialize_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: objects_of(instance) == [], what="the removal")


def test_pods_that_fail_inside_the_backoff_limit_do_not_fail_the_job() -> None:
    # Pods share nothing but the time: the first ones come too early, and the pause between two doubles from ten seconds.
    instance = workflow({"flaky": job("test $(date +%s) -ge $UNTIL", backoff_limit=4)})
    WorkflowNode.objects.filter(instance=instance).update(
        env_vars=[{"name": "UNTIL", "value": str(int(time.time()) + 15)}]
    )

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance, seconds=120) == "succeeded"
    kinds = list(Event.objects.filter(instance_id=instance.pk).order_by("sequence").values_list("kind", flat=True))
    assert "node.trouble" in kinds
    assert "node.failed" not in kinds
    assert node(instance, "flaky").message is None


def test_a_job_that_is_removed_right_after_its_success_stays_succeeded() -> None:
    template = job("true")
    template.ttl_seconds_after_finished = 0
    template.save()
    instance = workflow({"a": template, "b": job()}, [("a", "b")])

    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    assert ends(instance) == "succeeded"
    name = f"Job/{Workload.objects.get(node_id=node(instance, 'a').pk).name}"
    eventually(lambda: name not in objects_of(instance), what="the removal by the TTL")
    eventually(lambda: Workload.objects.get(node_id=node(instance, "a").pk).state == "gone", what="the record of it")
    assert statuses(instance) == {"": "succeeded", "a": "succeeded", "b": "succeeded"}
    assert WorkflowInstance.objects.get(pk=instance.pk).has_warning is False


@real_cluster_only
def test_a_used_up_quota_makes_a_node_wait_until_it_is_free() -> None:
    instance = workflow({"a": job()})
    namespace = f"secflow-{instance.project_id}"
    gateway().ensure_namespace(namespace)
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": namespace},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    gateway().client.request("POST", path, body=body)

    def is_enforced() -> bool:
        return "hard" in gateway().client.request("GET", f"{path}/none").get("status", {})

    eventually(is_enforced, what="the quota")
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: "quota" in (node(instance, "a").message or ""), what="the reason")
    assert statuses(instance) == {"": "running", "a": "running"}
    tries = Workload.objects.get(instance=instance).tries
    gateway().client.request("DELETE", f"{path}/none")

    assert ends(instance) == "succeeded"
    assert tries <= 2
    assert node(instance, "a").message is None


def test_an_app_that_lost_its_service_is_made_again_by_the_next_run() -> None:
    instance = workflow({"web": web_app(service_name="site")}, run_mode="persistent")
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "succeeded"
    namespace = f"secflow-{instance.project_id}"
    gateway().client.request("DELETE", object_path("Service", namespace, "site"))

    trigger_instance(instance_id=instance.pk, actor=ME)

    eventually(lambda: WorkflowInstance.objects.get(pk=instance.pk).run_count == 2, what="the second run")
    assert ends(instance) == "succeeded"
    assert "Service/site" in objects_of(instance)
    assert node(instance, "web").service_name == "site"


def test_a_log_is_that_of_the_container_the_template_names() -> None:
    template = job("echo first", name="One_1")
    template.containers = [*template.containers, container("echo second", name="one-1")]
    template.save()
    instance = workflow({"a": template})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "succeeded"

    found = {
        name: read_node_logs(node=node(instance, "a"), container=name, tail_lines=10, previous=False, timestamps=False)[
            "logs"
        ]
        for name in ("One_1", "one-1")
    }

    assert found == {"One_1": "first\n", "one-1": "second\n"}


def test_a_claim_that_comes_late_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "CLAIM_GRACE", timedelta(seconds=30))
    mount = {"pvc_name": "late-claim", "mount_path": "/data", "sub_path": None, "read_only": False}
    instance = workflow({"a": job("echo a > /data/a", volume_mounts=[mount])})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: NodeRun.objects.filter(instance=instance, due_reason="claim").exists(), what="the trouble")

    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "late-claim"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    namespace = f"secflow-{instance.project_id}"
    gateway().client.request("POST", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", body=body)

    assert ends(instance) == "succeeded"
