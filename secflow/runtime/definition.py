"""The file format of example workflows: one JSON file, scripts beside it.

Keys: `project_id`; `claims` (name, storage); `app_templates` and `job_templates` by a handle; `instance`, a body of the
API in which a node says `template: <handle>`; `report`, the `ref` of the node whose log is the result. A word of a
container's `command` or `args` that begins with `@` is replaced by the text of that file, whose path is relative to the
JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secflow.runtime.errors import StandError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim the workflow mounts; `storage` is a Kubernetes quantity."""

    name: str
    storage: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One workflow ready to be sent: bodies of the API, templates by handle."""

    title: str
    project_id: str
    claims: tuple[Claim, ...]
    app_templates: Mapping[str, Json]
    job_templates: Mapping[str, Json]
    instance: Json
    report: str | None


def load_definition(path: Path) -> Definition:
    """The definition in `path`, its scripts put in. Raises StandError when something is missing."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        project_id = data["project_id"]
        instance = data["instance"]
        return Definition(
            title=data.get("title", instance["name"]),
            project_id=project_id,
            claims=tuple(Claim(item["name"], item.get("storage", "64Mi")) for item in data.get("claims", ())),
            app_templates=_templates(data.get("app_templates", {}), project_id, path.parent),
            job_templates=_templates(data.get("job_templates", {}), project_id, path.parent),
            instance={**instance, "project_id": project_id},
            report=data.get("report"),
        )
    except OSError as err:
        raise StandError(f"{err.filename} cannot be read: {err.strerror}.") from err
    except ValueError as err:
        raise StandError(f"{path} is not JSON: {err}.") from err
    except (KeyError, TypeError, AttributeError) as err:
        raise StandError(f"{path} is no workflow definition: {err} is missing or has the wrong type.") from err


def instance_body(definition: Definition, template_ids: Mapping[str, str]) -> Json:
    """The body that creates the instance, with the ids that the templates got."""
    nodes = []
    for node in definition.instance["nodes"]:
        body = {key: value for key, value in node.items() if key != "template"}
        if "template" in node:
            if node["template"] not in template_ids:
                raise StandError(
                    f"node {node.get('name')!r} names the template {node['template']!r}, which the file lacks."
                )
            body["template_id"] = template_ids[node["template"]]
        nodes.append(body)
    return {**definition.instance, "nodes": nodes}


def _templates(found: Mapping[str, Json], project_id: str, folder: Path) -> dict[str, Json]:
    return {
        handle: {
            "scope": "project",
            **body,
            "project_id": project_id,
            "containers": [_container(item, folder) for item in body["containers"]],
        }
        for handle, body in found.items()
    }


def _container(body: Json, folder: Path) -> Json:
    words = {key: [_word(word, folder) for word in body[key]] for key in ("command", "args") if body.get(key)}
    return {**body, **words}


def _word(word: str, folder: Path) -> str:
    return (folder / word[1:]).read_text(encoding="utf-8") if word.startswith("@") else word
