"""What an instance would have in the cluster, and what is worth knowing before it does. Never talks to the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from k8s_bridge.manifests import deployment_manifest, job_manifest, service_manifest
from k8s_bridge.names import ATTEMPT
from k8s_bridge.specs import DEPLOYMENT, Owner, WorkloadSpec
from templates_app.models import AppTemplate, Template
from templates_app.services import refuse_privileged
from workflows.domain.actors import Actor
from workflows.domain.advice import Hint, hints_for, source_hints
from workflows.domain.errors import DomainError, NotFound
from workflows.domain.findings import Finding, Path, Severity, in_order
from workflows.domain.inputs import NodeView, check_service_names
from workflows.domain.node_types.registry import get_node_type
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.selectors.instances import get_visible_instance
from workflows.services.building import instance_resolutions, node_view, service_of, workload_spec
from workflows.services.cluster import installation_uid
from workflows.services.preflight import templates_of

# The attempt is the number of a row that a launch makes; no object has it before.
_LATER: Final = "assigned-at-launch"
_RIVALS: Final = 20

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object as it would be sent to the cluster."""

    node: str
    node_id: str
    kind: str
    name: str
    manifest: Json

    def output(self) -> Json:
        """As the API shows it."""
        return {"node": self.node, "kind": self.kind, "name": self.name, "manifest": self.manifest}


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be made, what there is to say, and the unmet inputs as contract G.4 lists them."""

    findings: list[Finding]
    manifests: list[Manifest]
    unmet: list[Json]


def preview_instance(*, actor: Actor, instance_id: str) -> Preview:
    """The preview of an instance as it is now. An error among the findings means: a start would be refused.

    Raises NotFound or Forbidden. A constant number of queries.
    """
    get_visible_instance(actor=actor, instance_id=instance_id)
    instance, nodes, templates = _rows(instance_id)
    return preview_of(instance, nodes, templates, template_paths={}, refused=Severity.ERROR)


def node_manifest(*, actor: Actor, instance_id: str, node_id: str) -> list[Manifest]:
    """The objects of one node as its next start would make them: Deployment or Job, then the Service if it has one.

    Empty when that cannot be said, because of the graph or a template. Raises NotFound, also for a node of another instance, or
    Forbidden.
    """
    get_visible_instance(actor=actor, instance_id=instance_id)
    instance, nodes, templates = _rows(instance_id)
    if not any(node.pk == node_id for node in nodes):
        raise NotFound("workflow_node", node_id)
    made = preview_of(instance, nodes, templates, template_paths={}, refused=Severity.ERROR, only=node_id)
    return made.manifests


def preview_of(
    instance: WorkflowInstance,
    nodes: Sequence[WorkflowNode],
    templates: Mapping[str, Template],
    *,
    template_paths: Mapping[str, Path],
    refused: Severity,
    only: str | None = None,
) -> Preview:
    """The preview of rows, saved or not. `templates`: by id. `template_paths`: where those of a file stand in it.

    `refused`: how to take what a start would refuse. `only`: the id of the node whose manifests are wanted.
    """
    made = _Findings(nodes, template_paths, refused)
    views: dict[str, NodeView] = {}
    for node in nodes:
        template = templates.get(node.template_id)
        if template is None:
            made.refuse(node.pk, f"its template {node.template_id} does not exist any more")
            continue
        views[node.pk] = node_view(node, template)
        try:
            refuse_privileged({"containers": template.containers}, template_id=template.pk)
        except DomainError as err:
            made.refuse(node.pk, err.message)
    if not nodes:
        made.findings.append(Finding(refused, ("spec", "nodes"), "there are no nodes, so nothing can be started"))
    if len(views) < len(nodes):
        return Preview(in_order(made.findings), [], [])
    try:
        resolutions = instance_resolutions(views, instance)
        specs = {
            id: workload_spec(
                view, resolutions[id], project_id=instance.project_id, instance_id=instance.pk, node_id=id
            )
            for id, view in views.items()
        }
    except DomainError as err:
        made.findings.append(Finding(refused, ("spec", "edges"), err.message))
        return Preview(in_order(made.findings), [], [])
    services = {id: spec.service.name if spec.service else None for id, spec in specs.items()}
    try:
        check_service_names(views, services)
    except DomainError as err:
        made.findings.append(Finding(refused, ("spec", "nodes"), err.message))
    unmet = []
    for id, resolution in resolutions.items():
        unmet += resolution.unmet
        for item in resolution.unmet:
            made.refuse(id, f"container {item['container']}: {item['message']}")
    if only is None:
        made.add_hints(views)
        made.add_rivals(instance, views)
    return Preview(in_order(made.findings), list(_manifests(instance, views, specs, only)), unmet)


class _Findings:
    """Findings about nodes and their templates, each thing said once."""

    def __init__(self, nodes: Sequence[WorkflowNode], template_paths: Mapping[str, Path], refused: Severity) -> None:
        self.findings: list[Finding] = []
        self._place = {node.pk: place for place, node in enumerate(nodes)}
        self._name = {node.pk: node.name for node in nodes}
        self._template_paths = template_paths
        self._refused = refused
        self._said: set[tuple[str, Path, str]] = set()

    def refuse(self, node_id: str, message: str) -> None:
        """Something because of which a start would be refused."""
        self._add(self._refused, self._path(node_id), message, node_id)

    def add_hints(self, views: Mapping[str, NodeView]) -> None:
        for id, view in views.items():
            default = getattr(settings.SECFLOW, get_node_type(view.node_type).default_timeout)
            for hint in (*hints_for(view, timeout_seconds=view.timeout_seconds or default), *source_hints(view, views)):
                self._add_hint(id, view, hint)

    def add_rivals(self, instance: WorkflowInstance, views: Mapping[str, NodeView]) -> None:
        """Services that another workflow of the project asks for too: the second to start is refused (contract H.2)."""
        chosen = {
            service.name: id
            for id, view in views.items()
            if (service := service_of(view, instance_id=instance.pk)).name and service.name == service.requested_name
        }
        for name, rival in _rivals(instance, [name for name in chosen if name]):
            message = f"asks for the Service {name}, and so does workflow {rival}: only one of them can be up at a time"
            self._add(Severity.WARNING, (*self._path(chosen[name]), "service_name"), message, chosen[name])

    def _add_hint(self, node_id: str, view: NodeView, hint: Hint) -> None:
        if not hint.of_template:
            self._add(hint.severity, (*self._path(node_id), *hint.path), hint.message, node_id)
            return
        key = (view.template.id, hint.path, hint.message)
        if key in self._said:
            return
        self._said.add(key)
        if view.template.id in self._template_paths:
            path = (*self._template_paths[view.template.id], *hint.path)
            self.findings.append(Finding(hint.severity, path, hint.message))
            return
        what = _what(view, hint.path)
        self._add(hint.severity, self._path(node_id), f"{what} {hint.message}", node_id)

    def _add(self, severity: Severity, path: Path, message: str, node_id: str) -> None:
        self.findings.append(Finding(severity, path, message, node=self._name[node_id], node_id=node_id))

    def _path(self, node_id: str) -> Path:
        return ("spec", "nodes", self._place[node_id])


def _what(view: NodeView, path: Path) -> str:
    """What a hint is about, where its place is not in the same file."""
    if path[:1] == ("containers",) and isinstance(path[1], int):
        return f"container {view.template.containers[path[1]]['name']} of its template:"
    return "its template:"


def _rows(instance_id: str) -> tuple[WorkflowInstance, list[WorkflowNode], dict[str, Template]]:
    instance = WorkflowInstance.objects.filter(pk=instance_id).first()
    if instance is None:
        raise NotFound("workflow_instance", instance_id)
    nodes = list(WorkflowNode.objects.filter(instance=instance).order_by("created_at", "id"))
    return instance, nodes, templates_of(nodes)


def _rivals(instance: WorkflowInstance, names: list[str]) -> Iterator[tuple[str, str]]:
    """`(Service name, instance id)` of nodes in other instances of the project that choose one of these names; two queries."""
    if not names:
        return
    others = WorkflowNode.objects.filter(instance__project_id=instance.project_id, node_type="app")
    others = others.exclude(instance_id=instance.pk).exclude(create_service=False)
    own = others.filter(requested_service_name__in=names).values_list("requested_service_name", "instance_id")
    by_template = AppTemplate.objects.filter(service_name__in=names, create_service=True)
    templates = dict(by_template.values_list("pk", "service_name")[: _RIVALS * 10])
    theirs = others.filter(requested_service_name=None, template_id__in=templates)
    found = {(str(name), id) for name, id in own.order_by("instance_id")[:_RIVALS]}
    found |= {
        (str(templates[template_id]), id)
        for template_id, id in theirs.order_by("instance_id").values_list("template_id", "instance_id")[:_RIVALS]
    }
    yield from sorted(found)


def _manifests(
    instance: WorkflowInstance, views: Mapping[str, NodeView], specs: Mapping[str, WorkloadSpec], only: str | None
) -> Iterator[Manifest]:
    for id, spec in specs.items():
        if only not in (None, id):
            continue
        for made in planned_objects(instance, id, spec):
            yield Manifest(views[id].name, id, made["kind"], made["metadata"]["name"], made)


def planned_objects(instance: WorkflowInstance, node_id: str, spec: WorkloadSpec) -> list[Json]:
    """The objects of one node as its next start would make them: Deployment or Job, then the Service if it has one."""
    owner = Owner(
        installation=installation_uid(),
        project_id=instance.project_id,
        instance_id=instance.pk,
        node_id=node_id,
        run=instance.run_count + 1,
        attempt=0,
    )
    objects = objects_of(spec, owner)
    for made in objects:
        _leave_attempt_open(made)
    return objects


def objects_of(spec: WorkloadSpec, owner: Owner) -> list[Json]:
    """The objects of a workload: Deployment or Job, then the Service if it has one."""
    objects = [deployment_manifest(spec, owner) if spec.kind == DEPLOYMENT else job_manifest(spec, owner)]
    if spec.service is not None and spec.service.ports:
        objects.append(service_manifest(spec, owner))
    return objects


def _leave_attempt_open(manifest: Json) -> None:
    manifest["metadata"]["labels"][ATTEMPT] = _LATER
    template = manifest["spec"].get("template")
    if template is not None:
        template["metadata"]["labels"][ATTEMPT] = _LATER
