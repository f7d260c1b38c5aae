"""The verbs on single objects: create, get, update, patch, delete, and the parts `/status` and `/scale`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from k8s_bridge.localcluster import patches, schema
from k8s_bridge.localcluster.admission import admit_change, admit_new, check_deletable
from k8s_bridge.localcluster.answers import json_answer, object_answer, success_status
from k8s_bridge.localcluster.calls import Target, flag, is_dry_run, number
from k8s_bridge.localcluster.errors import StoreError, bad_request
from k8s_bridge.localcluster.negotiation import read_body, read_patch, wanted_form
from k8s_bridge.localcluster.resources import Resource
from k8s_bridge.localcluster.store import Store

Object = dict[str, Any]

_PATCHES: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "application/json-patch+json": patches.json_patch,
    "application/merge-patch+json": patches.merge,
    "application/strategic-merge-patch+json": patches.strategic,
}
# Kinds whose DELETE answers with the object; typed clients insist on it.
_RETURN_DELETED: Final = frozenset({"PersistentVolumeClaim", "Pod", "Service"})
_POLICIES: Final = ("Background", "Foreground", "Orphan")
ORPHAN_WARNING: Final = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete; `propagation` None leaves it to the kind."""

    dry_run: bool
    propagation: str | None
    grace_seconds: int | None
    uid: str | None
    resource_version: str | None

    def propagation_for(self, resource: Resource) -> str:
        # Kubernetes keeps the pods of a batch/v1 Job unless told otherwise.
        return self.propagation or ("Orphan" if resource.kind == "Job" else "Background")


class Objects:
    """Handlers over one store; each takes the request and its target and returns the answer."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def create(self, request: web.Request, target: Target) -> web.Response:
        form = wanted_form(request)
        body = await read_body(request)
        # A missing namespace is told before anything that is wrong with the object.
        if target.namespace is not None:
            self._store.get("Namespace", None, target.namespace)
        obj, warnings = admit_new(target, body, request.query.get("fieldValidation", ""))
        stored = self._store.create(target.resource.kind, obj, dry_run=_dry_run(request))
        return object_answer(stored, form, self._clock(), status=201, warnings=warnings)

    async def get(self, request: web.Request, target: Target) -> web.Response:
        obj = self._find(target)
        if target.subresource == "scale":
            return json_answer(_scale_of(obj))
        return object_answer(obj, wanted_form(request), self._clock())

    async def update(self, request: web.Request, target: Target) -> web.Response:
        form = wanted_form(request)
        body = await read_body(request)
        old = self._find(target)
        if target.subresource == "scale":
            return json_answer(_scale_of(self._set_scale(old, body, dry_run=_dry_run(request))))
        return self._replace(request, target, old, body, form)

    async def patch(self, request: web.Request, target: Target) -> web.Response:
        form = wanted_form(request)
        media, patch = await read_patch(request)
        old = self._find(target)
        if target.subresource == "scale":
            scaled = _PATCHES[media](_scale_of(old), patch)
            return json_answer(_scale_of(self._set_scale(old, scaled, dry_run=_dry_run(request))))
        return self._replace(request, target, old, _PATCHES[media](old, patch), form)

    def _replace(self, request: web.Request, target: Target, old: Object, body: Any, form: Any) -> web.Response:
        new, warnings = admit_change(target, old, body, request.query.get("fieldValidation", ""))
        part = "status" if target.subresource == "status" else None
        stored = self._store.update(target.resource.kind, new, subresource=part, dry_run=_dry_run(request))
        return object_answer(stored, form, self._clock(), warnings=warnings)

    async def delete(self, request: web.Request, target: Target) -> web.Response:
        form = wanted_form(request)
        options = await read_delete_options(request)
        resource, old = target.resource, self._find(target)
        check_deletable(resource, old["metadata"]["name"])
        last = self.delete_object(resource, old, options)
        orphans = resource.kind == "Job" and options.propagation is None
        warnings = [ORPHAN_WARNING] if orphans else []
        gone = self._store.find(resource.kind, target.namespace, old["metadata"]["name"]) is None or options.dry_run
        if gone and resource.kind not in _RETURN_DELETED and resource.kind != "Namespace":
            last = success_status(resource, last)
            answer = json_answer(last)
            for warning in warnings:
                answer.headers.add("Warning", f'299 - "{warning}"')
            return answer
        return object_answer(last, form, self._clock(), warnings=warnings)

    def delete_object(self, resource: Resource, obj: Object, options: DeleteOptions) -> Object:
        """Delete one stored object as `options` say and return its last state."""
        meta = obj["metadata"]
        if options.dry_run:
            self._store.check_preconditions(resource.kind, obj, options.uid, options.resource_version)
            return obj
        return self._store.delete(
            resource.kind,
            meta.get("namespace"),
            meta["name"],
            uid=options.uid,
            resource_version=options.resource_version,
            propagation=options.propagation_for(resource),
            grace_seconds=options.grace_seconds,
        )

    def _find(self, target: Target) -> Object:
        return self._store.get(target.resource.kind, target.namespace, target.name or "")

    def _set_scale(self, deployment: Object, body: Any, *, dry_run: bool) -> Object:
        scale = schema.read("Scale", body).obj
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
            raise StoreError(422, "Invalid", f"spec.replicas: Invalid value: {replicas}: must not be negative")
        version = (scale.get("metadata") or {}).get("resourceVersion")
        meta = {**deployment["metadata"], "resourceVersion": version}
        new = {**deployment, "metadata": meta, "spec": {**deployment["spec"], "replicas": replicas}}
        return self._store.update("Deployment", new, dry_run=dry_run)


def _dry_run(request: web.Request) -> bool:
    return is_dry_run(request.query.getall("dryRun", []))


def _scale_of(deployment: Object) -> Object:
    meta, labels = (deployment["metadata"], deployment["spec"]["selector"].get("matchLabels") or {})
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {"replicas": deployment["spec"]["replicas"]},
        "status": {
            "replicas": (deployment.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


async def read_delete_options(request: web.Request) -> DeleteOptions:
    """DeleteOptions out of the body and the query; where both speak, the body counts."""
    body = await read_body(request)
    given = schema.read("DeleteOptions", body).obj if body is not None else {}
    query = request.query
    policy = given.get("propagationPolicy") or query.get("propagationPolicy")
    if not policy and (given.get("orphanDependents") is not None or "orphanDependents" in query):
        orphan = given["orphanDependents"] if "orphanDependents" in given else flag(query, "orphanDependents")
        policy = "Orphan" if orphan else "Background"
    if policy and policy not in _POLICIES:
        raise bad_request(f"propagationPolicy: Unsupported value: {policy!r}: use one of {', '.join(_POLICIES)}")
    grace = given.get("gracePeriodSeconds")
    preconditions = given.get("preconditions") or {}
    return DeleteOptions(
        dry_run=is_dry_run(given["dryRun"] if "dryRun" in given else query.getall("dryRun", [])),
        propagation=policy or None,
        grace_seconds=grace if grace is not None else number(query, "gracePeriodSeconds"),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
    )
