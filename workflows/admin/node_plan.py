"""What a node is made of: the objects of its last run, those that would be made now, and its inputs. No cluster call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from k8s_bridge.specs import Owner, WorkloadSpec
from secflow.console.display import Table
from workflows.admin.node_facts import run_title
from workflows.admin.node_inputs import Sources
from workflows.domain.errors import DomainError
from workflows.models import NodeRun, WorkflowNode
from workflows.services.building import instance_resolutions, instance_views, workload_spec
from workflows.services.cluster import installation_uid
from workflows.services.preflight import templates_of
from workflows.services.previews import objects_of, planned_objects

_UNKNOWN = 0  # the attempt of an object that is gone from the records


@dataclass(frozen=True, slots=True)
class Manifest:
    """Objects as one YAML text; `title` says of which run they are."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`problem` says why nothing can be made now."""

    manifests: Sequence[Manifest] = ()
    inputs: Sequence[Table] = ()
    unmet: Sequence[str] = ()
    problem: str = ""
    containers: Sequence[str] = field(default=())


def plan_of(node: WorkflowNode, record: NodeRun | None) -> Plan:
    """Everything of the node that the records alone decide. At most three queries."""
    made = _spec_of(record)
    manifests = []
    if record is not None and made is not None:
        owner = _owner(node, record.run.number, record.workload_id or _UNKNOWN)
        manifests.append(Manifest(f"Made for {run_title(record)}", as_yaml(objects_of(made, owner))))
    try:
        sources, wanted = _resolved(node)
    except DomainError as err:
        return Plan(manifests=manifests, problem=err.message, containers=_containers(made))
    unmet = tuple(sources.unmet())
    if wanted != made and not unmet:
        preview = as_yaml(planned_objects(node.instance, node.pk, wanted))
        manifests.append(Manifest("As it would be made now" if made else "As it will be made", preview))
    return Plan(manifests=manifests, inputs=sources.tables(), unmet=unmet, containers=_containers(made or wanted))


def _spec_of(record: NodeRun | None) -> WorkloadSpec | None:
    try:
        return WorkloadSpec.from_json(record.spec) if record is not None else None
    except (KeyError, TypeError):
        return None  # written by a release with another form


def _resolved(node: WorkflowNode) -> tuple[Sources, WorkloadSpec]:
    # By `instance_specs` rules, but only this node is made into a spec: others may have troubles of their own.
    nodes = list(WorkflowNode.objects.filter(instance_id=node.instance_id).order_by("created_at", "id"))
    views = instance_views(nodes, templates_of(nodes))
    resolution = instance_resolutions(views, node.instance)[node.pk]
    sources = Sources(views[node.pk], views, resolution, node.instance_id)
    spec = workload_spec(
        views[node.pk],
        resolution,
        project_id=node.instance.project_id,
        instance_id=node.instance_id,
        node_id=node.pk,
    )
    return sources, spec


def _containers(spec: WorkloadSpec | None) -> tuple[str, ...]:
    return tuple(container.name for container in spec.containers) if spec else ()


def _owner(node: WorkflowNode, run: int, attempt: int) -> Owner:
    return Owner(
        installation=installation_uid(),
        project_id=node.instance.project_id,
        instance_id=node.instance_id,
        node_id=node.pk,
        run=run,
        attempt=attempt,
    )


class _Dumper(yaml.SafeDumper):
    """Longer texts are blocks, and nothing is shortened to a reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(objects: Sequence[Mapping[str, Any]]) -> str:
    """Objects as one YAML stream that `kubectl apply -f` reads."""
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
