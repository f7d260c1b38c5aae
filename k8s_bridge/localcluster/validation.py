"""Which objects are refused, and which changes to an object. Types have been checked and defaults filled before.

`validate` looks at an object by itself, `validate_change` at what an update does to the stored one; both raise one 422
that lists every cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from k8s_bridge.localcluster import failure_policy, limits, quantities
from k8s_bridge.localcluster import field_errors as rules
from k8s_bridge.localcluster.field_errors import FieldErrors
from k8s_bridge.localcluster.podspec_validation import PROTOCOLS, check_pod_spec, check_quantity
from k8s_bridge.localcluster.resources import BY_KIND
from k8s_bridge.localcluster.selectors import OPERATORS, matches_label_selector
from k8s_bridge.localcluster.store import FOREGROUND, ORPHAN, clone

Object = dict[str, Any]

_DATA_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_ANNOTATIONS_LIMIT: Final = 256 * 1024
_DATA_LIMIT: Final = 1024 * 1024
_SERVICE_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_IMMUTABLE: Final = "field is immutable"
_POD_MUTABLE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, "
    "`spec.activeDeadlineSeconds`, `spec.terminationGracePeriodSeconds` or `spec.tolerations` (only additions)"
)


def validate(kind: str, obj: Object, missing: Iterable[str] = ()) -> None:
    """Raise the 422 for `obj`; `missing` are required fields that reading it has found absent."""
    errors = FieldErrors()
    for path in missing:
        errors.required(path)
    _check_metadata(errors, kind, obj["metadata"])
    # The checks below read required fields, so they wait until those are there.
    if not errors.causes and kind in _CHECKS:
        _CHECKS[kind](errors, obj)
        limits.refuse(errors, kind, obj)
    errors.raise_for(BY_KIND[kind], obj["metadata"].get("name", ""))


def validate_change(kind: str, old: Object, new: Object) -> None:
    errors = FieldErrors()
    if kind in _CHANGES:
        _CHANGES[kind](errors, old, new)
    errors.raise_for(BY_KIND[kind], new["metadata"]["name"])


# Metadata


def _check_metadata(errors: FieldErrors, kind: str, meta: Object) -> None:
    name, prefix = meta.get("name"), meta.get("generateName")
    test, rule = _name_rule(kind)
    if name:
        if not test(name):
            errors.invalid("metadata.name", name, rule)
    elif prefix:
        # The ending is made of letters that are valid everywhere.
        if not test(prefix.rstrip("-.")[:58] + "x"):
            errors.invalid("metadata.generateName", prefix, rule)
    else:
        errors.required("metadata.name", "name or generateName is required")
    check_labels(errors, meta.get("labels") or {}, "metadata.labels")
    annotations = meta.get("annotations") or {}
    for key in annotations:
        if not rules.is_qualified_name(key.lower()):
            errors.invalid("metadata.annotations", key, rules.KEY_RULE)
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        errors.invalid("metadata.annotations", "", f"must have at most {_ANNOTATIONS_LIMIT} bytes")
    for finalizer in meta.get("finalizers") or ():
        if finalizer not in (FOREGROUND, ORPHAN) and ("/" not in finalizer or not rules.is_qualified_name(finalizer)):
            errors.invalid(
                "metadata.finalizers", finalizer, "name is neither a standard finalizer name nor has a prefix"
            )
    controllers = [owner for owner in meta.get("ownerReferences") or () if owner.get("controller")]
    if len(controllers) > 1:
        errors.invalid(
            "metadata.ownerReferences", controllers[1]["name"], "only one reference can have controller=true"
        )


def _name_rule(kind: str) -> tuple[Callable[[str], bool], str]:
    if kind == "Namespace":
        return lambda name: bool(rules.DNS_LABEL.fullmatch(name)), rules.LABEL_RULE
    if kind == "Service":
        return lambda name: bool(rules.DNS_1035_LABEL.fullmatch(name)), rules.LABEL_1035_RULE
    return rules.is_subdomain, rules.SUBDOMAIN_RULE


def check_labels(errors: FieldErrors, labels: dict[str, str], path: str) -> None:
    for key, value in labels.items():
        if not rules.is_qualified_name(key):
            errors.invalid(path, key, rules.KEY_RULE)
        if not rules.is_label_value(value):
            errors.invalid(path, value, rules.VALUE_RULE)


# Objects by themselves


def _check_template(errors: FieldErrors, template: Object, path: str) -> None:
    check_labels(errors, template["metadata"].get("labels") or {}, f"{path}.metadata.labels")
    check_pod_spec(errors, template["spec"], f"{path}.spec")


def _check_selector(errors: FieldErrors, selector: Object | None, template: Object) -> None:
    """`selector` can be understood and selects the pods of `template`."""
    labels = template["metadata"].get("labels") or {}
    is_known = True
    for at, rule in enumerate((selector or {}).get("matchExpressions") or ()):
        if rule["operator"] not in OPERATORS:
            errors.unsupported(f"spec.selector.matchExpressions[{at}].operator", rule["operator"], OPERATORS)
            is_known = False
    if is_known and not matches_label_selector(selector, labels):
        errors.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _check_pod(errors: FieldErrors, pod: Object) -> None:
    check_pod_spec(errors, pod["spec"], "spec")


def _check_job(errors: FieldErrors, job: Object) -> None:
    spec = job["spec"]
    for name in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds"):
        errors.at_least(f"spec.{name}", spec.get(name), 0)
    if spec["completionMode"] not in ("Indexed", "NonIndexed"):
        errors.unsupported("spec.completionMode", spec["completionMode"], ("Indexed", "NonIndexed"))
    _check_template(errors, spec["template"], "spec.template")
    failure_policy.check(errors, spec)
    restart = spec["template"]["spec"]["restartPolicy"]
    if restart == "Always":
        errors.required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    _check_selector(errors, spec.get("selector"), spec["template"])


def _check_deployment(errors: FieldErrors, deployment: Object) -> None:
    spec = deployment["spec"]
    for name in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        errors.at_least(f"spec.{name}", spec.get(name), 0)
    strategy = spec["strategy"]
    if strategy["type"] not in ("Recreate", "RollingUpdate"):
        errors.unsupported("spec.strategy.type", strategy["type"], ("Recreate", "RollingUpdate"))
    elif strategy["type"] == "Recreate" and strategy.get("rollingUpdate"):
        detail = "may not be specified when strategy `type` is 'Recreate'"
        errors.forbidden("spec.strategy.rollingUpdate", detail)
    selector = spec["selector"]
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.invalid("spec.selector", selector, "empty selector is invalid for deployment")
    else:
        _check_selector(errors, selector, spec["template"])
    _check_template(errors, spec["template"], "spec.template")
    if spec["template"]["spec"]["restartPolicy"] != "Always":
        errors.unsupported("spec.template.spec.restartPolicy", spec["template"]["spec"]["restartPolicy"], ("Always",))


def _check_service(errors: FieldErrors, service: Object) -> None:
    spec = service["spec"]
    if spec["type"] not in _SERVICE_TYPES:
        errors.unsupported("spec.type", spec["type"], _SERVICE_TYPES)
    if spec["type"] == "ExternalName":
        if not spec.get("externalName"):
            errors.required("spec.externalName")
        return
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None":
        errors.required("spec.ports")
    names: set[str] = set()
    for at, port in enumerate(ports):
        place = f"spec.ports[{at}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            errors.required(f"{place}.name")
        elif name and not rules.DNS_LABEL.fullmatch(name):
            errors.invalid(f"{place}.name", name, rules.LABEL_RULE)
        elif name in names:
            errors.duplicate(f"{place}.name", name)
        names.add(name)
        for key in ("port", "targetPort"):
            if isinstance(port[key], int) and not rules.is_port(port[key]):
                errors.invalid(f"{place}.{key}", port[key], "must be between 1 and 65535, inclusive")
        if isinstance(port["targetPort"], str) and not rules.is_port_name(port["targetPort"]):
            errors.invalid(f"{place}.targetPort", port["targetPort"], rules.PORT_NAME_RULE)
        if port["protocol"] not in PROTOCOLS:
            errors.unsupported(f"{place}.protocol", port["protocol"], PROTOCOLS)
    check_labels(errors, spec.get("selector") or {}, "spec.selector")


def _check_claim(errors: FieldErrors, claim: Object) -> None:
    spec = claim["spec"]
    modes = spec.get("accessModes") or []
    if not modes:
        errors.required("spec.accessModes", "at least 1 access mode is required")
    for at, mode in enumerate(modes):
        if mode not in _ACCESS_MODES:
            errors.unsupported(f"spec.accessModes[{at}]", mode, _ACCESS_MODES)
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        errors.required("spec.resources[storage]")
    else:
        check_quantity(errors, "spec.resources[storage]", storage)


def _check_data(errors: FieldErrors, obj: Object) -> None:
    size = 0
    for section in ("data", "binaryData"):
        for key, value in (obj.get(section) or {}).items():
            size += len(value)
            if not _DATA_KEY.fullmatch(key):
                detail = "a valid key must consist of alphanumeric characters, '-', '_' or '.'"
                errors.invalid(f"{section}[{key}]", key, detail)
    if size > _DATA_LIMIT:
        errors.invalid("data", "", f"must have at most {_DATA_LIMIT} bytes")


def _check_event(errors: FieldErrors, event: Object) -> None:
    about = event["involvedObject"].get("namespace", "")
    if about != event["metadata"].get("namespace") and (about or event["metadata"].get("namespace") != "default"):
        errors.invalid("involvedObject.namespace", about, "does not match event.namespace")


_CHECKS: Final[dict[str, Callable[[FieldErrors, Object], None]]] = {
    "ConfigMap": _check_data,
    "Deployment": _check_deployment,
    "Event": _check_event,
    "Job": _check_job,
    "PersistentVolumeClaim": _check_claim,
    "Pod": _check_pod,
    "Secret": _check_data,
    "Service": _check_service,
}


# Changes


def _frozen(errors: FieldErrors, old: Object, new: Object, section: str, *names: str) -> None:
    for name in names:
        if (old.get(section) or {}).get(name) != (new.get(section) or {}).get(name):
            errors.invalid(f"{section}.{name}", (new.get(section) or {}).get(name), _IMMUTABLE)


def _change_job(errors: FieldErrors, old: Object, new: Object) -> None:
    _frozen(errors, old, new, "spec", "selector", "completions", "completionMode", "podFailurePolicy")
    before, after = old["spec"]["template"], new["spec"]["template"]
    waiting = old["spec"].get("suspend") and not (old.get("status") or {}).get("startTime")
    if before != after and not waiting:
        errors.invalid("spec.template", after, _IMMUTABLE)


def _change_deployment(errors: FieldErrors, old: Object, new: Object) -> None:
    _frozen(errors, old, new, "spec", "selector")


def _change_pod(errors: FieldErrors, old: Object, new: Object) -> None:
    before, after = clone(old["spec"]), clone(new["spec"])
    for spec in (before, after):
        for key in ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"):
            spec.pop(key, None)
        for container in (*spec.get("containers", ()), *(spec.get("initContainers") or ())):
            container.pop("image", None)
    if before != after:
        errors.forbidden("spec", _POD_MUTABLE)


def _change_service(errors: FieldErrors, old: Object, new: Object) -> None:
    if old["spec"].get("clusterIP") and old["spec"]["type"] == new["spec"]["type"]:
        _frozen(errors, old, new, "spec", "clusterIP")


def _change_claim(errors: FieldErrors, old: Object, new: Object) -> None:
    before, after = clone(old["spec"]), clone(new["spec"])
    asked = [spec.get("resources", {}).get("requests", {}).pop("storage", "0") for spec in (before, after)]
    if not before.get("volumeName"):
        after.pop("volumeName", None)
    if before != after:
        errors.forbidden("spec", "spec is immutable after creation except resources.requests")
    elif (quantities.parse(asked[1]) or 0) < (quantities.parse(asked[0]) or 0):
        errors.forbidden("spec.resources.requests.storage", "field can not be less than previous value")


def _change_secret(errors: FieldErrors, old: Object, new: Object) -> None:
    if old.get("type") != new.get("type"):
        errors.invalid("type", new.get("type"), _IMMUTABLE)
    _change_data(errors, old, new)


def _change_data(errors: FieldErrors, old: Object, new: Object) -> None:
    if not old.get("immutable"):
        return
    for section in ("data", "binaryData"):
        if old.get(section) != new.get(section):
            errors.forbidden(section, "field is immutable when `immutable` is set")
    if not new.get("immutable"):
        errors.forbidden("immutable", "field is immutable when `immutable` is set")


_CHANGES: Final[dict[str, Callable[[FieldErrors, Object, Object], None]]] = {
    "ConfigMap": _change_data,
    "Deployment": _change_deployment,
    "Job": _change_job,
    "PersistentVolumeClaim": _change_claim,
    "Pod": _change_pod,
    "Secret": _change_secret,
    "Service": _change_service,
}
