"""What a workflow file may hold: the bodies of the API, with names in the place of ids."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from secflow.http.fields import FlagField, TextField, WordField, name_field
from secflow.http.serializers import Input
from templates_app.api.serializers import AppTemplateInput, JobTemplateInput
from workflows.domain.statuses import RunMode, Scope, TriggerType
from workflows.services.authoring_rules import MAX_EDGES, MAX_NODES
from workflows.services.bodies import (
    ID_LIMIT,
    NODE_TYPES,
    NodeInput,
    PositionInput,
    SourcedEnvVarInput,
    SourcedVolumeMountInput,
    claim_field,
    list_of,
    project_id_field,
)

API_VERSION: Final = "secflow.io/v1"
KIND: Final = "Workflow"
MAX_TEMPLATES: Final = 1000
_REFERENCE_KEYS: Final = frozenset({"kind", "name", "scope", "id"})


def _handle_field(help_text: str) -> TextField:
    return TextField(required=False, allow_null=True, default=None, max_length=ID_LIMIT, help_text=help_text)


_SOURCE_HELP: Final = "Name (or ref) of an upstream node."


class FileSourcedEnvVarInput(SourcedEnvVarInput):
    """A variable whose value comes from an upstream node of the file."""

    source_node_id = None  # type: ignore[assignment]
    source_node = TextField(max_length=ID_LIMIT, help_text=_SOURCE_HELP)


class FileSourcedVolumeMountInput(SourcedVolumeMountInput):
    """A claim that comes from an upstream node of the file."""

    source_node_id = None  # type: ignore[assignment]
    source_node = TextField(max_length=ID_LIMIT, help_text=_SOURCE_HELP)


class FileNodeInput(NodeInput):
    """A node of a file: NodeConfig (C.7) with `template`, a handle of `spec.templates`, or the `template_id` of an
    existing one. Names are unique, or each node of that name has a `ref`.
    """

    node_type = WordField(
        NODE_TYPES, required=False, allow_null=True, default=None, help_text="Follows from the template."
    )
    template = _handle_field("A handle of `spec.templates`.")
    template_id = _handle_field("An existing template, in the place of `template`.")
    ref = _handle_field("Names the node in edges and sources; its name does so if no other node has it.")
    position = PositionInput(
        required=False, allow_null=True, default=None, help_text="Left out: a node stays where it is."
    )
    input_env_vars = list_of(FileSourcedEnvVarInput(), required=False, default=list)
    input_volume_mounts = list_of(FileSourcedVolumeMountInput(), required=False, default=list)

    # A file is written by hand: what is wrong in it is told, whatever it would be good for.
    service_fields = frozenset()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["template"] and not attrs["template_id"]:
            raise serializers.ValidationError({"template": ["is required: a handle of spec.templates, or template_id"]})
        if attrs["template"] and attrs["template_id"]:
            raise serializers.ValidationError({"template_id": ["cannot stand beside template; keep one of them"]})
        return attrs


class FileEdgeInput(Input):
    """An edge of a file: `to` waits for `from`."""

    # `from` is a word of Python's own.
    vars()["from"] = TextField(max_length=ID_LIMIT, help_text="Name or ref of the node that comes first.")
    to = TextField(max_length=ID_LIMIT, help_text="Name or ref of the node that waits.")
    shared_pvc = claim_field()


_NAME_HELP: Final = "Left out: the handle."
_ID_HELP: Final = "Chooses one when several templates have the name."


class FileAppTemplateInput(AppTemplateInput):
    """An app template that comes with the file (C.1)."""

    refuses_ids = False

    kind = WordField(("app",))
    id = _handle_field(_ID_HELP)
    name = name_field(required=False, help_text=_NAME_HELP)
    project_id = None  # type: ignore[assignment]


class FileJobTemplateInput(JobTemplateInput):
    """A job template that comes with the file (C.2)."""

    refuses_ids = False

    kind = WordField(("job",))
    id = _handle_field(_ID_HELP)
    name = name_field(required=False, help_text=_NAME_HELP)
    project_id = None  # type: ignore[assignment]


class TemplateReferenceInput(Input):
    """A template that exists already, named and not contained: it is used as it is and never changed."""

    kind = WordField(NODE_TYPES)
    name = name_field(required=False, help_text=_NAME_HELP)
    scope = WordField(Scope, required=False, default=Scope.PROJECT.value)
    id = _handle_field(_ID_HELP)


_TEMPLATE_INPUTS: Final[dict[str, type[Input]]] = {"app": FileAppTemplateInput, "job": FileJobTemplateInput}


def template_input(entry: Any) -> Input:
    """The body that this entry of `spec.templates` has to have; one that names nothing but a template is a reference."""
    if isinstance(entry, dict) and set(entry) - {"id"} and set(entry) <= _REFERENCE_KEYS:
        return TemplateReferenceInput()
    kind = entry.get("kind") if isinstance(entry, dict) else None
    return _TEMPLATE_INPUTS.get(kind if isinstance(kind, str) else "", TemplateReferenceInput)()


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="FileTemplateInput",
        serializers=[FileAppTemplateInput, FileJobTemplateInput, TemplateReferenceInput],
        resource_type_field_name=None,
    )
)
class FileTemplateField(serializers.Field[Any, Any, Any, Any]):
    """One entry of `spec.templates`."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError(["must be an object"])
        body = template_input(data)
        found: dict[str, Any] = dict(body.run_validation(data))
        return {"containers": None, **found} if isinstance(body, TemplateReferenceInput) else found


class FileTemplatesField(serializers.DictField):
    """Templates by their handles."""

    default_error_messages = {"not_a_dict": "must be an object of templates by their handles"}
    child = FileTemplateField()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and len(data) > MAX_TEMPLATES:
            raise serializers.ValidationError([f"must have at most {MAX_TEMPLATES} templates"])
        if isinstance(data, dict):
            _check_handles(data)
        return super().to_internal_value(data)


def _check_handles(templates: dict[str, Any]) -> None:
    """A handle has to be good for a name: that is what it is where an entry has none. Raises at every one that is not."""
    errors: dict[str, Any] = {}
    field = name_field()
    for handle in templates:
        try:
            if field.run_validation(handle) != handle:
                errors[handle] = [
                    "the handle must not have blanks at its ends, nor letters in pieces (write it in NFC)"
                ]
        except serializers.ValidationError as err:
            errors[handle] = [f"the handle {message}" for message in err.detail]
    if errors:
        raise serializers.ValidationError(errors)


class FileMetadataInput(Input):
    """Which workflow the file is about."""

    name = name_field()
    project = project_id_field()
    id = _handle_field("Chooses one when several workflows of the project have the name.")


class FileSpecInput(Input):
    """The workflow. What is left out has its default: a file describes all of it."""

    description = TextField(required=False, allow_null=True, default=None, multiline=True)
    run_mode = WordField(RunMode, required=False, default=RunMode.ONCE.value)
    trigger_type = WordField(TriggerType, required=False, default=TriggerType.MANUAL.value)
    trigger_enabled = FlagField(required=False, default=False)
    templates = FileTemplatesField(required=False, default=dict)
    nodes = list_of(FileNodeInput(), limit=MAX_NODES, required=False, default=list)
    edges = list_of(FileEdgeInput(), limit=MAX_EDGES, required=False, default=list)


class WorkflowFileInput(Input):
    """A workflow file."""

    apiVersion = WordField((API_VERSION,))
    kind = WordField((KIND,))
    metadata = FileMetadataInput()
    spec = FileSpecInput()
