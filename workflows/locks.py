"""The one lock of the engine: the row of an instance. Whoever changes anything of an instance holds it."""

from __future__ import annotations

from workflows.clock import ClockTimestamp
from workflows.domain.errors import NotFound
from workflows.models import WorkflowInstance


def lock_instance(instance_id: str) -> WorkflowInstance:
    """The instance, locked until the caller's transaction ends; `locked_at` is the database's time. Raises NotFound.

    Nobody holds two of these locks at once, so there is no order to keep and no deadlock.
    """
    instance = find_and_lock(instance_id)
    if instance is None:
        raise NotFound("workflow_instance", instance_id)
    return instance


def find_and_lock(instance_id: str | None) -> WorkflowInstance | None:
    """As `lock_instance`; None when there is no such instance."""
    found = WorkflowInstance.objects.select_for_update().filter(pk=instance_id)
    return found.annotate(locked_at=ClockTimestamp()).first()  # type: ignore[no-redef]  # the model declares it
