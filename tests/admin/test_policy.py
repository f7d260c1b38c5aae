"""Pages and the API carry a strict policy, and nothing of ours needs more than it gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from unfold.settings import CONFIG_DEFAULTS

from secflow.console import csp
from tests.admin.test_pages import ALL, EDITABLE, one_of_each, page
from workflows.models import NodeRun, WorkflowInstance

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "secflow").rglob("*.html")) + sorted((ROOT / "workflows").rglob("*.html"))
SCRIPTS = sorted((ROOT / "secflow" / "static").rglob("*.js"))
# A script with a type that no browser runs holds data: Django's json_script and its pop-ups are such.
INLINE = {
    "script": re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")[^>]*>", re.I),
    "style element": re.compile(r"<style\b", re.I),
    "style attribute": re.compile(r"<[^>]*\sstyle=", re.I),
    "event handler": re.compile(r"<[^>]*\son[a-z]+\s*=", re.I),
    "script address": re.compile(r"(?:href|src|action)=[\"']?\s*javascript:", re.I),
}
LOOSE = ("'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "*", "http:", "https:")


def inline_pieces(text: str) -> list[str]:
    """What of a page the policy would refuse."""
    return [f"{name}: {found.group()}" for name, pattern in INLINE.items() for found in pattern.finditer(text)]


def directives(response: Any) -> dict[str, str]:
    """The policy of an answer."""
    pairs = (part.strip().partition(" ") for part in response.headers[csp.HEADER].split(";"))
    return {name: sources for name, _, sources in pairs}


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_templates_have_nothing_inline(file: Path) -> None:
    assert inline_pieces(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_make_no_code_out_of_text(file: Path) -> None:
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read_text(encoding="utf-8"), flags=re.S)

    found = re.findall(r"\beval\(|new Function\(|document\.write|setAttribute\(\s*[\"']style|insertAdjacentHTML", text)

    assert found == []


@pytest.mark.parametrize("model", ALL, ids=lambda model: model._meta.model_name)
def test_pages_have_nothing_inline(admin: Client, model: Any) -> None:
    one_of_each()
    row = model.objects.first()
    addresses = [page(model, "changelist"), page(model, "change", row.pk), page(model, "history", row.pk)]
    addresses += [page(model, "add"), page(model, "delete", row.pk)] if model in EDITABLE else []

    found = {address: inline_pieces(admin.get(address).content.decode()) for address in addresses}

    assert {address: pieces for address, pieces in found.items() if pieces} == {}


@pytest.mark.parametrize(
    "address", ["/admin/", "/admin/password_change/", "/api/docs/", "/api/redoc/", "/admin/login/"]
)
def test_other_pages_have_nothing_inline(admin: Client, address: str) -> None:
    response = admin.get(address, follow=True)

    assert response.status_code == 200
    assert inline_pieces(response.content.decode()) == []


def test_a_confirmation_has_nothing_inline(admin: Client, history: NodeRun) -> None:
    data = {"action": "stop_instances", "_selected_action": [history.instance_id]}
    response = admin.post(page(WorkflowInstance, "changelist"), data, follow=True)

    assert response.status_code == 200
    assert inline_pieces(response.content.decode()) == []


@pytest.mark.parametrize("address", ["/admin/", "/admin/login/", "/api/docs/", "/api/redoc/", "/admin/nothing/here/"])
def test_pages_carry_a_strict_policy(admin: Client, address: str) -> None:
    response = admin.get(address)
    policy = directives(response)

    if not response.headers["Content-Type"].startswith("text/html"):
        assert policy == csp.NOTHING
        return
    assert policy["default-src"] == policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert [word for word in LOOSE if any(word in sources.split() for sources in policy.values())] == []


def test_only_the_page_of_redoc_has_a_nonce_and_each_answer_a_new_one(admin: Client) -> None:
    first, second = (directives(admin.get("/api/redoc/"))["style-src"] for _ in range(2))

    assert first.startswith("'self' 'nonce-")
    assert first != second
    assert "nonce" not in admin.get("/admin/").headers[csp.HEADER]


def test_what_is_no_page_is_allowed_nothing(db: None) -> None:
    for address in ("/api/workflow/health", "/api/schema/", "/api/workflow/workflow-instances", "/api/nothing"):
        assert directives(Client().get(address)) == csp.NOTHING


@pytest.mark.parametrize("address", ["/admin/login/", "/api/docs/", "/api/workflow/health"])
def test_answers_carry_the_companions_of_the_policy(db: None, address: str) -> None:
    headers = Client().get(address).headers

    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


def test_a_debug_page_of_django_is_sent_as_it_is(settings: Any, db: None) -> None:
    settings.DEBUG = True
    settings.ROOT_URLCONF = "tests.admin.test_policy"

    response = Client(raise_request_exception=False).get("/nothing")

    assert response.status_code == 404
    assert csp.HEADER not in response.headers


# The only address of the test above.
urlpatterns = [path("there", lambda request: HttpResponse())]


def test_the_style_sheet_names_every_colour_that_unfold_would_write() -> None:
    text = (ROOT / "secflow" / "static" / "console" / "theme.css").read_text(encoding="utf-8")
    wanted = [f"--color-{name}-{weight}:" for name, weights in CONFIG_DEFAULTS["COLORS"].items() for weight in weights]

    assert wanted
    assert [name for name in [*wanted, "--border-radius:"] if name not in text] == []
    assert django_settings.UNFOLD["COLORS"] == "secflow.console.navigation.no_colors"
