"""Who refers to a template."""

from __future__ import annotations

from workflows.models import WorkflowNode


def instances_using_template(template_id: str, outside: str | None = None) -> list[str]:
    """Ids of the instances that have a node made from the template, sorted; one query. With `outside` only those that
    belong to other projects.
    """
    nodes = WorkflowNode.objects.filter(template_id=template_id)
    if outside is not None:
        nodes = nodes.exclude(instance__project_id=outside)
    return sorted(nodes.order_by().values_list("instance_id", flat=True).distinct())
