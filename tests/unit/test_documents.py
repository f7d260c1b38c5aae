"""The documents say what the code does: every code and category has its section, every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from k8s_bridge.causes import Category
from secflow.console.markdown import anchor, render
from secflow.http.errors import CODE_OF
from secflow.runtime.checkup_cluster import RIGHTS
from workflows.domain.errors import DomainError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) +(.*)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def headings(text: str) -> list[tuple[int, str]]:
    return [(len(found[1]), found[2].strip()) for found in _HEADING.finditer(_FENCE.sub("", text))]


def sections(text: str, part: str) -> dict[str, str]:
    """The third-level sections below a second-level one, with their texts."""
    body = re.split(r"^## ", text, flags=re.MULTILINE)
    chosen = next(piece for piece in body if piece.startswith(part))
    pieces = re.split(r"^### ", chosen, flags=re.MULTILINE)[1:]
    return {title.strip(): rest for title, _, rest in (piece.partition("\n") for piece in pieces)}


def subclasses(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


def codes_in_source() -> set[str]:
    """Every code that an answer can have: the table's, and those that errors bring along."""
    written = {
        code
        for folder in ("secflow/http", "workflows", "templates_app")
        for file in (ROOT / folder).rglob("*.py")
        for code in re.findall(r"""(?:code\s*=|envelope\(|"code":)\s*"([A-Z][A-Z_]+)\"""", file.read_text())
    }
    return set(CODE_OF.values()) | {kind.code for kind in subclasses(DomainError)} | written


def test_every_error_code_has_its_section_and_the_other_way_round() -> None:
    assert set(sections(text_of("errors.md"), "Error codes of the API")) == codes_in_source()


def test_every_diagnosis_category_has_its_section_and_the_other_way_round() -> None:
    assert set(sections(text_of("errors.md"), "Diagnosis categories")) == {str(category) for category in Category}


def test_every_section_says_what_to_do() -> None:
    text = text_of("errors.md")
    found = sections(text, "Error codes of the API") | sections(text, "Diagnosis categories")

    assert [title for title, body in found.items() if "**What to do:**" not in " ".join(body.split())] == []
    assert len({anchor(title) for title in found}) == len(found)
    assert {anchor(title) for title in found} == {title.lower() for title in found}


@pytest.mark.parametrize("name", sorted(file.name for file in DOCS.glob("*.md")))
def test_links_lead_to_files_and_headings_that_exist(name: str) -> None:
    broken = []
    for target in _LINK.findall(_FENCE.sub("", text_of(name))):
        file, _, fragment = target.partition("#")
        if file.startswith(("http://", "https://")):
            continue
        path = (DOCS / file).resolve() if file else DOCS / name
        if not path.exists() or (
            fragment and fragment not in {anchor(title) for _, title in headings(path.read_text(encoding="utf-8"))}
        ):
            broken.append(target)

    assert broken == []


def rules() -> list[dict[str, Any]]:
    [manifest] = [body for kind, body in _FENCE.findall(text_of("security.md")) if kind == "yaml"]
    objects = list(yaml.safe_load_all(manifest))
    assert [item["kind"] for item in objects] == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"]
    assert objects[2]["roleRef"]["name"] == objects[1]["metadata"]["name"]
    assert objects[2]["subjects"][0]["name"] == objects[0]["metadata"]["name"]
    found: list[dict[str, Any]] = objects[1]["rules"]
    return found


def test_the_role_holds_what_the_doctor_asks_for_and_the_right_to_read_events() -> None:
    held = {
        (group, resource, verb)
        for rule in rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    wanted = {
        (group, f"{resource}/{part}" if part else resource, verb)
        for group, resource, part, verbs in RIGHTS
        for verb in verbs
    }

    assert held == wanted | {("", "events", "get"), ("", "events", "list")}


def test_commands_of_manage_py_in_the_documents_exist() -> None:
    named = {word for file in DOCS.glob("*.md") for word in re.findall(r"manage\.py ([a-z_]+)", file.read_text())}

    assert named <= get_commands().keys(), named - get_commands().keys()


def test_rendering_shows_markup_and_does_not_obey_it() -> None:
    text = (
        "## A `b`-c & D\n\nWords **strong `x<y`** <script>alert(1)</script> [to](other.md#x) [out](javascript:alert(1))\n"
        "more\n\n* one\n  two\n* `three`\n  * four\n\n1. first\n\n"
        "| a | b |\n|---|---|\n| <b> | `c \\| d` |\n\n```sh\n<raw> *a*\n```\n"
    )

    html = str(render(text, {"other.md#x": "/help/other/#x"}.get))

    assert '<h2 id="a-b-c--d">A <code>b</code>-c &amp; D</h2>' in html
    assert "<strong>strong <code>x&lt;y</code></strong> &lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert '<a href="/help/other/#x" class="text-link">to</a> out)\nmore'.replace("\n", " ") in html
    assert '<ul><li class="console-level-0">one two</li><li class="console-level-0"><code>three</code></li>' in html
    assert '<li class="console-level-1">four</li></ul>' in html
    assert '<ol><li class="console-level-0">first</li></ol>' in html
    assert "<td>&lt;b&gt;</td><td><code>c | d</code></td>" in html
    assert "&lt;raw&gt; *a*</pre>" in html
    assert "javascript" not in html
