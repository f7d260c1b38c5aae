"""Numbers, rights and names in the documentation are those of the code."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from k8s_bridge.names import namespace_of
from secflow.http.parsing import MAX_BODY_BYTES
from secflow.runtime.checkup_cluster import RIGHTS
from secflow.settings.environment import BASE_DIR, variables

DOCS = BASE_DIR / "docs"


def test_defaults_named_beside_a_variable_are_its_defaults() -> None:
    defaults = {variable.name: variable.default for variable in variables()}
    named = [
        (page.name, name, value)
        for page in sorted(DOCS.glob("*.md"))
        for name, value in re.findall(r"`([A-Z][A-Z_]+)` \((\d+)\)", page.read_text(encoding="utf-8"))
    ]

    assert named
    assert [(page, name, value) for page, name, value in named if defaults.get(name) != value] == []


def test_the_size_of_a_body_in_the_catalogue_of_errors_is_the_largest_that_is_read() -> None:
    section = section_of(DOCS / "errors.md", "### PAYLOAD_TOO_LARGE")

    assert re.findall(r"\((\d+) MiB\)", section) == [str(MAX_BODY_BYTES // 2**20)]


def test_the_doctor_asks_for_the_rights_of_the_role_and_no_others() -> None:
    (role,) = (item for item in manifests() if item["kind"] == "ClusterRole")
    given = {
        (group, resource, verb)
        for rule in role["rules"]
        for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }
    asked = {
        (group, f"{resource}/{part}" if part else resource, verb)
        for group, resource, part, verbs in RIGHTS
        for verb in verbs
    }

    assert asked == given
    assert ("", "events", "list") in asked


def test_the_account_does_not_live_in_the_namespace_of_a_project() -> None:
    places = {
        place["namespace"]
        for item in manifests()
        for place in (item["metadata"], *item.get("subjects", ()))
        if "namespace" in place
    }

    assert places
    assert [place for place in places if place.startswith(namespace_of("p").removesuffix("p"))] == []


def manifests() -> list[dict[str, Any]]:
    """What docs/security.md tells to apply to the cluster."""
    (block,) = re.findall(r"```yaml\n(.*?)```", section_of(DOCS / "security.md", "## Rights in the cluster"), re.DOTALL)
    return list(yaml.safe_load_all(block))


def section_of(page: Path, heading: str) -> str:
    """The text below a heading, up to the next heading."""
    return re.split(r"\n##", page.read_text(encoding="utf-8").partition(f"{heading}\n")[2])[0]
