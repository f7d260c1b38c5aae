"""How operations are described: one decorator that adds the error envelopes, and small words shared by all documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from secflow.http.errors import CODE_OF, envelope
from secflow.http.query import MAX_PAGE, MAX_PAGE_SIZE


class ErrorOutput(serializers.Serializer[Any]):
    """Every error answer (contract A.4). `details` is an object; only unmet inputs put an array there."""

    code = serializers.CharField(help_text="Stable word for programs.")
    message = serializers.CharField(help_text="Text for people.")
    details = serializers.JSONField(help_text="What is known beyond the message; `{}` when nothing is.")


class MessageOutput(serializers.Serializer[Any]):
    """The answer of a deletion or a trigger."""

    message = serializers.CharField()


class BearerScheme(OpenApiAuthenticationExtension):
    """Documents BearerAuthentication."""

    target_class = "secflow.http.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


_NO_AUTH: list[Any] = [{}]
_FIELDS = {"fields": [{"field": "name", "message": "is required"}]}
_SAMPLES: dict[int, tuple[str, str, dict[str, Any]]] = {
    400: ("Invalid", "name: is required", _FIELDS),
    401: ("No valid token", "the token is invalid or has expired; sign in again", {}),
    403: ("Not allowed", "only members of project p1 may create in it", {"project_id": "p1"}),
    404: (
        "Unknown",
        "workflow instance wf-inst-x-0 does not exist",
        {"resource": "workflow_instance", "id": "wf-inst-x-0"},
    ),
    405: ("Wrong method", 'Method "PATCH" not allowed.', {"allowed": ["GET", "PUT"]}),
    409: ("Conflict", "the template is in use", {"instances": ["wf-inst-nightly-scan-x81m44zt"]}),
    413: ("Too large", "The body has 3000000 bytes; at most 2097152 are allowed.", {}),
    415: ("Not JSON", 'Unsupported media type "text/plain" in request.', {}),
    429: ("Too often", "too many requests; try again in 12 seconds", {"retry_after": 12}),
    500: ("Fault or outage", "something went wrong inside the service; the log has the details", {}),
}
_MEANINGS = {
    400: "The body, a parameter or the state does not allow it.",
    401: "No valid bearer token.",
    403: "The caller lacks the right.",
    404: "The resource does not exist.",
    405: "The route does not know the method.",
    409: "It collides with something that exists.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    429: "Too many requests; `Retry-After` says when to come back.",
    500: "Unexpected fault, or the database, cluster or auth service cannot be reached.",
}


def error_answer(status: int) -> OpenApiResponse:
    """The documented form of one error code."""
    name, message, details = _SAMPLES[status]
    example = OpenApiExample(name, value=envelope(CODE_OF[status], message, details), status_codes=[str(status)])
    return OpenApiResponse(ErrorOutput, description=_MEANINGS[status], examples=[example])


def documented(
    summary: str,
    description: str,
    *,
    tag: str,
    operation_id: str,
    answer: Any,
    status: int = 200,
    errors: Sequence[int] = (),
    request: Any = None,
    public: bool = False,
    example: Any = None,
    request_example: Any = None,
    request_examples: Sequence[OpenApiExample] = (),
    parameters: Sequence[OpenApiParameter] = (),
    answers: Mapping[int | tuple[int, str], Any] | None = None,
) -> Callable[[Any], Any]:
    """extend_schema with everything an operation needs, as a decorator of a view's method.

    `errors` are the codes of its own (400, 403, 404, 409, 429 ...); 401 (unless `public`), 405 and 500 come by
    themselves, 413
    and 415 with a `request`. `answer` is the serializer or schema of the success `status`; `answers` adds further ones, by
    code or by code and media type.
    `example` and `request_example` are JSON values; `request_examples` are for bodies of several media types.
    """
    if request_example:
        request_examples = (OpenApiExample("Request", value=request_example, request_only=True),)
    codes = {*errors, 405, 500}
    codes |= set() if public else {401}
    codes |= {400, 413, 415} if request is not None else set()
    examples = [OpenApiExample("Answer", value=example, status_codes=[str(status)])] if example is not None else []
    responses: dict[int | tuple[int, str], Any] = {
        status: OpenApiResponse(answer, description="Success.", examples=examples)
    }
    responses |= dict(answers or {})
    responses |= {code: error_answer(code) for code in sorted(codes)}
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=description,
        tags=[tag],
        request=request,
        responses=responses,
        parameters=list(parameters),
        auth=_NO_AUTH if public else None,
        examples=list(request_examples) or None,
    )


def query_parameter(
    name: str,
    description: str,
    *,
    kind: Any = OpenApiTypes.STR,
    choices: Sequence[str] | None = None,
    default: Any = None,
) -> OpenApiParameter:
    """An optional query parameter. `kind` may be a raw schema such as `{"type": "integer", "minimum": 1}`."""
    return OpenApiParameter(
        name,
        kind,
        OpenApiParameter.QUERY,
        description=description,
        enum=list(choices) if choices else None,
        default=default,
    )


def path_parameter(name: str, description: str) -> OpenApiParameter:
    """An id in the path."""
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.PATH, description=description)


PAGING = (
    query_parameter("page", "Page to show, from 1.", kind={"type": "integer", "minimum": 1, "maximum": MAX_PAGE}),
    query_parameter(
        "page_size", "Items of one page.", kind={"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE}
    ),
)


def allow_overlaps(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of the generator: choices between objects are `anyOf`. Unknown fields are ignored (contract A.1), so that one body may
    have several of the forms.
    """
    for schema in result.get("components", {}).get("schemas", {}).values():
        if "oneOf" in schema and "discriminator" not in schema:
            schema["anyOf"] = schema.pop("oneOf")
    return result
