"""Who refers to a template."""

from __future__ import annotations

from workflows.models import WorkflowNode


def instances_using_template(template_id: str) -> list[str]:
    """Ids of the instances that have a node made from the template, sorted; one query."""
    nodes = WorkflowNode.objects.filter(template_id=template_id)
    return sorted(nodes.order_by().values_list("instance_id", flat=True).distinct())
