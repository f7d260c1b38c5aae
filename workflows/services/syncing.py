"""Looking at one instance in the cluster now, because somebody asked (contract E.7)."""

from __future__ import annotations

from django.db import transaction

from k8s_bridge.kinds import POD, SERVICE
from k8s_bridge.specs import DEPLOYMENT
from workflows.domain.actors import Actor
from workflows.domain.errors import NotFound
from workflows.domain.statuses import WANTED, InstanceStatus, NodeStatus, WorkloadState
from workflows.locks import lock_instance
from workflows.models import Cleanup, WorkflowInstance, WorkflowNode, Workload
from workflows.services.advancing import advance
from workflows.services.cleaning import request_cleanup
from workflows.services.cluster import translated
from workflows.services.facts import look_at_instance
from workflows.services.journal import Entry, append
from workflows.services.observing import apply_observations
from workflows.services.reconciling import confirm_workloads, news_of
from workflows.services.refusals import refusals
from workflows.services.runs import open_run_of


def sync_instance(*, instance_id: str, actor: Actor) -> None:
    """Reads the cluster and makes the records agree with it; what cannot be made to agree becomes a warning (contract E.7).

    Allowed in every status. It makes nothing in the cluster; only a `running` instance is carried on. Raises NotFound, and
    Unavailable when the cluster cannot be read: nothing is changed then.
    """
    instance = WorkflowInstance.objects.filter(pk=instance_id).first()
    if instance is None:
        raise NotFound("workflow_instance", instance_id)
    with translated():
        facts = look_at_instance(instance)
        apply_observations([*news_of(instance, facts), *refusals(facts, facts.objects)])
        missing = _judge_missing(instance, facts.standing)
    with transaction.atomic():
        instance = lock_instance(instance_id)
        strays = _strays(instance, facts.standing)
        if strays:
            request_cleanup(instance, actor=actor.id, now=instance.locked_at)
        warnings = [
            *missing,
            *_missing_services(instance, facts.standing),
            *strays,
            *_lost_readiness(instance),
        ]
        _note(instance, warnings)
        run = open_run_of(instance)
        if run is not None and instance.status == InstanceStatus.RUNNING:
            advance(instance, run, now=instance.locked_at)
        append(instance, Entry("instance.synced", actor.id, "; ".join(warnings)))


def _judge_missing(instance: WorkflowInstance, there: set[tuple[int, str]]) -> list[str]:
    """Objects that nodes name and that are not in the cluster: neither in the list nor, if it was wanted, on a second look.

    A Job whose end was seen may go.
    """
    live = Workload.objects.filter(instance=instance, state=WorkloadState.LIVE, is_finished=False)
    # A Service or a pod that is still there says nothing of the Deployment or Job.
    confirm_workloads(workload_ids=[pk for pk, kind in live.values_list("pk", "kind") if (pk, kind) not in there])
    named = WorkflowNode.objects.filter(instance=instance, k8s_resource_name__isnull=False).values("pk")
    newest = (
        Workload.objects.filter(instance=instance, node_id__in=named).order_by("node_id", "-pk").distinct("node_id")
    )
    return [
        f"{workload.kind} {workload.name} is recorded but not in the cluster; the next run makes it again"
        for workload in newest
        if workload.state == WorkloadState.GONE and not workload.is_finished
    ]


def _missing_services(instance: WorkflowInstance, there: set[tuple[int, str]]) -> list[str]:
    """Services of standing Deployments that the list did not show. The next run replaces the app, and its Service with it."""
    live = Workload.objects.filter(instance=instance, state=WorkloadState.LIVE, service_name__isnull=False)
    return [
        f"Service {workload.service_name} is recorded but not in the cluster; the next run makes it again"
        for workload in live
        if (workload.pk, workload.kind) in there and (workload.pk, SERVICE) not in there
    ]


def _strays(instance: WorkflowInstance, there: set[tuple[int, str]]) -> list[str]:
    """Objects that carry this instance's labels and that no record wants. Those that a clean-up is removing are no surprise."""
    if Cleanup.objects.filter(instance=instance).exists():
        return []
    known = set(Workload.objects.filter(instance=instance, state__in=WANTED).values_list("pk", flat=True))
    return sorted(
        f"a {kind} of attempt {attempt} is in the cluster without a record; it is going to be removed"
        for attempt, kind in there
        if attempt not in known and kind != POD
    )


def _lost_readiness(instance: WorkflowInstance) -> list[str]:
    """Apps that succeeded and are not ready any more keep their status and get a message (contract E.6)."""
    unready = Workload.objects.filter(
        instance=instance, state=WorkloadState.LIVE, kind=DEPLOYMENT, is_ready=False
    ).values_list("node_id", flat=True)
    nodes = WorkflowNode.objects.filter(pk__in=list(unready), status=NodeStatus.SUCCEEDED)
    words = "the app is no longer ready"
    nodes.update(message=words)
    WorkflowNode.objects.filter(instance=instance, status=NodeStatus.SUCCEEDED, message=words).exclude(
        pk__in=list(unready)
    ).update(message=None)
    return [f"{name}: {words}" for name in sorted(nodes.values_list("name", flat=True))]


def _note(instance: WorkflowInstance, warnings: list[str]) -> None:
    changes: dict[str, object] = {"last_sync_at": instance.locked_at}
    if warnings:
        changes |= {"has_warning": True, "message": "; ".join(warnings)}
    elif instance.has_warning:
        changes |= {"has_warning": False, "message": None}
    WorkflowInstance.objects.filter(pk=instance.pk).update(**changes)
    for name, value in changes.items():
        setattr(instance, name, value)
