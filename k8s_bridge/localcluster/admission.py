"""From what a client sent to what may be stored: read by the schema, checked against the path, filled and validated."""

from __future__ import annotations

from typing import Any, Final

from k8s_bridge.localcluster import defaulting, limits, schema
from k8s_bridge.localcluster.calls import Target
from k8s_bridge.localcluster.errors import StoreError, bad_request, forbidden
from k8s_bridge.localcluster.resources import Resource
from k8s_bridge.localcluster.store import SYSTEM_NAMESPACES, clone
from k8s_bridge.localcluster.validation import validate, validate_change

Object = dict[str, Any]

_SOME_UID: Final = "00000000-0000-0000-0000-000000000000"


def admit_new(target: Target, body: Any, field_validation: str) -> tuple[Object, list[str]]:
    """The object to create, and warnings for the client."""
    resource = target.resource
    obj, missing, warnings = _read(resource, body, field_validation)
    meta = obj["metadata"]
    if meta.pop("resourceVersion", None):
        raise bad_request("resourceVersion should not be set on objects to be created")
    _check_namespace(target, meta)
    # A node says how it is when it joins; everything else is told by the server's own controllers.
    if resource.has_status and resource.kind != "Node":
        obj.pop("status", None)
    # Filling may need an identity that the store has yet to give: the selector of a Job is made of it.
    filled = clone(obj)
    filled["metadata"]["uid"] = _SOME_UID
    defaulting.fill(resource.kind, filled)
    validate(resource.kind, filled, missing)
    return obj, warnings + limits.ignored(resource.kind, filled)


def admit_change(target: Target, old: Object, body: Any, field_validation: str) -> tuple[Object, list[str]]:
    """The object to replace `old` with, and warnings for the client."""
    resource = target.resource
    new, missing, warnings = _read(resource, body, field_validation)
    meta = new["metadata"]
    name = meta.setdefault("name", target.name)
    if name != target.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    _check_namespace(target, meta)
    if target.subresource == "status":
        return new, warnings
    meta.setdefault("uid", old["metadata"]["uid"])
    if resource.kind == "Service":
        # What the cluster has allocated stays when a client leaves it out.
        for key in ("clusterIP", "clusterIPs"):
            if key in old["spec"] and isinstance(new.get("spec"), dict):
                new["spec"].setdefault(key, clone(old["spec"][key]))
    defaulting.fill(resource.kind, new)
    validate(resource.kind, new, missing)
    validate_change(resource.kind, old, new)
    return new, warnings + limits.ignored(resource.kind, new)


def check_deletable(resource: Resource, name: str) -> None:
    if resource.kind == "Namespace" and name in SYSTEM_NAMESPACES:
        raise forbidden(resource, name, "this namespace may not be deleted")


def _read(resource: Resource, body: Any, field_validation: str) -> tuple[Object, list[str], list[str]]:
    if field_validation not in ("", "Ignore", "Warn", "Strict"):
        raise bad_request(f"fieldValidation: Unsupported value: {field_validation!r}: use Ignore, Warn or Strict")
    if not isinstance(body, dict):
        raise bad_request(f"the body of the request must be a {resource.kind} object")
    kind, version = (body.get("kind", resource.kind), body.get("apiVersion", resource.api_version))
    if kind != resource.kind:
        raise bad_request(f"{kind!r} in the data does not match the expected kind {resource.kind!r}")
    if version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
    reading = schema.read(resource.kind, {**body, "metadata": body.get("metadata") or {}})
    unknown = [f'unknown field "{path}"' for path in reading.unknown]
    if unknown and field_validation == "Strict":
        raise StoreError(
            400,
            "BadRequest",
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {', '.join(unknown)}",
        )
    reading.obj["metadata"].pop("managedFields", None)
    return reading.obj, reading.missing, [] if field_validation == "Ignore" else unknown


def _check_namespace(target: Target, meta: Object) -> None:
    if not target.resource.namespaced:
        if meta.get("namespace"):
            raise bad_request(f"{target.resource.plural} have no namespace: leave metadata.namespace out")
        return
    if meta.get("namespace", target.namespace) != target.namespace:
        raise bad_request(
            f"the namespace of the provided object ({meta['namespace']}) does not match the namespace sent on the "
            f"request ({target.namespace})"
        )
    meta["namespace"] = target.namespace
