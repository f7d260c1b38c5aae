"""What must hold before anything of an instance is made in the cluster (contract E.3, E.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from k8s_bridge.names import namespace_of, service_name
from k8s_bridge.specs import WorkloadSpec
from templates_app.models import AppTemplate, JobTemplate, Template
from templates_app.services import refuse_privileged
from workflows.domain.errors import Conflict, Invalid, UnmetInputs
from workflows.domain.ids import suffix_of
from workflows.domain.statuses import WorkloadState
from workflows.models import WorkflowInstance, WorkflowNode, Workload
from workflows.services.building import instance_specs
from workflows.services.cluster import gateway, translated


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instance that could run: its nodes in order, its edges, and one complete spec per node id."""

    version: int
    nodes: tuple[WorkflowNode, ...]
    edges: tuple[tuple[str, str], ...]
    specs: dict[str, WorkloadSpec]


def prepare(instance: WorkflowInstance) -> Prepared:
    """Resolves everything that the records alone decide; three queries.

    Raises Invalid without nodes, CycleFound for a cycle, Forbidden for privileged containers that the installation does not
    allow any more, UnmetInputs with the array of contract G.4.
    """
    nodes = tuple(WorkflowNode.objects.filter(instance=instance).order_by("created_at", "id"))
    if not nodes:
        raise Invalid(f"workflow {instance.pk} has no nodes; add one first", {"nodes": 0})
    edges = tuple((edge["source"], edge["target"]) for edge in instance.edges)
    templates = templates_of(nodes)
    for template in templates.values():
        refuse_privileged({"containers": template.containers}, template_id=template.pk)
    specs, unmet = instance_specs(nodes, templates, instance)
    if unmet:
        names = ", ".join(sorted({item["node"] for item in unmet if "node" in item}))
        raise UnmetInputs(f"inputs without a value{f' in node {names}' if names else ''}: supply them first", unmet)
    return Prepared(version=instance.version, nodes=nodes, edges=edges, specs=specs)


def templates_of(nodes: Iterable[WorkflowNode]) -> dict[str, Template]:
    """The templates that the nodes refer to, by id; at most one query per kind."""
    wanted: dict[str, set[str]] = {"app": set(), "job": set()}
    for node in nodes:
        wanted.setdefault(node.node_type, set()).add(node.template_id)
    found: dict[str, Template] = {}
    found.update(AppTemplate.objects.in_bulk(wanted["app"]) if wanted["app"] else {})
    found.update(JobTemplate.objects.in_bulk(wanted["job"]) if wanted["job"] else {})
    return found


def _made_up(instance: WorkflowInstance, node: WorkflowNode) -> str:
    return service_name(suffix_of(instance.pk), suffix_of(node.pk))


def check_cluster(instance: WorkflowInstance, prepared: Prepared) -> frozenset[str]:
    """Makes sure that the namespace is there and that chosen Service names are free or ours already. Returns the names of
    Services that standing apps should have and have lost.

    Raises Conflict for a taken name and Unavailable when the cluster or the namespace cannot be used. Names that SecFlow made up
    hold a random suffix and are not asked for. Call it without a lock or transaction: it talks to the cluster.
    """
    namespace = namespace_of(instance.project_id)
    taken: list[dict[str, str]] = []
    with translated():
        gateway().ensure_namespace(namespace)
        chosen = [
            (node, service.name)
            for node in prepared.nodes
            if (service := prepared.specs[node.pk].service) is not None and service.name != _made_up(instance, node)
        ]
        live = Workload.objects.filter(instance=instance, state=WorkloadState.LIVE)
        standing = {name for name in live.values_list("service_name", flat=True) if name}
        holders = gateway().service_owners(namespace, {name for _, name in chosen} | standing)
    for node, name in chosen:
        holder = holders[name]
        if not holder.free and (holder.owner is None or holder.owner.node_id != node.pk):
            taken.append({"node": node.name, "service_name": name})
    if taken:
        names = ", ".join(item["service_name"] for item in taken)
        raise Conflict(
            f"the Service name {names} is in use in namespace {namespace} by something else; choose another on the node",
            {"services": taken},
        )
    return frozenset(name for name in standing if holders[name].free)
