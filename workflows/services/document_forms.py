"""Rows in the form that a workflow file has, without anything that a reader would fill in by itself.

Two rows are the same to a file exactly when these forms are equal: that is how `unchanged` is decided, and why what is exported
can be applied again without a change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from secflow.http.serializers import Input
from templates_app.kinds import AnyTemplate
from templates_app.models import AppTemplate, Template
from workflows.domain.edges import Edge
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.models.node import origin
from workflows.services.authoring_nodes import PLAIN_FIELDS, SERVICE_FIELDS, with_declared_access
from workflows.services.document_bodies import (
    FileAppTemplateInput,
    FileEdgeInput,
    FileJobTemplateInput,
    FileNodeInput,
    FileSpecInput,
)

Form = dict[str, Any]

_SPEC_FIELDS = ("description", "run_mode", "trigger_type", "trigger_enabled")
_APP_FIELDS = ("service_ports", "service_name", "create_service", "service_type", "replicas")
_JOB_FIELDS = ("ttl_seconds_after_finished", "backoff_limit")
TEMPLATE_FIELDS = ("description", "scope", "containers")


def template_fields(template: AnyTemplate) -> tuple[str, ...]:
    """The columns of a template that a file describes, its name apart."""
    return (*TEMPLATE_FIELDS, *(_APP_FIELDS if isinstance(template, AppTemplate) else _JOB_FIELDS))


def template_form(template: AnyTemplate) -> Form:
    """A template in full."""
    is_app = isinstance(template, AppTemplate)
    body: Input = FileAppTemplateInput() if is_app else FileJobTemplateInput()
    columns = {field: getattr(template, field) for field in template_fields(template)}
    form = compact(body, columns)
    containers = form.pop("containers", [])
    return {"kind": "app" if is_app else "job", "name": template.name, **form, "containers": containers}


def node_form(node: WorkflowNode, template: Template | None, called: Mapping[str, str]) -> Form:
    """A node without the words for itself and its template. `called`: what the nodes of the instance are called, by id."""
    columns: Form = {field: getattr(node, field) for field in PLAIN_FIELDS}
    columns |= {field: getattr(node, column) for field, column in SERVICE_FIELDS.items()}
    for field in ("input_env_vars", "input_volume_mounts"):
        columns[field] = [
            {**entry, "source_node": called.get(entry["source_node_id"], entry["source_node_id"])}
            for entry in columns[field] or ()
        ]
    if columns["create_ingress"] is False:
        columns["create_ingress"] = None
    if columns["create_service"] is False and not columns["service_ports"]:
        columns["service_ports"] = None
    if _same_place(columns["position"], origin()):
        columns["position"] = None
    form = compact(FileNodeInput(), columns)
    if template is not None and "volume_mounts" in form:
        form["volume_mounts"] = _without_declared_access(form["volume_mounts"], template)
    return form


def spec_form(instance: WorkflowInstance) -> Form:
    """What a file says about the instance itself."""
    return compact(FileSpecInput(), {field: getattr(instance, field) for field in _SPEC_FIELDS})


def edge_forms(edges: Sequence[Edge], called: Mapping[str, str]) -> list[Form]:
    """The edges under the names of their nodes."""
    return [
        compact(
            FileEdgeInput(),
            {"from": called[edge["source"]], "to": called[edge["target"]], "shared_pvc": edge.get("shared_pvc")},
        )
        for edge in edges
        if edge["source"] in called and edge["target"] in called
    ]


def compact(field: Any, value: Any) -> Any:
    """The stored value of this field or body, without what its defaults say anyway and without keys it does not know."""
    if isinstance(field, serializers.ListSerializer):
        return [compact(field.child, item) for item in value]
    if not isinstance(field, Input) or not isinstance(value, Mapping):
        return value
    form: Form = {}
    for name, inner in field.fields.items():
        if name not in value:
            continue
        found = value[name]
        default = _default_of(inner)
        if found is None and default in (None, empty):
            continue
        if default is not empty and found == default:
            continue
        made = found if found is None else compact(inner, found)
        if made == {} and default is None:
            continue  # an object in which nothing is said
        form[name] = made
    return form


def _default_of(field: Any) -> Any:
    return field.default() if callable(field.default) and field.default is not empty else field.default


def _same_place(position: Any, other: Mapping[str, float]) -> bool:
    return isinstance(position, Mapping) and all(position.get(axis, 0.0) == other[axis] for axis in ("x", "y"))


def _without_declared_access(mounts: list[Form], template: Template) -> list[Form]:
    """The mounts without a `read_only` that they would get from the template anyway (contract G.2)."""
    bare = [{key: value for key, value in mount.items() if key != "read_only"} for mount in mounts]
    filled = with_declared_access(bare, template)
    return [
        plain if mount.get("read_only") in (None, full.get("read_only")) else mount
        for mount, plain, full in zip(mounts, bare, filled, strict=True)
    ]
