"""Set-up, the rest between runs, and further runs of persistent instances (contract E.3, E.5, E.7, E.8)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from k8s_bridge.kinds import object_path
from secflow.runtime.claims import ensure_claims
from secflow.runtime.definition import Claim
from tests.engine import WEB, ends, eventually, job, node, objects_of, statuses, web_app, workflow
from workflows.domain.actors import Actor
from workflows.domain.errors import Invalid, WrongStatus
from workflows.domain.statuses import RunPurpose
from workflows.models import Event, NodeLog, Run, WorkflowInstance, Workload
from workflows.services import lifecycle, syncing
from workflows.services.cluster import gateway
from workflows.services.preflight import prepare
from workflows.services.runs import open_run
from workflows.services.setup import fail_stuck_setups
from workflows.services.triggers import trigger_instance

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("engine")]
ME = Actor(id="1", name="me")

SIGNS = {"pvc_name": "signs", "mount_path": "/data", "sub_path": None, "read_only": False}
# Ready as long as a file is not there: so a test can take readiness away from outside.
WHILE_WELL = {
    "type": "exec",
    "command": ["sh", "-c", "test ! -e /data/broken"],
    "port": None,
    "path": None,
    "initial_delay_seconds": 0,
    "period_seconds": 1,
    "timeout_seconds": 5,
    "failure_threshold": 1,
    "success_threshold": 1,
}


def breakable(kubeconfig: Path) -> WorkflowInstance:
    """A draft with an app `web`, which is ready as long as nobody has broken it."""
    fields = {"image": "busybox:latest", "command": ["sh", "-c", "sleep 600"], "volume_mounts": [SIGNS]}
    instance = workflow({"web": web_app(readiness_probe=WHILE_WELL, **fields)})
    ensure_claims(str(kubeconfig), instance.project_id, [Claim("signs", "1Mi")])
    return instance


def signal(instance: WorkflowInstance, script: str) -> None:
    """Runs the script beside the app, where it has its signs."""
    other = workflow({"a": job(script, volume_mounts=[SIGNS])}, project_id=instance.project_id)
    lifecycle.start_instance(instance_id=other.pk, actor=ME)
    assert ends(other) == "succeeded"


def deployment_uid(instance: WorkflowInstance) -> str:
    workload = Workload.objects.get(instance=instance, kind="Deployment", state="live")
    found = gateway().read_workload(workload.namespace, "Deployment", workload.name)
    assert found is not None
    return str(found["metadata"]["uid"])


def warnings(instance: WorkflowInstance) -> tuple[bool, str | None]:
    return WorkflowInstance.objects.values_list("has_warning", "message").get(pk=instance.pk)


def test_initialize_with_force_makes_everything_anew() -> None:
    instance = workflow({"web": web_app(), "get": job()}, [("web", "get")])
    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: statuses(instance)["web"] == "succeeded", what="readiness")
    old = deployment_uid(instance)
    with pytest.raises(WrongStatus) as caught:
        lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    assert caught.value.details == {"status": "initialized", "allowed": ["pending"]}

    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME, force=True)

    eventually(
        lambda: statuses(instance) == {"": "initialized", "web": "succeeded", "get": "pending"},
        what="the second set-up",
    )
    assert deployment_uid(instance) != old
    assert sum(item.startswith("Deployment/") for item in objects_of(instance)) == 1


def test_initialize_with_force_after_stop_need_not_wait_for_the_old_objects() -> None:
    instance = workflow({"web": web_app()})
    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)

    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME, force=True)

    eventually(lambda: statuses(instance) == {"": "initialized", "web": "succeeded"}, what="the set-up")
    web = node(instance, "web")
    assert web.started_at is not None
    assert (web.k8s_resource_type, web.service_name is not None) == ("Deployment", True)


def test_one_app_that_the_cluster_refuses_fails_the_set_up_and_the_objects_stay() -> None:
    bad = web_app()
    bad.containers = [bad.containers[0] | {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]
    bad.save()
    instance = workflow({"bad": bad, "good": web_app()})

    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)

    eventually(lambda: statuses(instance)[""] == "failed", what="the failure")
    assert statuses(instance)["bad"] == "failed"
    message = WorkflowInstance.objects.get(pk=instance.pk).message or ""
    assert message.startswith("node bad could not be set up: The cluster refuses the object.")
    assert "Correct what the message names" in message
    assert Run.objects.get(instance=instance).status == "failed"
    assert not Workload.objects.filter(instance=instance, state="launching").exists()
    lifecycle.uninitialize_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: statuses(instance)[""] == "pending", what="the draft")
    assert objects_of(instance) == []


def test_the_watchdog_fails_an_old_set_up_and_gives_up_what_waits() -> None:
    instance = workflow({"web": web_app()})
    WorkflowInstance.objects.filter(pk=instance.pk).update(status="initializing")
    run = open_run(
        instance, prepare(instance), purpose=RunPurpose.SETUP, trigger="initialize", actor="1", now=timezone.now()
    )
    Workload.objects.create(
        instance=instance,
        node_id=node(instance, "web").pk,
        node_run=run.node_runs.get(),
        run_number=0,
        kind="Deployment",
        namespace=f"secflow-{instance.project_id}",
        name="wf-x",
        due_at=timezone.now() + timedelta(hours=1),
    )

    assert fail_stuck_setups(limit_seconds=600) == 0
    assert fail_stuck_setups(limit_seconds=0) == 1

    assert statuses(instance)[""] == "failed"
    assert "did not end within" in (WorkflowInstance.objects.get(pk=instance.pk).message or "")
    assert not Workload.objects.filter(instance=instance, state="launching").exists()


def test_an_app_that_loses_readiness_in_set_up_goes_back_to_running_and_forth(cluster_kubeconfig: Path) -> None:
    instance = breakable(cluster_kubeconfig)

    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)

    eventually(lambda: statuses(instance) == {"": "initialized", "web": "succeeded"}, what="readiness")
    signal(instance, "touch /data/broken")
    eventually(lambda: statuses(instance)["web"] == "running", what="the loss")
    signal(instance, "rm /data/broken")
    eventually(lambda: statuses(instance)["web"] == "succeeded", what="readiness again")
    assert statuses(instance)[""] == "initialized"
    assert node(instance, "web").message is None


def test_an_app_that_loses_readiness_after_its_run_keeps_its_status_and_sync_warns(cluster_kubeconfig: Path) -> None:
    instance = breakable(cluster_kubeconfig)
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "succeeded"
    workload = Workload.objects.get(instance=instance)

    signal(instance, "touch /data/broken")
    eventually(lambda: not Workload.objects.get(pk=workload.pk).is_ready, what="the loss")
    syncing.sync_instance(instance_id=instance.pk, actor=ME)
    assert statuses(instance) == {"": "succeeded", "web": "succeeded"}
    assert warnings(instance) == (True, "web: the app is no longer ready")
    assert node(instance, "web").message == "the app is no longer ready"
    signal(instance, "rm /data/broken")
    eventually(lambda: Workload.objects.get(pk=workload.pk).is_ready, what="readiness again")
    syncing.sync_instance(instance_id=instance.pk, actor=ME)

    assert warnings(instance) == (False, None)
    assert node(instance, "web").message is None


def test_a_template_that_changed_between_runs_replaces_the_deployment_at_the_next_run() -> None:
    template = web_app()
    instance = workflow({"web": template, "get": job()}, [("web", "get")], run_mode="persistent")
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "succeeded"
    first = deployment_uid(instance)
    trigger_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: statuses(instance)[""] == "succeeded", what="the second run")
    assert deployment_uid(instance) == first

    template.containers = [template.containers[0] | {"env_vars": [{"name": "NEW", "value": "1"}]}]
    template.save()
    trigger_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: statuses(instance)[""] == "succeeded", what="the third run")

    assert deployment_uid(instance) != first
    eventually(
        lambda: sum(item.startswith("Deployment/") for item in objects_of(instance)) == 1, what="the old one's removal"
    )
    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 3


def test_runs_back_to_back_each_have_one_new_job() -> None:
    instance = workflow({"a": job(), "b": job()}, [("a", "b")], run_mode="persistent")
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    for _ in range(3):
        eventually(lambda: statuses(instance)[""] == "succeeded", what="the run")
        trigger_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: statuses(instance)[""] == "succeeded", what="the last run")

    assert list(Run.objects.filter(instance=instance).order_by("number").values_list("number", "status")) == [
        (number, "succeeded") for number in (1, 2, 3, 4)
    ]
    assert Workload.objects.filter(instance=instance).count() == 8
    eventually(lambda: sum(item.startswith("Job/") for item in objects_of(instance)) == 2, what="two jobs")


def test_a_run_under_way_refuses_another_one() -> None:
    instance = workflow({"a": job("sleep 300")}, run_mode="persistent")
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    with pytest.raises(WrongStatus):
        trigger_instance(instance_id=instance.pk, actor=ME)

    assert WorkflowInstance.objects.get(pk=instance.pk).run_count == 1
    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)


def test_a_deployment_deleted_at_rest_warns_and_the_next_run_makes_it_again() -> None:
    instance = workflow({"web": web_app()}, run_mode="persistent")
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "succeeded"
    workload = Workload.objects.get(instance=instance)

    gateway().delete_workload(workload.namespace, "Deployment", workload.name, workload.uid or "")
    eventually(lambda: warnings(instance)[0], what="the warning")
    assert f"Deployment {workload.name} was deleted from outside" in (warnings(instance)[1] or "")
    trigger_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: statuses(instance) == {"": "succeeded", "web": "succeeded"}, what="the next run")

    assert warnings(instance) == (False, None)
    assert deployment_uid(instance) != workload.uid


def test_an_app_that_was_ready_already_has_its_text_in_every_run() -> None:
    template = web_app()
    template.containers = [template.containers[0] | {"command": ["python", "-uc", f"print('hello'); {WEB}"]}]
    template.save()
    instance = workflow({"web": template}, run_mode="persistent")
    lifecycle.initialize_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: statuses(instance)["web"] == "succeeded", what="readiness")

    for number in (1, 2):
        trigger_instance(instance_id=instance.pk, actor=ME)
        eventually(lambda: statuses(instance) == {"": "succeeded", "web": "succeeded"}, what=f"run {number}")

    def texts() -> list[tuple[int, str, str | None, bool]]:
        logs = NodeLog.objects.filter(node_run__instance=instance, fetched_at__isnull=False).order_by("node_run_id")
        found = logs.values_list("node_run__run__number", "part", "status_when_fetched", "text")
        return [(number, part, status, text.startswith("hello\n")) for number, part, status, text in found]

    eventually(lambda: len(texts()) == 3, what="the texts")
    assert texts() == [
        (0, "init", "succeeded", True),
        (1, "execution", "succeeded", True),
        (2, "execution", "succeeded", True),
    ]
    words = Event.objects.filter(instance_id=instance.pk, kind="node.succeeded", message="the app was ready already")
    assert words.count() == 2


def test_a_missing_service_is_a_warning_of_sync() -> None:
    instance = workflow({"web": web_app(service_name="gone")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "succeeded"
    syncing.sync_instance(instance_id=instance.pk, actor=ME)
    assert warnings(instance) == (False, None)

    gateway().client.request("DELETE", object_path("Service", f"secflow-{instance.project_id}", "gone"))
    syncing.sync_instance(instance_id=instance.pk, actor=ME)

    assert warnings(instance)[0]
    assert "Service gone is recorded but not in the cluster" in (warnings(instance)[1] or "")


@pytest.mark.parametrize("status", ["pending", "initialized", "succeeded", "failed", "stopped"])
def test_sync_moves_nothing_of_an_instance_at_rest(status: str) -> None:
    instance = workflow({"a": job(), "b": job()}, [("a", "b")])
    WorkflowInstance.objects.filter(pk=instance.pk).update(status=status)

    syncing.sync_instance(instance_id=instance.pk, actor=ME)

    assert statuses(instance) == {"": status, "a": "pending", "b": "pending"}
    assert WorkflowInstance.objects.get(pk=instance.pk).last_sync_at is not None
    assert objects_of(instance) == []
    assert not Workload.objects.filter(instance=instance).exists()


def test_activate_and_deactivate_change_only_the_switch() -> None:
    instance = workflow({"a": job("sleep 2")}, run_mode="persistent")
    with pytest.raises(WrongStatus) as caught:
        lifecycle.activate_instance(instance_id=instance.pk, actor=ME)
    assert caught.value.details["status"] == "pending"  # type: ignore[call-overload,index]
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)

    lifecycle.deactivate_instance(instance_id=instance.pk, actor=ME)

    assert statuses(instance)[""] == "running"
    assert ends(instance) == "succeeded"
    with pytest.raises(Invalid, match="is not active; activate it first"):
        trigger_instance(instance_id=instance.pk, actor=ME)
    lifecycle.activate_instance(instance_id=instance.pk, actor=ME)
    lifecycle.activate_instance(instance_id=instance.pk, actor=ME)
    kinds = Event.objects.filter(instance_id=instance.pk, kind__in=["instance.activated", "instance.deactivated"])
    assert kinds.count() == 2
    trigger_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: statuses(instance)[""] == "succeeded", what="the second run")


@pytest.mark.parametrize("verb", ["activate", "deactivate"])
def test_a_workflow_for_one_run_has_no_switch(verb: str) -> None:
    instance = workflow({"a": job()})

    with pytest.raises(Invalid, match="only persistent workflows") as caught:
        getattr(lifecycle, f"{verb}_instance")(instance_id=instance.pk, actor=ME)

    assert json.dumps(caught.value.details) == '{"run_mode": "once"}'
