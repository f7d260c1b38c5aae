"""Pages of other origins: nothing by default, exactly the listed ones otherwise (contract A.1, M.42)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

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
