"""Pages of other origins: nothing by default, exactly the listed ones otherwise (contract A.1, M.42)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from secflow.settings.environment import BASE_DIR
from tests.api.conftest import Api

ORIGIN = "https://console.example.org"


@pytest.fixture
def listed(settings: Any) -> None:
    settings.SECFLOW = replace(settings.SECFLOW, cors_allowed_origins=(ORIGIN,))


def cors(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.items() if name.startswith("Access-Control")}


def test_no_origin_is_allowed_by_default(anonymous: Api) -> None:
    assert cors(anonymous.call("GET", "/health", Origin=ORIGIN)) == {}


def test_a_listed_origin_may_read_answers_without_cookies(anonymous: Api, listed: None) -> None:
    headers = cors(anonymous.call("GET", "/app-templates", Origin=ORIGIN))

    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("origin", ["https://evil.example.org", "null", ORIGIN + ".evil.org", ORIGIN.upper(), ""])
def test_other_origins_get_nothing(anonymous: Api, listed: None, origin: str) -> None:
    response = anonymous.call("GET", "/health", Origin=origin)

    assert cors(response) == {}
    assert "Origin" in response["Vary"]


def test_a_preflight_of_a_listed_origin_is_answered(anonymous: Api, listed: None) -> None:
    response = anonymous.call("OPTIONS", "/app-templates", Origin=ORIGIN, **{"Access-Control-Request-Method": "PUT"})

    assert response.status_code == 204
    assert "PUT" in response["Access-Control-Allow-Methods"]
    assert "Authorization" in response["Access-Control-Allow-Headers"]


def test_every_header_that_the_api_reads_may_be_sent(anonymous: Api, listed: None) -> None:
    document = yaml.safe_load((BASE_DIR / "secflow" / "openapi.yaml").read_text(encoding="utf-8"))
    described = {
        parameter["name"].lower()
        for path in document["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "header"
    }

    response = anonymous.call("OPTIONS", "/app-templates", Origin=ORIGIN, **{"Access-Control-Request-Method": "PUT"})

    allowed = {name.strip().lower() for name in response["Access-Control-Allow-Headers"].split(",")}
    assert {"idempotency-key", "last-event-id"} <= described
    assert described <= allowed
