"""What the page of a workflow shows around its forms: nodes, edges, and what still keeps it from running."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse

from templates_app.models import AppTemplate, Template
from workflows.admin.building.addresses import page_url
from workflows.admin.building.drafts import Draft
from workflows.admin.building.edge_body import EdgeBody, named_cycle
from workflows.admin.building.graph import MOST, built_graph
from workflows.domain.errors import CycleFound, DomainError, UnmetInputs
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.preflight import prepare, templates_of

_MODELS = {"app": "apptemplate", "job": "jobtemplate"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the workflow cannot run yet: a sentence and the page where it can be put right."""

    message: str
    node: str = ""
    url: str = ""


def build_context(draft: Draft) -> dict[str, Any]:
    """The context of the page of one workflow; a constant number of queries."""
    instance, names = draft.instance, draft.neighbours.names
    nodes = list(WorkflowNode.objects.filter(instance=instance).order_by("created_at", "id")[:MOST])
    templates = templates_of(nodes)
    edges = [
        {
            "source": names.get(edge["source"], edge["source"]),
            "target": names.get(edge["target"], edge["target"]),
            "claim": edge.get("shared_pvc"),
            "edit": page_url("edit_edge", instance.pk, edge=edge["edge_id"]),
            "delete": page_url("delete_edge", instance.pk, edge=edge["edge_id"]),
        }
        for edge in instance.edges[:MOST]
    ]
    return {
        "title": f"{instance.name}: edit",
        "instance": instance,
        "back": reverse("admin:workflows_workflowinstance_change", args=[quote(instance.pk)]),
        "back_label": "Open the workflow",
        "draft": draft,
        "problems": problems_of(instance, nodes),
        "picture": built_graph(instance, draft.neighbours),
        "nodes": [_node_line(node, templates.get(node.template_id), names, instance) for node in nodes],
        "edges": edges,
        "hidden_nodes": max(0, len(names) - MOST),
        "hidden_edges": max(0, len(instance.edges) - MOST),
        "edge_form": EdgeBody(instance, draft.neighbours, actor=draft.actor, is_disabled=bool(draft.graph_refusal)),
        "urls": {page: page_url(page, instance.pk) for page in ("build", "pick_template", "add_edge", "dry_run_button")}
        | {
            "check_edge": page_url("add_edge", instance.pk, _check="1"),
            "instance": reverse("admin:workflows_workflowinstance_change", args=[quote(instance.pk)]),
        },
    }


def problems_of(instance: WorkflowInstance, nodes: Iterable[WorkflowNode]) -> list[Problem]:
    """What a start would refuse as the records are now. Three queries."""
    ids: dict[str, str] = {}
    names: dict[str, str] = {}
    for node in nodes:
        ids.setdefault(node.name, node.pk)
        names[node.pk] = node.name
    try:
        prepare(instance)
    except UnmetInputs as err:
        found = []
        for item in err.details if isinstance(err.details, list) else ():
            name = str(item.get("node", ""))
            url = page_url("edit_node", instance.pk, ids[name]) if name in ids else ""
            found.append(Problem(f"{item['message']} (container {item['container']})", name, url))
        return found
    except CycleFound as err:
        return [Problem(named_cycle(err, names))]
    except DomainError as err:
        return [Problem(err.message)]
    return []


def _node_line(node: WorkflowNode, template: Template | None, names: Any, instance: WorkflowInstance) -> dict[str, Any]:
    return {
        "name": node.name,
        "type": node.node_type,
        "template": template.name if template else node.template_id,
        "template_url": template_url(template) if template else "",
        "after": ", ".join(names.get(pk, pk) for pk in node.depends_on),
        "edit": page_url("edit_node", instance.pk, node.pk),
        "delete": page_url("delete_node", instance.pk, node.pk),
    }


def template_url(template: Template) -> str:
    """The page of a template."""
    model = "apptemplate" if isinstance(template, AppTemplate) else "jobtemplate"
    return reverse(f"admin:templates_app_{model}_change", args=[quote(template.pk)])


def node_page_context(draft: Draft) -> dict[str, Any]:
    """What the page of a node shows around its form."""
    template, node, instance = draft.shown_template, draft.shown_node, draft.instance
    assert template is not None
    return {
        "title": f"{instance.name}: {node.name if node else 'new node'}",
        "instance": instance,
        "template": template,
        "template_kind": "app" if isinstance(template, AppTemplate) else "job",
        "template_url": template_url(template),
        "asked": asked_of(template),
        "node": node,
        "picture": built_graph(instance, draft.neighbours, marked=node.pk if node else ""),
        "hidden_nodes": max(0, len(draft.neighbours.names) - MOST),
        "delete": page_url("delete_node", instance.pk, node.pk) if node else "",
        "back": page_url("build", instance.pk) + "#nodes",
        "refusal": draft.graph_refusal,
    }


def asked_of(template: Template) -> list[dict[str, str]]:
    """What the containers of a template want from their nodes, for people."""
    found = []
    for container in template.containers:
        for entry in container.get("input_env_vars") or ():
            default = entry.get("default_value")
            found.append(
                {"what": f"variable {entry['name']}", "container": container["name"], "default": default or ""}
            )
        found += [
            {"what": f"a volume at {entry['mount_path']}", "container": container["name"], "default": ""}
            for entry in container.get("input_volume_mounts") or ()
        ]
    return found
