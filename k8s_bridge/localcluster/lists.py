"""The verbs on collections that answer at once: list, with paging, and deletecollection."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from k8s_bridge.localcluster.answers import json_answer, list_body
from k8s_bridge.localcluster.calls import Target, number
from k8s_bridge.localcluster.errors import StoreError, bad_request, expired
from k8s_bridge.localcluster.negotiation import wanted_form
from k8s_bridge.localcluster.objects import Objects, read_delete_options
from k8s_bridge.localcluster.store import Store

Object = dict[str, Any]

PAGES_KEPT: Final = 64


@dataclass(frozen=True)
class _Rest:
    """What a continue token stands for: the objects not yet sent, and the version of the whole list."""

    scope: tuple[str, str | None]
    objects: list[Object]
    resource_version: int
    total_known: bool


class Lists:
    """Handlers over one store. A list is one consistent state however many pages it takes."""

    def __init__(self, store: Store, objects: Objects, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._objects = objects
        self._clock = clock
        self._rests: OrderedDict[str, _Rest] = OrderedDict()

    async def list(self, request: web.Request, target: Target) -> web.Response:
        form = wanted_form(request)
        query = request.query
        limit = number(query, "limit") or 0
        token = query.get("continue")
        rest = self._resume(target, token) if token else self._start(request, target)
        sent, left = rest.objects, []
        if limit and len(rest.objects) > limit:
            sent, left = rest.objects[:limit], rest.objects[limit:]
        meta: Object = {"resourceVersion": str(rest.resource_version)}
        if left:
            meta["continue"] = self._keep(_Rest(rest.scope, left, rest.resource_version, rest.total_known))
            if rest.total_known:
                meta["remainingItemCount"] = len(left)
        include = query.get("includeObject", "Metadata")
        return json_answer(list_body(target.resource, sent, meta, form, self._clock(), include=include))

    def _start(self, request: web.Request, target: Target) -> _Rest:
        query = request.query
        labels, fields = query.get("labelSelector"), query.get("fieldSelector")
        self._check_version(query.get("resourceVersion", ""), query.get("resourceVersionMatch", ""))
        kind = target.resource.kind
        objects, version = self._store.list(kind, target.namespace, labels=labels, fields=fields)
        return _Rest((kind, target.namespace), objects, version, not labels and not fields)

    def _check_version(self, asked: str, match: str) -> None:
        if match not in ("", "Exact", "NotOlderThan"):
            raise bad_request(f"resourceVersionMatch: Unsupported value: {match!r}: use Exact or NotOlderThan")
        if not asked:
            if match:
                raise bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")
            return
        if not asked.isdecimal():
            raise bad_request(f"resourceVersion: {asked!r} is not a version of this server")
        current = self._store.resource_version
        if int(asked) > current:
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            message = f"Timeout: Too large resource version: {asked}, current: {current}"
            raise StoreError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})
        if match == "Exact" and int(asked) != current:
            raise expired(f"The resourceVersion for the provided list is too old: {asked}; list without one")

    def _keep(self, rest: _Rest) -> str:
        token = secrets.token_urlsafe(12)
        self._rests[token] = rest
        while len(self._rests) > PAGES_KEPT:
            self._rests.popitem(last=False)
        return token

    def _resume(self, target: Target, token: str) -> _Rest:
        rest = self._rests.get(token)
        if rest is None or rest.scope != (target.resource.kind, target.namespace):
            raise expired("The provided continue parameter is too old or unknown: start the list from the beginning")
        return rest

    async def deletecollection(self, request: web.Request, target: Target) -> web.Response:
        form = wanted_form(request)
        options = await read_delete_options(request)
        resource, query = target.resource, request.query
        objects, _ = self._store.list(
            resource.kind, target.namespace, labels=query.get("labelSelector"), fields=query.get("fieldSelector")
        )
        deleted = [self._objects.delete_object(resource, obj, options) for obj in objects]
        meta: Object = {"resourceVersion": str(self._store.resource_version)}
        return json_answer(list_body(resource, deleted, meta, form, self._clock()))
