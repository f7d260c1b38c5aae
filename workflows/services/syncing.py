"""Looking at one instance in the cluster now, because somebody asked (contract E.7)."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from k8s_bridge.names import namespace_of, owner_of
from k8s_bridge.observations import observe
from k8s_bridge.specs import DEPLOYMENT, JOB
from workflows.domain.actors import Actor
from workflows.domain.errors import NotFound
from workflows.domain.statuses import WANTED, InstanceStatus, NodeStatus, WorkloadState
from workflows.locks import lock_instance
from workflows.models import WorkflowInstance, WorkflowNode, Workload
from workflows.services.advancing import advance
from workflows.services.cluster import gateway, translated
from workflows.services.journal import Entry, append
from workflows.services.observing import apply_observations, confirm_vanished
from workflows.services.runs import open_run_of


def sync_instance(*, instance_id: str, actor: Actor) -> None:
    """Reads the cluster and makes the records agree with it; what cannot be made to agree becomes a warning (contract E.7).

    Allowed in every status. It makes nothing in the cluster; only a `running` instance is carried on. Raises NotFound, and
    Unavailable when the cluster cannot be read: nothing is changed then.
    """
    instance = WorkflowInstance.objects.filter(pk=instance_id).first()
    if instance is None:
        raise NotFound("workflow_instance", instance_id)
    began = timezone.now()
    with translated():
        found = gateway().list_instance(namespace_of(instance.project_id), instance_id)
    seen = [observe(kind, item) for kind in ("Pod", JOB, DEPLOYMENT) for item in found[kind]]
    apply_observations(item for item in seen if item is not None)
    there = {
        (owner.attempt, kind)
        for kind in (DEPLOYMENT, JOB)
        for item in found[kind]
        if (owner := owner_of(item)) is not None and not item["metadata"].get("deletionTimestamp")
    }
    missing = _judge_missing(instance, {attempt for attempt, _ in there}, before=began)
    with transaction.atomic():
        instance = lock_instance(instance_id)
        warnings = [*missing, *_strays(instance, there), *_lost_readiness(instance)]
        _note(instance, warnings)
        run = open_run_of(instance)
        if run is not None and instance.status == InstanceStatus.RUNNING:
            advance(instance, run, now=timezone.now())
        append(instance, Entry("instance.synced", actor.id, "; ".join(warnings)))


def _judge_missing(instance: WorkflowInstance, there: set[int], *, before: object) -> list[str]:
    """Recorded objects that the list did not show. They are gone: the list was complete and younger than their launch."""
    live = Workload.objects.filter(
        instance=instance, state=WorkloadState.LIVE, is_finished=False, launched_at__lt=before
    ).exclude(pk__in=there)
    warnings = []
    for workload in list(live):
        confirm_vanished(workload_id=workload.pk, is_there=False)
        warnings.append(f"{workload.kind} {workload.name} is recorded but not in the cluster")
    return warnings


def _strays(instance: WorkflowInstance, there: set[tuple[int, str]]) -> list[str]:
    """Objects that carry this instance's labels and that no record wants."""
    known = set(Workload.objects.filter(instance=instance, state__in=WANTED).values_list("pk", flat=True))
    return sorted(
        f"a {kind} of attempt {attempt} is in the cluster without a record"
        for attempt, kind in there
        if attempt not in known
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
    changes: dict[str, object] = {"last_sync_at": timezone.now()}
    if warnings:
        changes |= {"has_warning": True, "message": "; ".join(warnings)}
    elif instance.has_warning:
        changes |= {"has_warning": False, "message": None}
    WorkflowInstance.objects.filter(pk=instance.pk).update(**changes)
    for name, value in changes.items():
        setattr(instance, name, value)
