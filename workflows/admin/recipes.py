"""Commands to copy: the same object, seen with kubectl."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from k8s_bridge import names
from workflows.models import NodeRun, WorkflowNode


@dataclass(frozen=True, slots=True)
class Recipe:
    """One command and what it shows."""

    title: str
    command: str


def recipes_for(node: WorkflowNode, record: NodeRun | None, container: str | None) -> list[Recipe]:
    """Commands for what the node has in the cluster; empty when its project can name no namespace."""
    try:
        namespace = names.namespace_of(node.instance.project_id)
    except ValueError:
        return []
    own = f"{names.NODE_ID}={node.pk}"
    recipes = [
        Recipe("Everything of this node", _kubectl(namespace, "get", "deployments,jobs,services,pods", "-l", own)),
        Recipe(
            "Everything of the instance",
            _kubectl(
                namespace, "get", "deployments,jobs,services,pods", "-l", f"{names.INSTANCE_ID}={node.instance_id}"
            ),
        ),
    ]
    name = node.k8s_resource_name or (record.resource_name if record else "")
    kind = (node.k8s_resource_type or (record.resource_type if record else "")).lower()
    if name and kind:
        pods = own if record is None or record.workload is None else f"{own},{names.ATTEMPT}={record.workload.pk}"
        chosen = ("-c", container) if container else ()
        recipes += [
            Recipe("The object and its events", _kubectl(namespace, "describe", f"{kind}/{name}")),
            Recipe("Its pods and their events", _kubectl(namespace, "describe", "pods", "-l", pods)),
            Recipe(
                "Its log, as it is written",
                _kubectl(namespace, "logs", "--follow", "--timestamps", "--tail=100", f"{kind}/{name}", *chosen),
            ),
            Recipe(
                "The log before the last restart", _kubectl(namespace, "logs", "--previous", f"{kind}/{name}", *chosen)
            ),
            Recipe("Logs of all its pods", _kubectl(namespace, "logs", "--prefix", "--all-containers", "-l", pods)),
            Recipe("The object as it is in the cluster", _kubectl(namespace, "get", f"{kind}/{name}", "-o", "yaml")),
        ]
    return recipes


def _kubectl(namespace: str, *words: str) -> str:
    return shlex.join(["kubectl", "--namespace", namespace, *words])
