"""Writes `schema.json`, the field names and types of the kinds served, out of the official Python client.

Run `python -m k8s_bridge.localcluster.schema_update` after raising the client; a test fails while the file is behind.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from kubernetes import client

from k8s_bridge.localcluster.resources import RESOURCES

TARGET: Final = Path(__file__).with_name("schema.json")
# Written by the server alone, or for parts of Kubernetes that are not here.
_ROOTS: Final = {resource.kind: f"V1{resource.kind}" for resource in RESOURCES} | {
    "Event": "CoreV1Event",
    "DeleteOptions": "V1DeleteOptions",
    "Scale": "V1Scale",
}
_PLAIN: Final = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "datetime": "time",
    "bytes": "bytes",
}
# The client knows the next three only as objects and strings.
_INT_OR_STRING: Final = frozenset({"port", "targetPort", "maxSurge", "maxUnavailable"})
_QUANTITY_MAPS: Final = frozenset({"limits", "requests", "capacity", "allocatable", "allocatedResources", "overhead"})
_QUANTITIES: Final = frozenset({"sizeLimit", "divisor"})


def build() -> dict[str, Any]:
    """Type name -> {"fields": {json name: type}, "required": [...]}; a type is a scalar, `[]T`, `{}T` or a name."""
    types: dict[str, Any] = {}
    for name, model in sorted(_ROOTS.items()):
        _add(types, name, model)
    return {name: types[name] for name in sorted(types)}


def _add(types: dict[str, Any], name: str, model_name: str) -> None:
    if name in types:
        return
    model = getattr(client, model_name)
    fields: dict[str, str] = {}
    types[name] = {"fields": fields, "required": []}
    for attribute, declared in model.openapi_types.items():
        field = model.attribute_map[attribute]
        fields[field] = _type(types, name, field, declared)
    for attribute, info in model.model_fields.items():
        if info.is_required():
            types[name]["required"].append(info.serialization_alias or attribute)


def _type(types: dict[str, Any], owner: str, field: str, declared: str) -> str:
    if field in _INT_OR_STRING and declared == "object":
        return "intstr"
    if field in _QUANTITIES and declared == "str":
        return "quantity"
    if found := re.fullmatch(r"(?:list|List)\[(.+)\]", declared):
        return "[]" + _type(types, owner, "", found[1])
    if found := re.fullmatch(r"(?:dict|Dict)[\[(]str, ?(.+)[\])]", declared):
        return "{}" + ("quantity" if field in _QUANTITY_MAPS else _type(types, owner, "", found[1]))
    if declared in _PLAIN:
        return _PLAIN[declared]
    if declared == "object":
        return "any"
    name = re.sub(r"^(Core)?V1", "", declared)
    _add(types, name, declared)
    return name


if __name__ == "__main__":
    TARGET.write_text(json.dumps(build(), separators=(",", ":"), sort_keys=True).replace('},"', '},\n"') + "\n")
