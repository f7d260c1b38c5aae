"""What a Kubernetes API server fills in when a client leaves it out. `fill` is idempotent."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

Object = dict[str, Any]

_VOLUME_MODES: Final = ("configMap", "secret", "projected", "downwardAPI")
_CONTAINER_LISTS: Final = ("initContainers", "containers")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")


def fill(kind: str, obj: Object) -> None:
    """Set the defaults of `kind` in `obj` in place; values that are there stay, numbers given as quantities become
    strings. Fields of an unexpected type are left for validation to name."""
    filler = _FILLERS.get(kind)
    if filler is not None:
        filler(obj)


def _section(obj: Object, key: str) -> Object:
    """The dict at `key`, made when absent; a throw-away dict when something else is there."""
    if obj.get(key) is None:
        obj[key] = {}
    found = obj[key]
    return found if isinstance(found, dict) else {}


def _items(obj: Object, key: str) -> Iterator[Object]:
    found = obj.get(key)
    if isinstance(found, list):
        yield from (item for item in found if isinstance(item, dict))


def _default(obj: Object, **values: Any) -> None:
    for key, value in values.items():
        if obj.get(key) is None:
            obj[key] = value


def quantities(holder: Object) -> None:
    """Turn numbers into the strings that typed clients insist on: `cpu: 1` is stored as "1"."""
    for key, value in holder.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            holder[key] = str(value)


def fill_pod_spec(spec: Object) -> None:
    """The defaults of a pod's spec, in a Pod or in a template."""
    _default(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        securityContext={},
        terminationGracePeriodSeconds=30,
    )
    for volume in _items(spec, "volumes"):
        if set(volume) <= {"name"}:
            volume["emptyDir"] = {}
        for source in _VOLUME_MODES:
            if isinstance(volume.get(source), dict):
                _default(volume[source], defaultMode=0o644)
        if isinstance(volume.get("hostPath"), dict):
            _default(volume["hostPath"], type="")
        if isinstance(volume.get("emptyDir"), dict):
            quantities(volume["emptyDir"])
    for key in _CONTAINER_LISTS:
        for container in _items(spec, key):
            _fill_container(container)


def _fill_container(container: Object) -> None:
    _default(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(container.get("image")),
    )
    resources = _section(container, "resources")
    for key in ("limits", "requests"):
        if isinstance(resources.get(key), dict):
            quantities(resources[key])
    if isinstance(resources.get("limits"), dict):
        requests = _section(resources, "requests")
        for name, amount in resources["limits"].items():
            requests.setdefault(name, amount)
    for port in _items(container, "ports"):
        _default(port, protocol="TCP")
    for variable in _items(container, "env"):
        source = variable.get("valueFrom")
        if isinstance(source, dict) and isinstance(source.get("fieldRef"), dict):
            _default(source["fieldRef"], apiVersion="v1")
    for name in _PROBES:
        if isinstance(container.get(name), dict):
            _default(container[name], timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            _fill_handler(container[name])
    lifecycle = container.get("lifecycle")
    if isinstance(lifecycle, dict):
        for name in ("postStart", "preStop"):
            if isinstance(lifecycle.get(name), dict):
                _fill_handler(lifecycle[name])


def _fill_handler(handler: Object) -> None:
    if isinstance(handler.get("httpGet"), dict):
        _default(handler["httpGet"], path="/", scheme="HTTP")


def _pull_policy(image: Any) -> str:
    if not isinstance(image, str) or "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _fill_template(spec: Object) -> Object:
    template = _section(spec, "template")
    _section(template, "metadata")
    fill_pod_spec(_section(template, "spec"))
    return template


def _fill_pod(pod: Object) -> None:
    spec = _section(pod, "spec")
    fill_pod_spec(spec)
    _default(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)
    status = _section(pod, "status")
    _default(status, phase="Pending", qosClass=qos_class(spec))


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by the requests and limits of all containers."""
    resources = [item.get("resources") or {} for key in _CONTAINER_LISTS for item in _items(spec, key)]
    if not any(item.get("limits") or item.get("requests") for item in resources):
        return "BestEffort"
    whole = all(
        {"cpu", "memory"} <= set(item.get("limits") or ()) and item.get("requests") == item.get("limits")
        for item in resources
    )
    return "Guaranteed" if whole else "Burstable"


def _fill_job(job: Object) -> None:
    spec = _section(job, "spec")
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _default(
        spec,
        parallelism=1,
        backoffLimit=6,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed",
    )
    policy = spec.get("podFailurePolicy")
    for rule in _items(policy, "rules") if isinstance(policy, dict) else ():
        for pattern in _items(rule, "onPodConditions"):
            _default(pattern, status="True")
    template = _fill_template(spec)
    meta, labels = job["metadata"], _section(template["metadata"], "labels")
    if labels and not meta.get("labels"):
        meta["labels"] = dict(labels)
    uid, name = meta.get("uid"), meta.get("name") or f"{meta.get('generateName', '')}x"[-63:]
    if uid and not spec.get("manualSelector"):
        owned = {"batch.kubernetes.io/controller-uid": uid}
        spec.setdefault("selector", {"matchLabels": owned})
        for key, value in (*owned.items(), ("controller-uid", uid), ("job-name", name)):
            labels.setdefault(key, value)
        labels.setdefault("batch.kubernetes.io/job-name", name)
    _section(job, "status")


def _fill_deployment(deployment: Object) -> None:
    spec = _section(deployment, "spec")
    _default(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = _section(spec, "strategy")
    _default(strategy, type="RollingUpdate")
    if strategy.get("type") == "RollingUpdate":
        _default(_section(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")
    _fill_template(spec)
    _section(deployment, "status")


def _fill_service(service: Object) -> None:
    spec = _section(service, "spec")
    _default(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        _default(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    for port in _items(spec, "ports"):
        _default(port, protocol="TCP", targetPort=port.get("port"))
    status = _section(service, "status")
    _section(status, "loadBalancer")


def _fill_claim(claim: Object) -> None:
    spec = _section(claim, "spec")
    _default(spec, volumeMode="Filesystem")
    resources = spec.get("resources")
    if isinstance(resources, dict):
        for key in ("requests", "limits"):
            if isinstance(resources.get(key), dict):
                quantities(resources[key])
    _default(_section(claim, "status"), phase="Pending")


def _fill_namespace(namespace: Object) -> None:
    name = namespace["metadata"].get("name")
    _section(namespace["metadata"], "labels").setdefault("kubernetes.io/metadata.name", name)
    _default(_section(namespace, "spec"), finalizers=["kubernetes"])
    _default(_section(namespace, "status"), phase="Active")


def _fill_secret(secret: Object) -> None:
    _default(secret, type="Opaque")
    plain = secret.get("stringData")
    if isinstance(plain, dict) and all(isinstance(value, str) for value in plain.values()):
        data = _section(secret, "data")
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items()})
        del secret["stringData"]


def _fill_node(node: Object) -> None:
    _section(node, "spec")
    _section(node, "status")


_FILLERS: Final[dict[str, Callable[[Object], None]]] = {
    "Deployment": _fill_deployment,
    "Job": _fill_job,
    "Namespace": _fill_namespace,
    "Node": _fill_node,
    "PersistentVolumeClaim": _fill_claim,
    "Pod": _fill_pod,
    "Secret": _fill_secret,
    "Service": _fill_service,
}
