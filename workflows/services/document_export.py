"""A workflow as a file that makes it again (the reverse of applying one)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from django.db.models import Q

from templates_app.kinds import KINDS, AnyTemplate
from templates_app.models import Template
from templates_app.selectors import visible_to
from workflows.domain.actors import Actor
from workflows.domain.ids import slug_of
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.document_bodies import API_VERSION, KIND
from workflows.services.document_forms import Form, edge_forms, node_form, spec_form, template_form

GLOBAL: Final = Template.Scope.GLOBAL


def instance_file(actor: Actor, instance: WorkflowInstance, *, has_rivals: bool) -> Form:
    """The whole file of an instance. Six queries at most. `has_rivals`: others of its project have its name.

    Templates of the project come along in full. Global ones are named: many workflows share them, so that a file of one workflow
    must not turn them back to what they were when it was written; and a name means the same in another installation.
    """
    nodes = list(WorkflowNode.objects.filter(instance=instance).order_by("created_at", "id"))
    templates = readable_templates(actor, nodes)
    handles = _handles(nodes, templates)
    called, repeated = call_nodes(nodes), repeated_names(nodes)
    metadata: Form = {"name": instance.name, "project": instance.project_id}
    if has_rivals:
        metadata["id"] = instance.pk
    spec = spec_form(instance)
    if handles:
        shared = ambiguous_names(templates.values(), instance.project_id)
        spec["templates"] = {
            handle: _template_entry(templates[id], is_ambiguous=id in shared) for id, handle in handles.items()
        }
    spec["nodes"] = [
        {
            "name": node.name,
            **({"ref": called[node.pk]} if node.name in repeated else {}),
            **_template_of(node, handles),
            **_without_name(node_form(node, templates.get(node.template_id), called)),
        }
        for node in nodes
    ]
    edges = edge_forms(instance.edges, called)
    if edges:
        spec["edges"] = edges
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def call_nodes(nodes: Sequence[WorkflowNode]) -> dict[str, str]:
    """What each node is called in a file, by id: its name, with a number where several have it. In the order of the nodes."""
    repeated = repeated_names(nodes)
    taken = {node.name for node in nodes} - repeated
    called: dict[str, str] = {}
    for node in nodes:
        word = _free(node.name, taken) if node.name in repeated else node.name
        called[node.pk] = word
        taken.add(word)
    return called


def repeated_names(nodes: Sequence[WorkflowNode]) -> set[str]:
    """The names that several of the nodes have."""
    return {name for name, count in Counter(node.name for node in nodes).items() if count > 1}


def readable_templates(actor: Actor, nodes: Iterable[WorkflowNode]) -> dict[str, AnyTemplate]:
    """The templates of these nodes that the actor may read, by id; at most one query per kind."""
    found: dict[str, AnyTemplate] = {}
    for word, kind in KINDS.items():
        ids = {node.template_id for node in nodes if node.node_type == word}
        if ids:
            found |= {row.pk: row for row in kind.model.objects.filter(visible_to(actor), pk__in=ids)}
    return found


def ambiguous_names(templates: Collection[AnyTemplate], project_id: str) -> set[str]:
    """The ids of those that share kind, scope and name with another template that a file of this project could mean."""
    found: set[str] = set()
    for kind in KINDS.values():
        mine = {row.pk: (row.scope, row.name) for row in templates if isinstance(row, kind.model)}
        if not mine:
            continue
        meant = Q(scope=GLOBAL) | Q(project_id=project_id)
        rows = kind.model.objects.filter(meant, name__in={name for _, name in mine.values()})
        count = Counter(rows.values_list("scope", "name"))
        found |= {id for id, identity in mine.items() if count[identity] > 1}
    return found


def _handles(nodes: Iterable[WorkflowNode], templates: Mapping[str, AnyTemplate]) -> dict[str, str]:
    """A handle for each template by its id, in the order of their first use."""
    handles: dict[str, str] = {}
    taken: set[str] = set()
    for node in nodes:
        if node.template_id in templates and node.template_id not in handles:
            name = templates[node.template_id].name
            slug = slug_of(name)
            handle = _free(name if slug == "x" else slug, taken)
            handles[node.template_id] = handle
            taken.add(handle)
    return handles


def _free(word: str, taken: Collection[str]) -> str:
    number, found = 2, word
    while found in taken:
        number, found = number + 1, f"{word}-{number}"
    return found


def _template_entry(template: AnyTemplate, *, is_ambiguous: bool) -> Form:
    form = template_form(template)
    entry: Form = {"kind": form["kind"]}
    if is_ambiguous:
        entry["id"] = template.pk
    if template.scope == GLOBAL:
        return {**entry, "name": template.name, "scope": template.scope}
    return {**entry, **form}


def _template_of(node: WorkflowNode, handles: Mapping[str, str]) -> Form:
    if node.template_id in handles:
        return {"template": handles[node.template_id]}
    return {"template_id": node.template_id}


def _without_name(form: Form) -> Form:
    return {key: value for key, value in form.items() if key != "name"}
