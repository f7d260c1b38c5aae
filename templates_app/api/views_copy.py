"""Copies of templates."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.openapi import documented, path_parameter
from secflow.http.serializers import read_body
from secflow.http.views import ApiView
from templates_app import kinds, services
from templates_app.api import examples, outputs
from templates_app.api.serializers import CopyTemplateInput
from templates_app.selectors import get_visible_template


class TemplateCopyView(ApiView):
    """A new template like one that exists."""

    kind: ClassVar[kinds.TemplateKind]

    def post(self, request: Request, template_id: str) -> Response:
        get_visible_template(self.kind, actor=self.actor, template_id=template_id)
        body = read_body(request, CopyTemplateInput)
        made = services.copy_template(self.kind, actor=self.actor, template_id=template_id, **body)
        return Response(outputs.template_output(made), status=201)


def _described(kind: kinds.TemplateKind, answer: type[Any], example: dict[str, Any]) -> Any:
    label = kind.label.lower()
    article = "an" if label[0] in "aeiou" else "a"
    post = documented(
        f"Copy {article} {label}",
        "A new template with the same content. With a `project_id` it belongs to that project: so everybody can make a global"
        " template their own and change it.",
        tag="Templates",
        operation_id=f"copy_{kind.resource}",
        request=CopyTemplateInput,
        answer=answer,
        status=201,
        errors=(403, 404),
        parameters=(path_parameter("template_id", "Id of the template."),),
        example=example,
        request_example={"name": "my own", "project_id": "p1"},
    )
    return extend_schema_view(post=post)


@_described(kinds.APP, outputs.AppTemplateOutput, examples.APP)
class AppTemplateCopyView(TemplateCopyView):
    kind = kinds.APP


@_described(kinds.JOB, outputs.JobTemplateOutput, examples.JOB)
class JobTemplateCopyView(TemplateCopyView):
    kind = kinds.JOB
