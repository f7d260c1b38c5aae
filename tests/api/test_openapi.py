"""The document of the API: valid, complete, committed, and true to what the routes answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from rest_framework import serializers

from secflow import urls
from templates_app.api import outputs
from tests.api.conftest import Api
from tests.factories import AppTemplateFactory, JobTemplateFactory, container

COMMITTED = Path(urls.__file__).with_name("openapi.yaml")


@pytest.fixture(scope="module")
def text() -> str:
    """The document as the code describes it now. Warnings of the generator fail here."""
    written = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=written)
    return written.getvalue()


@pytest.fixture(scope="module")
def document(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_the_committed_document_is_up_to_date(text: str) -> None:
    assert COMMITTED.read_text() == text, "run `make openapi` and commit secflow/openapi.yaml"


def test_it_is_openapi_3_1_with_bearer_tokens(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }


def test_every_operation_is_described_with_an_example_and_its_errors(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert len(operation["tags"]) == 1, where
        assert re.fullmatch(r"[a-z_]+", operation["operationId"]), where
        answers = operation["responses"]
        assert {"405", "500"} <= set(answers), where
        assert ("401" in answers) or operation["security"] == [{}], where
        for status, answer in answers.items():
            content = answer["content"]["application/json"]
            assert content["examples"], f"{where} {status}"
            if int(status) >= 400 and status != "503":
                assert content["schema"] == {"$ref": "#/components/schemas/ErrorOutput"}, f"{where} {status}"


def test_every_object_of_an_answer_requires_what_it_always_has(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if name in ("ErrorOutput", "AppTemplateOutput", "JobTemplateOutput", "ContainerOutput"):
            assert set(schema["required"]) == set(schema["properties"]), name


def test_every_native_template_route_is_in_the_document(document: dict[str, Any]) -> None:
    described = {(method, path) for method, path, _ in operations(document)}
    for kind in ("app", "job"):
        base = f"/api/workflow/{kind}-templates"
        one = base + "/{template_id}"
        assert {("GET", base), ("POST", base), ("GET", one), ("PUT", one), ("DELETE", one)} <= described


@pytest.mark.parametrize(
    ("factory", "documented"),
    [(AppTemplateFactory, outputs.AppTemplateOutput), (JobTemplateFactory, outputs.JobTemplateOutput)],
)
def test_answers_have_exactly_the_documented_keys(
    db: None, factory: Any, documented: type[serializers.Serializer[Any]]
) -> None:
    answer = outputs.template_output(factory(containers=[container(), {"name": "old", "image": "row"}]))

    assert set(answer) == set(documented().fields)
    assert [set(item) for item in answer["containers"]] == [set(outputs.ContainerOutput().fields)] * 2


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/", "/api/redoc/"])
def test_the_document_is_served_without_foreign_hosts(anonymous: Api, path: str) -> None:
    response = anonymous.get(path)

    assert response.status_code == 200
    if path != "/api/schema/":
        links = re.findall(r'(?:src|href)="([^"]+)"', response.content.decode())
        assert links
        assert [link for link in links if "//" in link] == []


def test_the_document_can_be_had_as_json(anonymous: Api) -> None:
    assert anonymous.get("/api/schema/?format=json").json()["openapi"].startswith("3.1.")
