"""Every error answer of the API: `{"code", "message", "details"}`, always all three keys (contract A.4)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions, status
from rest_framework.response import Response

from secflow.transactions import is_read_only
from workflows.domain.errors import DomainError, Kind

logger = logging.getLogger(__name__)

# The one place that knows what a kind of fact means in HTTP. The contract has no 503: an outage is INTERNAL_ERROR
# (A.2, A.4).
STATUS_OF: dict[Kind, int] = {
    Kind.INVALID: status.HTTP_400_BAD_REQUEST,
    Kind.UNAUTHENTICATED: status.HTTP_401_UNAUTHORIZED,
    Kind.FORBIDDEN: status.HTTP_403_FORBIDDEN,
    Kind.NOT_FOUND: status.HTTP_404_NOT_FOUND,
    Kind.CONFLICT: status.HTTP_409_CONFLICT,
    Kind.RATE_LIMITED: status.HTTP_429_TOO_MANY_REQUESTS,
    Kind.UNAVAILABLE: status.HTTP_500_INTERNAL_SERVER_ERROR,
}

CODE_OF: dict[int, str] = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
}

OUTAGE_RETRY_SECONDS = 5
CHALLENGE = 'Bearer realm="secflow"'
WHOLE_BODY = "body"  # names the body itself where no single field is to blame

Details = dict[str, Any] | list[dict[str, Any]]


class PayloadTooLarge(exceptions.APIException):
    """The body is larger than the service reads."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "payload_too_large"


def envelope(code: str, message: str, details: Details | None = None) -> dict[str, Any]:
    """The body of an error answer."""
    return {"code": code, "message": message, "details": {} if details is None else details}


def field_error(field: str, message: str) -> exceptions.ValidationError:
    """One wrong field or parameter, as a view or a serializer raises it. `field` is a dotted path."""
    return exceptions.ValidationError({field: [message]})


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """Turns whatever a view raised into an answer; what nobody expected becomes a 500 that tells nothing and is
    logged.
    """
    match exc:
        case DomainError():
            return _of_domain(exc)
        case exceptions.ValidationError():
            return _answer(400, *_of_fields(exc.detail))
        case exceptions.ParseError():
            message = str(exc.detail)
            return _answer(400, message, {"fields": [{"field": WHOLE_BODY, "message": message}]})
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return _answer(401, _text(exc.detail), headers={"WWW-Authenticate": CHALLENGE})
        case exceptions.MethodNotAllowed():
            allowed = list(context["view"].allowed_methods) if context.get("view") else []
            return _answer(405, _text(exc.detail), {"allowed": allowed})
        case exceptions.Throttled():
            wait = max(1, math.ceil(getattr(exc, "wait", None) or 1))
            message = f"too many requests; try again in {wait} seconds"
            return _answer(429, message, {"retry_after": wait}, {"Retry-After": str(wait)})
        case exceptions.APIException():
            return _answer(exc.status_code, _text(exc.detail))
        case Http404():
            return _answer(404, "there is no such resource")
        case DjangoPermissionDenied():
            return _answer(403, "you are not allowed to do this")
        case SuspiciousOperation():
            return _answer(400, "the request is malformed")
        case OperationalError() | InterfaceError():
            logger.error("database not usable", exc_info=exc)
            return _outage("the database is not usable at the moment; try again later")
        case InternalError() if is_read_only(exc):
            logger.error("database is read-only", exc_info=exc)
            return _outage("the database takes no changes at the moment; try again later")
        case _:
            logger.error("unexpected error", exc_info=exc)
            return _answer(500, "something went wrong inside the service; the log has the details")


def _of_domain(exc: DomainError) -> Response:
    if exc.kind is Kind.UNAVAILABLE:
        logger.warning("outage: %s", exc.message, exc_info=exc)
    headers = {}
    if exc.kind is Kind.RATE_LIMITED and isinstance(exc.details, dict):
        headers["Retry-After"] = str(exc.details.get("retry_after", 1))
    elif exc.kind is Kind.UNAVAILABLE:
        headers["Retry-After"] = str(OUTAGE_RETRY_SECONDS)
    elif exc.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = CHALLENGE
    body = envelope(exc.code, exc.message, exc.details)
    return Response(body, status=STATUS_OF[exc.kind], headers=headers)


def _outage(message: str) -> Response:
    return _answer(500, message, headers={"Retry-After": str(OUTAGE_RETRY_SECONDS)})


def _answer(code: int, message: str, details: Details | None = None, headers: dict[str, str] | None = None) -> Response:
    return Response(envelope(CODE_OF.get(code, "VALIDATION_ERROR"), message, details), status=code, headers=headers)


def _text(detail: Any) -> str:
    if isinstance(detail, dict):
        return str(detail.get("detail", "the request was refused"))
    return str(detail)


def _of_fields(detail: Any) -> tuple[str, Details]:
    fields = [{"field": path or WHOLE_BODY, "message": message} for path, message in _flatten(detail, "")]
    message = "; ".join(f"{item['field']}: {item['message']}" for item in fields[:3])
    if len(fields) > 3:
        message += f"; and {len(fields) - 3} more"
    return message, {"fields": fields}


def _flatten(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    """Messages with dotted paths out of the nested form that serializers raise."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            # Serializers file errors of a whole object under a word of their own; it is no field of the body.
            yield from _flatten(value, path if key == "non_field_errors" else _join(path, str(key)))
    elif isinstance(detail, list):
        for index, item in enumerate(detail):
            if isinstance(item, dict | list):
                yield from _flatten(item, _join(path, str(index)))
            else:
                yield path, str(item)
    else:
        yield path, str(detail)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler404`: unknown routes below /api get the envelope, the rest Django's page."""
    if request.path.startswith("/api/"):
        return _plain(404, f"there is no route {request.path}", {"resource": "route", "id": request.path})
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler400`."""
    if request.path.startswith("/api/"):
        return _plain(400, "the request is malformed")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler403`."""
    if request.path.startswith("/api/"):
        return _plain(403, "you are not allowed to do this")
    return defaults.permission_denied(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """`handler500`: Django has logged the traceback already."""
    if request.path.startswith("/api/"):
        return _plain(500, "something went wrong inside the service; the log has the details")
    return defaults.server_error(request)


def _plain(code: int, message: str, details: Details | None = None) -> JsonResponse:
    body = envelope(CODE_OF[code], message, details)
    return JsonResponse(body, status=code, json_dumps_params={"ensure_ascii": False})
