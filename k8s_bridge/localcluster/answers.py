"""Objects, lists and Status objects as HTTP answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from k8s_bridge.localcluster.errors import StoreError
from k8s_bridge.localcluster.history import encode
from k8s_bridge.localcluster.negotiation import JSON_TYPE, Form
from k8s_bridge.localcluster.resources import Resource
from k8s_bridge.localcluster.tables import partial, table

Object = dict[str, Any]

WARNING: Final = "Warning"


def json_answer(body: Any, status: int = 200, *, content_type: str = JSON_TYPE) -> web.Response:
    return web.Response(body=encode(body), status=status, headers={"Content-Type": content_type})


def error_answer(error: StoreError) -> web.Response:
    return json_answer(error.as_status(), error.status)


def object_answer(
    obj: Object, form: Form, now: datetime, *, status: int = 200, warnings: Iterable[str] = ()
) -> web.Response:
    """One object in the form the client wants; each warning is a header that kubectl prints."""
    body = obj
    if form is Form.TABLE:
        body = table(obj["kind"], [obj], now)
        body["metadata"] = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
    elif form is Form.PARTIAL:
        body = partial(obj)
    answer = json_answer(body, status)
    for warning in warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace").decode()
        answer.headers.add(WARNING, f'299 - "{quoted}"')
    return answer


def list_body(
    resource: Resource, objects: list[Object], meta: Object, form: Form, now: datetime, *, include: str = "Metadata"
) -> Object:
    """A list as `PodList`, `Table` or `PartialObjectMetadataList`; `items` is never null."""
    if form is Form.TABLE:
        return {**table(resource.kind, objects, now, include=include), "metadata": meta}
    if form is Form.PARTIAL:
        items = [partial(obj) for obj in objects]
        return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items}
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": meta, "items": objects}


def success_status(resource: Resource, obj: Object) -> Object:
    """What a finished delete answers for kinds whose object is not returned."""
    details: Object = {"name": obj["metadata"]["name"], "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
