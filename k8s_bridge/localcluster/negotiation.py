"""Which form a client sends and wants: JSON, YAML in; JSON, Table or metadata only out."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Final, NoReturn

import yaml
from aiohttp import hdrs, web

from k8s_bridge.localcluster.errors import StoreError, bad_request

BODY_LIMIT: Final = 3 * 1024 * 1024
JSON_TYPE: Final = "application/json"
YAML_TYPES: Final = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
PATCH_TYPES: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


class Form(Enum):
    """How an object or a list is answered."""

    OBJECT = "object"
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"


def wanted_form(request: web.Request) -> Form:
    """The first form in the Accept header that is served; 406 when there is none. No header, or `*/*`, means JSON."""
    header = request.headers.get(hdrs.ACCEPT, "")
    if not header.strip():
        return Form.OBJECT
    for choice in header.split(","):
        media, *options = (part.strip() for part in choice.split(";"))
        if media not in (JSON_TYPE, "*/*", "application/*"):
            continue
        form = {key: value for key, _, value in (option.partition("=") for option in options)}.get("as", "")
        if not form:
            return Form.OBJECT
        if form == "Table":
            return Form.TABLE
        if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Form.PARTIAL
    message = "only the following media types are accepted: application/json"
    raise StoreError(406, "NotAcceptable", message)


def media_type(request: web.Request) -> str:
    return request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()


def unsupported(sent: str, accepted: tuple[str, ...]) -> StoreError:
    message = f"the body of the request was in an unsupported format ({sent or 'not named'})"
    if "protobuf" in sent:
        message += "; protobuf is not part of the local cluster: send JSON (with kubectl: apply -f, or create -f)"
    if "apply-patch" in sent:
        message += "; server-side apply is not part of the local cluster: apply without --server-side"
    return StoreError(415, "UnsupportedMediaType", f"{message} - accepted media types include: {', '.join(accepted)}")


async def read_body(request: web.Request) -> Any:
    """The body as data; None when it is empty. JSON also where no Content-Type is given; YAML where it is named."""
    sent = media_type(request)
    if sent not in ("", JSON_TYPE, "text/plain", "application/octet-stream") and sent not in YAML_TYPES:
        raise unsupported(sent, (JSON_TYPE, "application/yaml"))
    raw = await _read(request)
    if not raw.strip():
        return None
    return _from_yaml(raw) if sent in YAML_TYPES else from_json(raw)


async def read_patch(request: web.Request) -> tuple[str, Any]:
    """The patch and its media type; 415 for a type that is not served."""
    sent = media_type(request)
    if sent not in PATCH_TYPES:
        raise unsupported(sent, PATCH_TYPES)
    return sent, from_json(await _read(request))


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as err:
        message = f"Request entity too large: limit is {BODY_LIMIT} bytes"
        raise StoreError(413, "RequestEntityTooLarge", message) from err


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def from_json(raw: bytes) -> Any:
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise bad_request(f"the body of the request is not valid JSON: {err}") from err


class _Loader(yaml.SafeLoader):
    """YAML as JSON values: a date stays the text it is."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _from_yaml(raw: bytes) -> Any:
    try:
        # A SafeLoader that only knows fewer types.
        return yaml.load(raw, _Loader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as err:
        raise bad_request(f"the body of the request is not valid YAML: {err}") from err
