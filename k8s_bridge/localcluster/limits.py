"""What Kubernetes has and this cluster has not: refused where the result would be another one, else told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from k8s_bridge.localcluster.field_errors import FieldErrors

Object = dict[str, Any]

_ABSENT: Final = "is not part of the local cluster; use a real cluster for it"
_JOB_FIELDS: Final = ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
# Fields of a pod's spec and of a container that are stored but not acted on.
_POD_IGNORED: Final = ("affinity", "dnsConfig", "nodeSelector", "runtimeClassName", "topologySpreadConstraints")
_CONTAINER_IGNORED: Final = ("lifecycle",)


def refuse(errors: FieldErrors, kind: str, obj: Object) -> None:
    """Note what would run otherwise than the object says."""
    if kind == "Job":
        _refuse_job(errors, obj["spec"])
    for path, container in _containers(kind, obj):
        for name in _PROBES:
            if "grpc" in (container.get(name) or {}):
                errors.forbidden(f"{path}.{name}.grpc", _ABSENT)


def _refuse_job(errors: FieldErrors, spec: Object) -> None:
    for name in ("completions", "parallelism"):
        if spec.get(name) not in (None, 1):
            errors.forbidden(f"spec.{name}", f"other than 1 {_ABSENT}")
    if spec["completionMode"] == "Indexed":
        errors.forbidden("spec.completionMode", f"Indexed {_ABSENT}")
    for name in _JOB_FIELDS:
        if name in spec:
            errors.forbidden(f"spec.{name}", _ABSENT)


def ignored(kind: str, obj: Object) -> list[str]:
    """A warning for each field that is stored without effect."""
    found = _pod_spec(kind, obj)
    if found is None:
        return []
    path, spec = found
    names = [f"{path}.{name}" for name in _POD_IGNORED if spec.get(name)]
    names += [
        f"{path}.{name}" for path, item in _containers(kind, obj) for name in _CONTAINER_IGNORED if item.get(name)
    ]
    return [f"{name} has no effect in the local cluster" for name in names]


def _pod_spec(kind: str, obj: Object) -> tuple[str, Object] | None:
    if kind == "Pod":
        return "spec", obj["spec"]
    if kind in ("Deployment", "Job"):
        return "spec.template.spec", obj["spec"]["template"]["spec"]
    return None


def _containers(kind: str, obj: Object) -> Iterator[tuple[str, Object]]:
    found = _pod_spec(kind, obj)
    if found is None:
        return
    path, spec = found
    for key in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(key) or ()):
            yield f"{path}.{key}[{at}]", container
