"""Workflow files over HTTP: check, apply, export; and what an instance would have in the cluster."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.openapi import documented, query_parameter
from secflow.http.parsing import StrictJSONParser
from secflow.http.query import query_bool
from secflow.http.serializers import read_body
from secflow.http.views import ApiView, PublicView
from secflow.http.yaml_parsers import OldYamlParser, TextYamlParser, YamlParser
from workflows.api import document_examples as examples
from workflows.api.base import INSTANCE_ID, InstanceView
from workflows.api.examples import INSTANCE
from workflows.api.file_schema import file_schema
from workflows.api.parameters import DIALECT
from workflows.api.schemas import InstanceOutput
from workflows.domain.actors import Right
from workflows.domain.findings import Severity
from workflows.services import documents, previews
from workflows.services.bodies import NODE_TYPES, CopyInstanceInput
from workflows.services.copying import copy_instance
from workflows.services.document_bodies import WorkflowFileInput

TAG = "Workflow files"
YAML = "application/yaml"
_ACTIONS = ("created", "updated", "unchanged")


class FindingOutput(serializers.Serializer[Any]):
    """One sentence about one place of a workflow."""

    severity = serializers.ChoiceField(
        choices=[word.value for word in Severity], help_text="`error`: it would be refused."
    )
    path = serializers.CharField(allow_blank=True, help_text="Such as `spec.nodes[2].env_vars[0].name`.")
    message = serializers.CharField()
    node = serializers.CharField(required=False, help_text="Name of the node that it is about.")
    node_id = serializers.CharField(required=False)
    line = serializers.IntegerField(required=False, help_text="Line of the text, from 1.")
    column = serializers.IntegerField(required=False)


class ManifestOutput(serializers.Serializer[Any]):
    """One object as it would be sent to the cluster."""

    node = serializers.CharField()
    kind = serializers.ChoiceField(choices=["Deployment", "Job", "Service"])
    name = serializers.CharField()
    manifest = serializers.DictField()


class AppliedInstanceOutput(serializers.Serializer[Any]):
    """The workflow of a file."""

    id = serializers.CharField(allow_null=True, help_text="null: it does not exist (yet).")
    name = serializers.CharField(allow_null=True)
    action = serializers.ChoiceField(choices=_ACTIONS, allow_null=True, help_text="null: there are errors.")


class AppliedTemplateOutput(serializers.Serializer[Any]):
    """A template of a file."""

    handle = serializers.CharField()
    id = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(choices=NODE_TYPES)
    name = serializers.CharField()
    action = serializers.ChoiceField(choices=_ACTIONS)


class AppliedFileOutput(serializers.Serializer[Any]):
    """What applying a file did, or would do."""

    dry_run = serializers.BooleanField()
    instance = AppliedInstanceOutput()
    templates = AppliedTemplateOutput(many=True)
    findings = FindingOutput(many=True)
    manifests = ManifestOutput(many=True)


class PreviewOutput(serializers.Serializer[Any]):
    """What an instance would have in the cluster."""

    findings = FindingOutput(many=True)
    manifests = ManifestOutput(many=True)
    unmet_inputs = serializers.ListField(
        child=serializers.DictField(), help_text="The items that a start would be refused with (contract G.4)."
    )


class DocumentsView(ApiView):
    parser_classes = (StrictJSONParser, YamlParser, OldYamlParser, TextYamlParser)

    @documented(
        "Apply a workflow file",
        "Makes or changes one workflow and the templates that come with it, all or nothing; what is the same already stays"
        " untouched. A workflow is known by project and name, a template by project (or global), kind and name, a node by its"
        " name. With `dry_run=true` nothing is written and errors stand in `findings`; otherwise a file with errors is"
        " answered with 400 and all `details.findings`. Changing nodes or edges takes an instance in status `pending`.",
        tag=TAG,
        operation_id="apply_workflow_file",
        answer=AppliedFileOutput,
        errors=(400, 403),
        request={"application/json": WorkflowFileInput, YAML: WorkflowFileInput},
        example=examples.OUTCOME,
        parameters=[query_parameter("dry_run", "Only say what would be done.", kind=bool, default=False)],
        request_examples=[
            OpenApiExample("Two nodes", value=examples.FILE, request_only=True, media_type="application/json"),
            OpenApiExample("YAML", value=examples.FILE_TEXT, request_only=True, media_type=YAML),
        ],
    )
    def post(self, request: Request) -> Response:
        call = documents.check_document if query_bool(request, "dry_run") else documents.apply_document
        source: Any = request.data
        return Response(documents.outcome_output(call(actor=self.actor, source=source)))


class DocumentView(InstanceView):
    @documented(
        "Export a workflow file",
        "The instance as a file that makes it again; applying it here says `unchanged`. Templates of the project come along in"
        " full, global ones by their name. YAML, or JSON with `Accept: application/json`.",
        tag=TAG,
        operation_id="export_workflow_file",
        answer=WorkflowFileInput,
        errors=(403, 404),
        example=examples.FILE,
        parameters=[INSTANCE_ID],
        answers={
            (200, YAML): OpenApiResponse(
                WorkflowFileInput,
                description="Success.",
                examples=[OpenApiExample("Text", value=examples.FILE)],
            )
        },
    )
    def get(self, request: Request, instance_id: str) -> Response | HttpResponse:
        self.visible(instance_id)
        if _wants_json(request):
            return Response(documents.export_document(actor=self.actor, instance_id=instance_id))
        text = documents.export_text(actor=self.actor, instance_id=instance_id)
        return HttpResponse(text, content_type=YAML)


class DryRunView(InstanceView):
    @documented(
        "Preview an instance",
        "The objects that a start would make in the cluster and what is worth knowing before. An `error` among the findings means"
        " that a start would be refused. The cluster is not asked.",
        tag=TAG,
        operation_id="preview_instance",
        answer=PreviewOutput,
        errors=(403, 404),
        example=examples.PREVIEW,
        parameters=[INSTANCE_ID],
    )
    def get(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id)
        preview = previews.preview_instance(actor=self.actor, instance_id=instance_id)
        return Response(
            {
                "findings": [finding.output() for finding in preview.findings],
                "manifests": [manifest.output() for manifest in preview.manifests],
                "unmet_inputs": preview.unmet,
            }
        )


class CopyView(InstanceView):
    @documented(
        "Copy an instance",
        "A draft with the same settings, nodes and edges, under new ids, in the same project. Templates are shared.",
        tag="Instances",
        operation_id="copy_instance",
        answer=InstanceOutput,
        status=201,
        errors=(400, 403, 404, 409),
        request=CopyInstanceInput,
        example=INSTANCE,
        request_example={"name": "nightly scan of the new site"},
        parameters=[INSTANCE_ID, DIALECT],
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id, Right.READ)
        body = read_body(request, CopyInstanceInput)
        made = copy_instance(actor=self.actor, instance_id=instance_id, name=body["name"])
        return self.answer(made, status=201)


class DocumentSchemaView(PublicView):
    @documented(
        "Read the schema of workflow files",
        "A JSON Schema for editors, such as the YAML language server.",
        tag=TAG,
        operation_id="read_workflow_file_schema",
        answer=OpenApiTypes.OBJECT,
        public=True,
        example={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "SecFlow workflow",
            "type": "object",
        },
    )
    def get(self, request: Request) -> Response:
        return Response(file_schema())


def _wants_json(request: Request) -> bool:
    """Whether the caller names JSON before YAML. Who accepts anything gets YAML, the form for people."""
    for item in request.headers.get("Accept", "").split(","):
        media_type = item.partition(";")[0].strip().lower()
        if media_type == "application/json":
            return True
        if media_type.endswith(("/yaml", "/x-yaml")):
            return False
    return False
