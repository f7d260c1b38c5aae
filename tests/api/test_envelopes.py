"""Every answer of the API is JSON, and every refusal has the three keys (contract A.1, A.4)."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from rest_framework import exceptions

from secflow.http import errors
from secflow.http.parsing import MAX_BODY_BYTES, parse_json, unique_keys
from templates_app.api import views
from templates_app.models import AppTemplate
from tests.api.conftest import Api
from workflows.domain.errors import Conflict, DomainError, Kind, NotFound, RateLimited, UnmetInputs, WrongStatus

GOOD = b'{"name": "a", "project_id": "p1", "containers": [{"name": "c", "image": "x"}]}'


def with_extra(text: str) -> bytes:
    return GOOD[:-1] + f', "extra": {text}}}'.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"[1,]",
        b"{'a': 1}",
        with_extra("NaN"),
        with_extra("Infinity"),
        with_extra("-Infinity"),
        with_extra("1e999"),
        with_extra("9" * 5000),
        with_extra('"\\u0000"'),
        with_extra('"\\ud800"'),
        with_extra('{"\\udfff": 1}'),
        with_extra('[["\\u0000"]]'),
        with_extra('"a\nb"'),
        with_extra("1, " + '"extra": 2'),
        b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 1_000_000,
        b"[]",
        b'"text"',
        b"5",
        b"null",
    ],
    ids=lambda raw: repr(raw[-24:]),
)
def test_a_body_that_is_no_strict_json_object_is_400(member: Api, raw: bytes) -> None:
    answer = member.refused("POST", "/app-templates", raw, status=400)

    assert answer["code"] == "VALIDATION_ERROR"
    assert [item["field"] for item in answer["details"]["fields"]] == ["body"]
    assert not AppTemplate.objects.exists()


@pytest.mark.parametrize("raw", [b"", b" \n ", b"{}"])
def test_an_empty_body_is_an_empty_object(raw: bytes) -> None:
    assert parse_json(raw) == {}


def test_pairs_of_surrogates_and_other_escapes_are_texts() -> None:
    assert parse_json(b'{"a": "\\ud83d\\ude00 \\u00e9 \\n"}') == {"a": "\U0001f600 é \n"}


def test_a_large_body_is_413(member: Api) -> None:
    filler = b'{"name": "' + b"a" * MAX_BODY_BYTES + b'"}'

    assert member.refused("POST", "/app-templates", filler, status=413)["code"] == "PAYLOAD_TOO_LARGE"


def test_a_body_of_the_largest_size_is_read(member: Api) -> None:
    filler = with_extra('"' + "a" * (MAX_BODY_BYTES - len(with_extra('""'))) + '"')
    assert len(filler) == MAX_BODY_BYTES

    member.send("POST", "/app-templates", filler, status=201)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_another_media_type_is_415(member: Api, kind: str) -> None:
    response = member.generic(
        "POST", "/api/workflow/app-templates", GOOD, content_type=kind, headers=member.extra_headers
    )

    assert response.status_code == 415
    assert response.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_may_come_with_parameters(member: Api, kind: str) -> None:
    response = member.generic(
        "POST", "/api/workflow/app-templates", GOOD, content_type=kind, headers=member.extra_headers
    )

    assert response.status_code == 201


def test_a_body_without_a_length_is_refused_and_not_lost(member: Api) -> None:
    response = member.post(
        "/api/workflow/app-templates",
        headers=member.extra_headers | {"Transfer-Encoding": "chunked"},
        CONTENT_LENGTH="",
    )

    assert response.status_code == 400
    assert response.json()["details"]["fields"][0]["field"] == "body"


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/xml", "nonsense", "image/png;q=0.1"])
def test_answers_are_json_whatever_is_accepted(member: Api, accept: str) -> None:
    response = member.call("GET", "/app-templates", Accept=accept)

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_texts_are_sent_as_utf8(member: Api) -> None:
    made = member.call("POST", "/job-templates", json.loads(GOOD) | {"name": "扫描 é"})

    assert "扫描 é" in made.content.decode("utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "/api/workflow",
        "/api/workflow/",
        "/api/workflow/nope",
        "/api/nope/",
        "/api/workflow/workflow-templates",
        "/api/workflow/app-templates/",
        "/api/workflow/health/",
        "/api/token",
        "/api/workflow/app-templates/a/b",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_routes_are_404_without_a_redirect(member: Api, path: str, method: str) -> None:
    answer = member.refused(method, path, status=404)

    assert (answer["code"], answer["details"]) == ("NOT_FOUND", {"resource": "route", "id": path})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/app-templates", {"GET", "POST"}),
        ("DELETE", "/app-templates", {"GET", "POST"}),
        ("POST", "/app-templates/x", {"GET", "PUT", "DELETE"}),
        ("OPTIONS", "/app-templates", {"GET", "POST"}),
        ("TRACE", "/app-templates", {"GET", "POST"}),
        ("POST", "/health", {"GET"}),
        ("GET", "/api/token/", {"POST"}),
    ],
)
def test_other_methods_are_405(member: Api, method: str, path: str, allowed: set[str]) -> None:
    answer = member.refused(method, path, status=405)

    assert answer["code"] == "METHOD_NOT_ALLOWED"
    assert allowed <= set(answer["details"]["allowed"]) <= allowed | {"HEAD"}


@pytest.mark.parametrize("error", [OperationalError("host db.internal"), InterfaceError("connection already closed")])
def test_a_database_outage_is_500_with_a_time_to_come_back(
    member: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(views, "list_templates", broken)

    response = member.call("GET", "/app-templates")

    assert (response.status_code, response.json()["code"]) == (500, "INTERNAL_ERROR")
    assert response["Retry-After"] == "5"
    assert "internal" not in response.json()["message"]


def test_an_unexpected_error_is_logged_and_tells_nothing(
    member: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise KeyError("secret detail")

    monkeypatch.setattr(views, "list_templates", broken)

    with caplog.at_level(logging.ERROR):
        answer = member.refused("GET", "/app-templates", status=500)

    assert answer["code"] == "INTERNAL_ERROR"
    assert "secret" not in json.dumps(answer)
    assert any(record.exc_info and "secret detail" in str(record.exc_info[1]) for record in caplog.records)


DOMAIN_ERRORS: list[tuple[DomainError, int, str, Any, set[str]]] = [
    (
        WrongStatus("no", status="running", allowed=["pending"]),
        400,
        "VALIDATION_ERROR",
        {"status": "running", "allowed": ["pending"]},
        set(),
    ),
    (UnmetInputs("no", [{"type": "env_var"}]), 400, "VALIDATION_ERROR", [{"type": "env_var"}], set()),
    (NotFound("workflow_node", "n"), 404, "NOT_FOUND", {"resource": "workflow_node", "id": "n"}, set()),
    (Conflict("no"), 409, "CONFLICT", {}, set()),
    (RateLimited("no", {"retry_after": 7}), 429, "RATE_LIMITED", {"retry_after": 7}, {"Retry-After"}),
]


@pytest.mark.parametrize(
    ("error", "status", "code", "details", "headers"), DOMAIN_ERRORS, ids=lambda value: type(value).__name__
)
def test_facts_become_codes(error: DomainError, status: int, code: str, details: Any, headers: set[str]) -> None:
    response = errors.exception_handler(error, {})

    assert response.status_code == status
    assert response.data == {"code": code, "message": error.message, "details": details}
    assert set(response.headers) - {"Content-Type"} == headers


def test_every_kind_of_fact_has_a_code() -> None:
    assert set(errors.STATUS_OF) == set(Kind)
    assert set(errors.STATUS_OF.values()) <= set(errors.CODE_OF)


def test_throttling_of_the_framework_is_429() -> None:
    response = errors.exception_handler(exceptions.Throttled(wait=3.2), {})

    assert (response.status_code, response.headers["Retry-After"], response.data["details"]) == (
        429,
        "4",
        {"retry_after": 4},
    )


def test_all_fields_are_listed_and_the_message_stays_short() -> None:
    detail = {"items": [{"name": ["is required"], "parts": {"0": {"x": ["a", "b"]}}}, {}], "non_field_errors": ["c"]}

    response = errors.exception_handler(exceptions.ValidationError(detail), {})

    assert response.data["details"]["fields"] == [
        {"field": "items.0.name", "message": "is required"},
        {"field": "items.0.parts.0.x", "message": "a"},
        {"field": "items.0.parts.0.x", "message": "b"},
        {"field": "body", "message": "c"},
    ]
    assert response.data["message"].endswith("and 1 more")


@pytest.mark.parametrize(
    ("handler", "status"),
    [(errors.bad_request, 400), (errors.permission_denied, 403), (errors.not_found, 404), (errors.server_error, 500)],
)
def test_what_django_refuses_itself_is_an_envelope_below_api(handler: Any, status: int) -> None:
    request = HttpRequest()
    request.path = "/api/workflow/x"

    response = handler(request) if status == 500 else handler(request, Exception())

    assert response.status_code == status
    assert set(json.loads(response.content)) == {"code", "message", "details"}


def test_requests_keep_a_sane_id_and_get_one_otherwise(anonymous: Api) -> None:
    assert anonymous.call("GET", "/health", **{"X-Request-ID": "abc-123"})["X-Request-ID"] == "abc-123"
    for odd in ("", "a b", "x" * 129, "a\x1bb", "é"):
        assert re.fullmatch(r"[0-9a-f]{32}", anonymous.call("GET", "/health", **{"X-Request-ID": odd})["X-Request-ID"])
    assert anonymous.call("GET", "/nope")["X-Request-ID"]


def test_the_request_id_is_in_the_log(
    member: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def broken(*args: Any, **kwargs: Any) -> Any:
        from secflow.logs import request_id

        seen.append(request_id.get())
        raise RuntimeError

    monkeypatch.setattr(views, "list_templates", broken)
    response = member.call("GET", "/app-templates", **{"X-Request-ID": "find-me"})

    assert response.status_code == 500
    assert seen == ["find-me"]


class CountedText(str):
    """A text that counts how often it was compared with another one."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountedText.comparisons += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_a_repeated_key_among_very_many_is_found_without_comparing_all_with_all() -> None:
    keys = [CountedText(number) for number in range(2000)]

    with pytest.raises(ValueError, match="'1999' is given twice"):
        unique_keys([(key, None) for key in [*keys, CountedText(1999)]])

    assert CountedText.comparisons < 10 * len(keys)
