"""The template routes (contract D.3): parse, find what the actor may see, call, render."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.openapi import MessageOutput, documented, path_parameter, query_parameter
from secflow.http.query import list_body, query_choice, query_text
from secflow.http.serializers import Input, read_body
from secflow.http.views import ApiView
from templates_app import kinds, services
from templates_app.api import examples, outputs
from templates_app.api.serializers import (
    AppTemplateChangesInput,
    AppTemplateInput,
    JobTemplateChangesInput,
    JobTemplateInput,
)
from templates_app.selectors import get_visible_template, list_templates
from workflows.domain.statuses import Scope

TAG = "Templates"
_ID = path_parameter("template_id", "Id of the template.")
_FILTERS = (
    query_parameter("project_id", "Templates of this project and all global ones. `all` means every project."),
    query_parameter("scope", "Only templates of this scope.", choices=[word.value for word in Scope]),
)
_EXAMPLES = {"app": (examples.APP_REQUEST, examples.APP), "job": (examples.JOB_REQUEST, examples.JOB)}

Decorator = Callable[[Any], Any]


class TemplateListView(ApiView):
    """All templates of one kind."""

    kind: ClassVar[kinds.TemplateKind]
    body: ClassVar[type[Input]]

    def get(self, request: Request) -> Response:
        rows = list_templates(
            self.kind,
            actor=self.actor,
            project_id=query_text(request, "project_id", absent={"all"}),
            scope=query_choice(request, "scope", [word.value for word in Scope]),
        )
        return Response(list_body([outputs.template_output(row) for row in rows]))

    def post(self, request: Request) -> Response:
        actor = self.actor
        if isinstance(request.data, dict):
            # Missing rights come before a bad shape (A.3).
            services.refuse_global(actor, request.data.get("scope"))
        values = read_body(request, self.body)
        template = services.create_template(self.kind, actor=actor, values=values)
        return Response(outputs.template_output(template), status=201)


class TemplateDetailView(ApiView):
    """One template."""

    kind: ClassVar[kinds.TemplateKind]
    changes: ClassVar[type[Input]]

    def get(self, request: Request, template_id: str) -> Response:
        template = get_visible_template(self.kind, actor=self.actor, template_id=template_id)
        return Response(outputs.template_output(template))

    def put(self, request: Request, template_id: str) -> Response:
        template = get_visible_template(self.kind, actor=self.actor, template_id=template_id)
        services.check_may_change(self.actor, template)
        values = read_body(request, self.changes)
        changed = services.update_template(self.kind, actor=self.actor, template_id=template.pk, changes=values)
        return Response(outputs.template_output(changed))

    def delete(self, request: Request, template_id: str) -> Response:
        template = get_visible_template(self.kind, actor=self.actor, template_id=template_id)
        services.delete_template(self.kind, actor=self.actor, template_id=template.pk)
        return Response({"message": f"{self.kind.label} {template_id} deleted successfully"})


def described_list(
    kind: kinds.TemplateKind, *, body: type[Input], item: type[Any], items: type[Any]
) -> Callable[[type[TemplateListView]], type[TemplateListView]]:
    """Gives a list view its own copies of the two operations, with their descriptions."""
    request_example, example = _EXAMPLES[kind.word]
    label = kind.label.lower()
    decorators: dict[str, Decorator] = {
        "get": documented(
            f"List {label}s",
            f"All {label}s that the caller may read, newest first.",
            tag=TAG,
            operation_id=f"list_{kind.resource}s",
            answer=items,
            errors=(400,),
            parameters=_FILTERS,
            example={"total": 1, "items": [example]},
        ),
        "post": documented(
            f"Create a {label}".replace("a app", "an app"),
            "Members of the project may create; global templates are for administrators. Names may repeat.",
            tag=TAG,
            operation_id=f"create_{kind.resource}",
            request=body,
            answer=item,
            status=201,
            errors=(403,),
            example=example,
            request_example=request_example,
        ),
    }
    return extend_schema_view(**decorators)


def described_detail(
    kind: kinds.TemplateKind, *, changes: type[Input], item: type[Any]
) -> Callable[[type[TemplateDetailView]], type[TemplateDetailView]]:
    """Gives a detail view its own copies of the three operations, with their descriptions."""
    _, example = _EXAMPLES[kind.word]
    label = kind.label.lower()
    decorators: dict[str, Decorator] = {
        "get": documented(
            f"Read a {label}".replace("a app", "an app"),
            f"The whole {label}.",
            tag=TAG,
            operation_id=f"read_{kind.resource}",
            answer=item,
            errors=(403, 404),
            parameters=(_ID,),
            example=example,
        ),
        "put": documented(
            f"Change a {label}".replace("a app", "an app"),
            "Any subset of the fields: what is absent stays, null clears, lists are replaced. Nodes take the new "
            "values when they are launched the next time.",
            tag=TAG,
            operation_id=f"update_{kind.resource}",
            request=changes,
            answer=item,
            errors=(403, 404),
            parameters=(_ID,),
            example=example,
            request_example={"description": "checked every night"},
        ),
        "delete": documented(
            f"Delete a {label}".replace("a app", "an app"),
            "Refused with 409 as long as a node of any instance refers to it; `details.instances` names them.",
            tag=TAG,
            operation_id=f"delete_{kind.resource}",
            answer=MessageOutput,
            errors=(403, 404, 409),
            parameters=(_ID,),
            example={"message": f"{kind.label} {example['id']} deleted successfully"},
        ),
    }
    return extend_schema_view(**decorators)


@described_list(kinds.APP, body=AppTemplateInput, item=outputs.AppTemplateOutput, items=outputs.AppTemplateListOutput)
class AppTemplateListView(TemplateListView):
    kind = kinds.APP
    body = AppTemplateInput


@described_detail(kinds.APP, changes=AppTemplateChangesInput, item=outputs.AppTemplateOutput)
class AppTemplateDetailView(TemplateDetailView):
    kind = kinds.APP
    changes = AppTemplateChangesInput


@described_list(kinds.JOB, body=JobTemplateInput, item=outputs.JobTemplateOutput, items=outputs.JobTemplateListOutput)
class JobTemplateListView(TemplateListView):
    kind = kinds.JOB
    body = JobTemplateInput


@described_detail(kinds.JOB, changes=JobTemplateChangesInput, item=outputs.JobTemplateOutput)
class JobTemplateDetailView(TemplateDetailView):
    kind = kinds.JOB
    changes = JobTemplateChangesInput
