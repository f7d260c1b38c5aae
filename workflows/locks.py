"""The one lock of the engine: the row of an instance. Whoever changes anything of an instance holds it."""

from __future__ import annotations

from workflows.domain.errors import NotFound
from workflows.models import WorkflowInstance


def lock_instance(instance_id: str) -> WorkflowInstance:
    """The instance, locked until the caller's transaction ends. Raises NotFound.

    Nobody holds two of these locks at once, so there is no order to keep and no deadlock.
    """
    instance = WorkflowInstance.objects.select_for_update().filter(pk=instance_id).first()
    if instance is None:
        raise NotFound("workflow_instance", instance_id)
    return instance
