"""What an operator may do about pods whose node does not answer any more."""

from __future__ import annotations

from django.db import transaction

from k8s_bridge.names import namespace_of
from workflows.domain.actors import Actor
from workflows.domain.errors import NotFound
from workflows.locks import find_and_lock
from workflows.models import WorkflowInstance
from workflows.services.cluster import gateway, translated
from workflows.services.journal import Entry, append


def force_delete_pods(*, instance_id: str, actor: Actor) -> list[str]:
    """Takes the instance's pods that are ending, and do not go, out of the cluster; returns their names, which the journal keeps.

    Their containers may go on where they are, if their node still lives: two of one job at once are possible then. Pods that are
    not ending are left alone. Raises NotFound, and Unavailable when the cluster cannot be used.
    """
    instance = WorkflowInstance.objects.filter(pk=instance_id).first()
    if instance is None:
        raise NotFound("workflow_instance", instance_id)
    with translated():
        pods = gateway().force_delete_pods(namespace_of(instance.project_id), instance_id)
    with transaction.atomic():
        locked = find_and_lock(instance_id)
        if locked is not None and pods:
            words = f"pods that did not end were removed by force: {', '.join(pods)}"
            append(locked, Entry("instance.pods_forced", actor.id, words, data={"pods": pods}))
    return pods
