"""Specs turned into the objects that a cluster understands (contract H.1 to H.4). Pure: dicts out, nothing is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from k8s_bridge import names
from k8s_bridge.kinds import KINDS, NAMESPACE, SERVICE
from k8s_bridge.specs import DEPLOYMENT, JOB, Container, Owner, Probe, Service, ServicePort, WorkloadSpec

Json = dict[str, Any]


def namespace_manifest(name: str) -> Json:
    """The namespace of a project. It carries no owner: installations may share it, and it is never deleted."""
    return {
        "apiVersion": KINDS[NAMESPACE].api_version,
        "kind": NAMESPACE,
        "metadata": {"name": name, "labels": {names.MANAGED_BY: names.MANAGER}},
    }


def deployment_manifest(spec: WorkloadSpec, owner: Owner) -> Json:
    """The Deployment of an app node."""
    labels = _workload_labels(spec, owner)
    return {
        "apiVersion": KINDS[DEPLOYMENT].api_version,
        "kind": DEPLOYMENT,
        "metadata": _metadata(spec.name, spec.namespace, labels, spec_hash(spec)),
        "spec": {
            "replicas": max(1, spec.replicas),
            "selector": {"matchLabels": {names.APP: spec.name}},
            "template": {"metadata": {"labels": labels}, "spec": _pod(spec)},
        },
    }


def job_manifest(spec: WorkloadSpec, owner: Owner) -> Json:
    """The Job of a job node: one completion, no deadline of its own, because a timeout must not count image pulls
    (E.6).
    """
    labels = _workload_labels(spec, owner)
    ttl = spec.ttl_seconds_after_finished
    return {
        "apiVersion": KINDS[JOB].api_version,
        "kind": JOB,
        "metadata": _metadata(spec.name, spec.namespace, labels, spec_hash(spec)),
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": spec.backoff_limit,
            **({} if ttl is None else {"ttlSecondsAfterFinished": ttl}),
            "podFailurePolicy": _NO_FAULT_OF_THE_POD,
            "template": {"metadata": {"labels": labels}, "spec": {**_pod(spec), "restartPolicy": "Never"}},
        },
    }


# An eviction, a drain or a preemption uses up none of the user's retries: the pod is run again.
_NO_FAULT_OF_THE_POD: Json = {
    "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
}


def service_manifest(spec: WorkloadSpec, owner: Owner) -> Json:
    """The Service in front of the workload. Raises ValueError when the spec asks for none."""
    service = spec.service
    if service is None or not service.ports:
        raise ValueError(f"{spec.name} asks for no Service.")
    return {
        "apiVersion": KINDS[SERVICE].api_version,
        "kind": SERVICE,
        "metadata": _metadata(service.name, spec.namespace, names.labels(owner), spec_hash(service)),
        "spec": {"type": service.type, "selector": {names.APP: spec.name}, "ports": _service_ports(service)},
    }


def spec_hash(spec: WorkloadSpec | Service) -> str:
    """The same for equal specs, in every process and release. Fields at their default do not count, so that a field
    added later changes no hash: a changed hash makes SecFlow replace running work.
    """
    text = json.dumps(_significant(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _significant(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        present = ((item.name, getattr(value, item.name), _default(item)) for item in fields(value))
        return {name: _significant(found) for name, found, default in present if found != default}
    if isinstance(value, tuple):
        return [_significant(item) for item in value]
    return value


def _default(item: Field[Any]) -> Any:
    return item.default if item.default is not MISSING else MISSING


def _workload_labels(spec: WorkloadSpec, owner: Owner) -> dict[str, str]:
    return {names.APP: spec.name, **names.labels(owner)}


def _metadata(name: str, namespace: str, labels: dict[str, str], fingerprint: str) -> Json:
    return {"name": name, "namespace": namespace, "labels": labels, "annotations": {names.SPEC_HASH: fingerprint}}


def _pod(spec: WorkloadSpec) -> Json:
    claims = list(dict.fromkeys(mount.claim for container in spec.containers for mount in container.mounts))
    volumes = {claim: f"volume-{position}" for position, claim in enumerate(claims)}
    called = names.container_names([container.name for container in spec.containers])
    containers = [
        _container(container, name, volumes, spec.service_ports if position == 0 else ())
        for position, (container, name) in enumerate(zip(spec.containers, called, strict=True))
    ]
    pod: Json = {"automountServiceAccountToken": False, "containers": containers}
    if volumes:
        pod["volumes"] = [
            {"name": name, "persistentVolumeClaim": {"claimName": claim}} for claim, name in volumes.items()
        ]
    return pod


def _container(container: Container, name: str, volumes: dict[str, str], ports: Sequence[ServicePort]) -> Json:
    made: Json = {"name": name, "image": container.image, "imagePullPolicy": container.image_pull_policy}
    if container.command is not None:
        made["command"] = list(container.command)
    if container.args is not None:
        made["args"] = list(container.args)
    if container.env:
        made["env"] = [{"name": key, "value": value} for key, value in container.env]
    if ports:
        made["ports"] = _container_ports(ports)
    if container.requests or container.limits:
        given = {"requests": dict(container.requests), "limits": dict(container.limits)}
        made["resources"] = {key: value for key, value in given.items() if value}
    if container.mounts:
        made["volumeMounts"] = [
            {
                "name": volumes[mount.claim],
                "mountPath": mount.path,
                **({"subPath": mount.sub_path} if mount.sub_path else {}),
                "readOnly": mount.read_only,
            }
            for mount in container.mounts
        ]
    if container.privileged:
        made["securityContext"] = {"privileged": True}
    if container.liveness_probe is not None:
        made["livenessProbe"] = _probe(container.liveness_probe)
    if container.readiness_probe is not None:
        made["readinessProbe"] = _probe(container.readiness_probe)
    return made


def _container_ports(ports: Sequence[ServicePort]) -> list[Json]:
    first: dict[tuple[int, str], ServicePort] = {}
    for port in ports:
        first.setdefault((port.target_port, port.protocol), port)
    distinct = list(first.values())
    called = names.container_port_names([port.name for port in distinct])
    return [
        {"name": name, "containerPort": port.target_port, "protocol": port.protocol}
        for port, name in zip(distinct, called, strict=True)
    ]


def _service_ports(service: Service) -> list[Json]:
    called = names.service_port_names([port.name for port in service.ports])
    return [
        {"name": name, "port": port.port, "targetPort": port.target_port, "protocol": port.protocol}
        for port, name in zip(service.ports, called, strict=True)
    ]


def _probe(probe: Probe) -> Json:
    action: dict[str, Json] = {
        "http": {"httpGet": {"path": probe.path, "port": probe.port}},
        "tcp": {"tcpSocket": {"port": probe.port}},
        "exec": {"exec": {"command": list(probe.command)}},
    }
    return {
        **action[probe.type],
        "initialDelaySeconds": probe.initial_delay_seconds,
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "failureThreshold": probe.failure_threshold,
        "successThreshold": probe.success_threshold,
    }
