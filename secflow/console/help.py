"""Pages of the console that show our documents, so that they can be read where nothing else can be reached."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString

from secflow.console.markdown import render

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAME = "console-help"
PICTURE = "console-help-picture"
_PICTURES = DOCS / "pictures"
_SHOWN = re.compile(r"(?:\./)?pictures/([a-z0-9-]+)\.svg")
_PAGE = re.compile(r"(?:\./)?([a-z0-9-]+)\.md(#[\w-]+)?")


def error_url(code: str) -> str:
    """The section of the error catalogue about an error code or a diagnosis category; its head for an odd word."""
    anchor = code.lower() if re.fullmatch(r"[A-Za-z_]+", code) else ""
    return reverse(NAME, args=["errors"]) + (f"#{anchor}" if anchor else "")


def help_page(request: HttpRequest, slug: str) -> HttpResponse:
    """One document, for whoever is signed in to the console."""
    if slug not in _slugs():
        raise Http404(f"there is no document {slug}")
    title, body = _document(slug)
    context = admin.site.each_context(request) | {"title": title, "body": body, "documents": _titles(), "slug": slug}
    request.current_app = admin.site.name
    return TemplateResponse(request, "console/help.html", context)


def help_picture(request: HttpRequest, slug: str) -> HttpResponse:
    """A picture of a document. It brings its own rules of style along; opened by itself, it may do nothing else."""
    if slug not in _pictures():
        raise Http404(f"there is no picture {slug}")
    response = HttpResponse((_PICTURES / f"{slug}.svg").read_bytes(), content_type="image/svg+xml")
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response


urlpatterns = [
    path("<slug:slug>/", admin.site.admin_view(help_page), name=NAME),
    path("pictures/<slug:slug>.svg", admin.site.admin_view(help_picture), name=PICTURE),
]


@cache
def _slugs() -> frozenset[str]:
    return frozenset(file.stem for file in DOCS.glob("*.md"))


@cache
def _pictures() -> frozenset[str]:
    return frozenset(file.stem for file in _PICTURES.glob("*.svg"))


@cache
def _titles() -> list[tuple[str, str]]:
    return [(slug, _document(slug)[0]) for slug in sorted(_slugs())]


@cache
def _document(slug: str) -> tuple[str, SafeString]:
    text = (DOCS / f"{slug}.md").read_text(encoding="utf-8")
    first, _, rest = text.lstrip().partition("\n")
    return first.lstrip("# ").strip(), render(rest, _address)


def _address(target: str) -> str | None:
    if target.startswith(("https://", "http://", "#")):
        return target
    shown = _SHOWN.fullmatch(target)
    if shown and shown[1] in _pictures():
        return reverse(PICTURE, args=[shown[1]])
    found = _PAGE.fullmatch(target)
    if found and found[1] in _slugs():
        return reverse(NAME, args=[found[1]]) + (found[2] or "")
    return None
