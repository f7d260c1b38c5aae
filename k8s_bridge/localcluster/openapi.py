"""The OpenAPI v3 documents, as much of them as kubectl reads: the PATCH operations that announce `fieldValidation` and
`dryRun` (without them `kubectl apply` fails), and the schemas behind `kubectl explain`."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final

from k8s_bridge.localcluster.discovery import group_paths
from k8s_bridge.localcluster.history import encode
from k8s_bridge.localcluster.resources import Resource, of_group
from k8s_bridge.localcluster.schema import TYPES

Object = dict[str, Any]

_SCALARS: Final[dict[str, Object]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer", "format": "int64"},
    "number": {"type": "number", "format": "double"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "quantity": {"type": "string"},
    "intstr": {"type": "string", "format": "int-or-string"},
    "any": {"type": "object"},
}
_QUERY: Final = ("dryRun", "fieldManager", "fieldValidation", "force")


def index() -> Object:
    """`/openapi/v3`: where each group's document is; the hash lets clients keep it."""
    paths = {
        path: {
            "serverRelativeURL": f"/openapi/v3/{path}?hash={hashlib.sha256(document(path)).hexdigest()[:32].upper()}"
        }
        for path in group_paths()
    }
    return {"paths": paths}


@cache
def document(path: str) -> bytes:
    """The document of one group (`api/v1`, `apis/batch/v1`), encoded."""
    group = "" if path == "api/v1" else path.split("/")[1]
    resources = of_group(group)
    paths: Object = {}
    for resource in resources:
        within = f"/{path}/namespaces/{{namespace}}" if resource.namespaced else f"/{path}"
        paths[f"{within}/{resource.plural}"] = {"post": _operation(resource, "post")}
        paths[f"{within}/{resource.plural}/{{name}}"] = {
            "get": _operation(resource, "get"),
            "patch": _operation(resource, "patch"),
            "put": _operation(resource, "put"),
        }
    schemas: Object = {}
    for resource in resources:
        _collect(schemas, resource.kind)
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        schemas[resource.kind]["x-kubernetes-group-version-kind"] = [kind]
    return encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "SecFlow local cluster", "version": "v1"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _operation(resource: Resource, method: str) -> Object:
    names = () if method == "get" else _QUERY
    answer = {"application/json": {"schema": {"$ref": f"#/components/schemas/{resource.kind}"}}}
    return {
        "operationId": f"{method}{resource.version.title()}{resource.kind}",
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
        "responses": {"200": {"description": "OK", "content": answer}},
        "x-kubernetes-action": method,
        "x-kubernetes-group-version-kind": {
            "group": resource.group,
            "version": resource.version,
            "kind": resource.kind,
        },
    }


def _collect(schemas: Object, name: str) -> None:
    if name in schemas:
        return
    info = TYPES[name]
    schema: Object = {"type": "object", "properties": {}}
    schemas[name] = schema
    schema["properties"] = {field: _schema(schemas, kind) for field, kind in info.fields.items()}
    if info.required:
        schema["required"] = list(info.required)


def _schema(schemas: Object, kind: str) -> Object:
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind.startswith("[]"):
        return {"type": "array", "items": _schema(schemas, kind[2:])}
    if kind.startswith("{}"):
        return {"type": "object", "additionalProperties": _schema(schemas, kind[2:])}
    _collect(schemas, kind)
    return {"allOf": [{"$ref": f"#/components/schemas/{kind}"}]}
