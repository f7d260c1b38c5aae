"""Bodies of instances, nodes and edges (contract C.6, C.7, C.9, C.10, D.6), as the services take them."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from k8s_bridge.names import namespace_of
from secflow.http.fields import FlagField, FloatingField, TextField, WholeNumberField, WordField, name_field
from secflow.http.serializers import Input, InputList, refuse_repeated
from templates_app import specs
from templates_app.api.parts import (
    VALUE_LIMIT,
    EnvVarInput,
    NodeVolumeMountInput,
    ResourceRequirementsInput,
    ServicePortInput,
    checked,
    env_name_field,
    mount_path_field,
    service_name_field,
    sub_path_field,
)
from workflows.domain.node_types.registry import node_types
from workflows.domain.statuses import RunMode, ServiceType, TriggerType
from workflows.services.authoring_nodes import SERVICE_FIELDS
from workflows.services.authoring_rules import MAX_EDGES, MAX_NODES

NODE_TYPES = ("app", "job")
INGRESS_TYPES = ("nginx",)
EDGE_ACTIONS = ("add", "update", "delete")
ID_LIMIT = 128  # a name may stand where an id is expected (F.3)
EDGE_ID_LIMIT = 255
LIST_LIMIT = 1000
PVC_LIMIT = 253


def _project_id_problem(text: str) -> str | None:
    try:
        namespace_of(text)
    except ValueError:
        return (
            "must be at most 55 lower-case letters, digits and -, with a letter or digit at both ends,"
            " because it names a namespace"
        )
    return None


def list_of(item: Input, *, limit: int = LIST_LIMIT, **kwargs: Any) -> InputList:
    """A bounded array of such objects."""
    # Not `many=True`: with allow_null that would allow null for each item as well.
    return InputList(child=item, max_length=limit, **kwargs)


def project_id_field() -> TextField:
    """The id of a project, which names a namespace (contract H.1)."""
    return TextField(validators=[checked(_project_id_problem)])


def claim_field() -> TextField:
    """The name of a claim; null and absent mean: none."""
    return TextField(required=False, allow_null=True, default=None, max_length=PVC_LIMIT)


class PositionInput(Input):
    """A place on the canvas."""

    x = FloatingField(required=False, default=0.0)
    y = FloatingField(required=False, default=0.0)


class SourcedEnvVarInput(Input):
    """DependencyEnvVar of the contract: a variable whose value comes from an upstream node."""

    name = env_name_field()
    source_node_id = TextField(max_length=ID_LIMIT)
    default_value = TextField(
        required=False, allow_null=True, allow_blank=True, default=None, verbatim=True, max_length=VALUE_LIMIT
    )

    def check_items(self, items: list[dict[str, Any]]) -> None:
        refuse_repeated(items, "name", lambda item: item["name"])


class SourcedVolumeMountInput(Input):
    """DependencyVolumeMount of the contract: a claim that comes from an upstream node."""

    mount_path = mount_path_field()
    sub_path = sub_path_field()
    source_node_id = TextField(max_length=ID_LIMIT)
    source_pvc_name = claim_field()
    read_only = FlagField(required=False, default=True)  # type: ignore[assignment]

    def check_items(self, items: list[dict[str, Any]]) -> None:
        refuse_repeated(items, "mount_path", lambda item: specs.same_path(item["mount_path"]))


class NodeInput(Input):
    """NodeConfig of the contract (C.7). Null in a Service field means: as the template says.

    Whatever a node without a Service says about one is ignored, also what would be wrong for others. The `node_type` of the
    context is that of a node which exists already.
    """

    refuses_ids = True
    service_fields: ClassVar[frozenset[str]] = frozenset(SERVICE_FIELDS)

    node_type = WordField(NODE_TYPES)
    template_id = TextField(max_length=ID_LIMIT)
    name = name_field()
    position = PositionInput(required=False, default=lambda: {"x": 0.0, "y": 0.0})
    env_vars = list_of(EnvVarInput(), required=False, default=list)
    volume_mounts = list_of(NodeVolumeMountInput(), required=False, default=list)
    resources = ResourceRequirementsInput(required=False, allow_null=True, default=None)
    timeout_seconds = WholeNumberField(required=False, allow_null=True, default=None, min_value=1)
    create_service = FlagField(required=False, allow_null=True, default=None)
    service_name = service_name_field()
    service_ports = list_of(ServicePortInput(), required=False, allow_null=True, default=None)
    service_type = WordField(ServiceType, required=False, allow_null=True, default=None)
    create_ingress = FlagField(required=False, allow_null=True, default=None)
    ingress_type = WordField(INGRESS_TYPES, required=False, allow_null=True, default=None)
    ingress_host = TextField(required=False, allow_null=True, default=None, max_length=253)
    ingress_ip = TextField(required=False, allow_null=True, default=None, max_length=64)
    input_env_vars = list_of(SourcedEnvVarInput(), required=False, default=list)
    input_volume_mounts = list_of(SourcedVolumeMountInput(), required=False, default=list)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict) and self.context.get("node_type", data.get("node_type")) in _without_service():
            data = {key: value for key, value in data.items() if key not in self.service_fields}
        return super().to_internal_value(data)


def _without_service() -> list[str]:
    return [kind.name for kind in node_types() if not kind.has_service]


class NodeChangesInput(NodeInput):
    """Changes of a node: any subset of the fields (D.5)."""

    all_optional = True
    refuses_ids = False


class DraftNodeInput(NodeInput):
    """A node inside the creation of an instance: `ref` names it for edges of the same request (F.3)."""

    ref = TextField(required=False, allow_null=True, default=None, max_length=ID_LIMIT)

    def check_items(self, items: list[dict[str, Any]]) -> None:
        seen: set[str] = set()
        errors: dict[str, Any] = {}
        for index, ref in enumerate(item["ref"] for item in items):
            if ref is not None and ref in seen:
                errors[str(index)] = {"ref": [f"{ref} is the ref of another node of this request"]}
            seen.add(ref)
        if errors:
            raise serializers.ValidationError(errors)


class EdgeInput(Input):
    """Edge of the contract (C.9)."""

    edge_id = TextField(max_length=EDGE_ID_LIMIT)
    source = TextField(max_length=ID_LIMIT)  # type: ignore[assignment]
    target = TextField(max_length=ID_LIMIT)
    shared_pvc = claim_field()


class EdgeActionInput(Input):
    """One change of one edge (D.6). What an action needs is checked with it."""

    action = WordField(EDGE_ACTIONS)
    edge_id = TextField(max_length=EDGE_ID_LIMIT)
    source = TextField(required=False, max_length=ID_LIMIT)  # type: ignore[assignment]
    target = TextField(required=False, max_length=ID_LIMIT)
    shared_pvc = TextField(required=False, allow_null=True, max_length=PVC_LIMIT)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["action"] == "add":
            missing = [end for end in ("source", "target") if end not in attrs]
            if missing:
                raise serializers.ValidationError({end: ["is required to add an edge"] for end in missing})
        return attrs


class InstanceInput(Input):
    """A new instance (C.6, D.4)."""

    refuses_ids = True

    name = name_field()
    description = TextField(required=False, allow_null=True, default=None, multiline=True)
    project_id = project_id_field()
    run_mode = WordField(RunMode, required=False, default=RunMode.ONCE.value)
    trigger_type = WordField(TriggerType, required=False, default=TriggerType.MANUAL.value)
    trigger_enabled = FlagField(required=False, default=False)
    nodes = list_of(DraftNodeInput(), limit=MAX_NODES, required=False, default=list)
    edges = list_of(EdgeInput(), limit=MAX_EDGES, required=False, default=list)


class CopyInstanceInput(Input):
    """What a copy has of its own."""

    name = name_field(required=False, allow_null=True, default=None, help_text="Left out: the old name with (copy).")


class InstanceChangesInput(Input):
    """Changes of an instance (D.4)."""

    all_optional = True

    name = name_field()
    description = TextField(required=False, allow_null=True, multiline=True)
    trigger_enabled = FlagField()
    is_active = FlagField()
    edges = list_of(EdgeInput(), limit=MAX_EDGES)


class InitializeInput(Input):
    """The optional body of initialize (E.3)."""

    force = FlagField(required=False, default=False)
