"""A second workflow like one that exists."""

from __future__ import annotations

from typing import Any, Final

from workflows.domain.actors import Actor
from workflows.domain.errors import NotFound
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.selectors.instances import get_visible_instance
from workflows.services.authoring import create_instance
from workflows.services.authoring_nodes import PLAIN_FIELDS, SERVICE_FIELDS

NAME_LIMIT: Final = 128
_SUFFIX: Final = " (copy)"


def copy_instance(*, actor: Actor, instance_id: str, name: str | None = None) -> str:
    """Makes a draft with the same settings, nodes and edges in the same project, and returns its id. `name`: else the old one
    with "(copy)".

    Templates are shared, chosen Service names kept: whoever wants both up at once gives the copy's nodes other ones. Raises
    NotFound or Forbidden, and what `create_instance` raises.
    """
    get_visible_instance(actor=actor, instance_id=instance_id)
    # One statement: nodes and edges of the same moment.
    nodes = list(
        WorkflowNode.objects.filter(instance_id=instance_id).select_related("instance").order_by("created_at", "id")
    )
    instance = nodes[0].instance if nodes else WorkflowInstance.objects.filter(pk=instance_id).first()
    if instance is None:  # deleted since it was visible
        raise NotFound("workflow_instance", instance_id)
    values = {
        "name": name or name_of_copy(instance.name),
        "description": instance.description,
        "project_id": instance.project_id,
        "run_mode": instance.run_mode,
        "trigger_type": instance.trigger_type,
        "trigger_enabled": instance.trigger_enabled,
        "nodes": [_config(node) for node in nodes],
        "edges": instance.edges,
    }
    return create_instance(actor=actor, values=values)


def name_of_copy(name: str) -> str:
    """The name with "(copy)" behind it, cut to what a name may have."""
    return name[: NAME_LIMIT - len(_SUFFIX)] + _SUFFIX


def _config(node: WorkflowNode) -> dict[str, Any]:
    """The node as a body of the API. Its old id is what edges and sources of the request call it by."""
    return {
        "ref": node.pk,
        "node_type": node.node_type,
        "template_id": node.template_id,
        **{field: getattr(node, field) for field in PLAIN_FIELDS},
        **{field: getattr(node, column) for field, column in SERVICE_FIELDS.items()},
    }
