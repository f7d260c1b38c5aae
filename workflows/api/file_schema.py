"""The JSON Schema of a workflow file, for editors, out of the OpenAPI document that the bodies themselves describe."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import secflow.http
from secflow.yaml_text import read_yaml

_ROOT: Final = "WorkflowFileInput"
_COMPONENTS: Final = "#/components/schemas/"


@cache
def file_schema() -> dict[str, Any]:
    """A self-contained schema (draft 2020-12). Fields that nobody knows are faults in it, but for those that begin with `x-`."""
    document = Path(secflow.http.__file__).parents[1] / "openapi.yaml"
    components = read_yaml(document.read_bytes()).value["components"]["schemas"]
    found: dict[str, Any] = {}
    waiting = [_ROOT]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _rewritten(components[name])
            waiting += _referred(components[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "SecFlow workflow",
        **found.pop(_ROOT),
        "$defs": dict(sorted(found.items())),
    }


def _referred(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.removeprefix(_COMPONENTS)
            else:
                yield from _referred(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _referred(item)


def _rewritten(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_rewritten(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: value.replace(_COMPONENTS, "#/$defs/") if key == "$ref" else _rewritten(value)
        for key, value in schema.items()
    }
    if "properties" in made and isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made |= {"patternProperties": {"^x-": {}}, "additionalProperties": False}
    return made
