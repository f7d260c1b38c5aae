"""What makes the spec of a pod invalid, in a Pod or in a template. Types are checked and defaults filled before."""

from __future__ import annotations

from typing import Any, Final

from k8s_bridge.localcluster import quantities
from k8s_bridge.localcluster.field_errors import (
    DNS_LABEL,
    LABEL_RULE,
    PORT_NAME_RULE,
    FieldErrors,
    is_port,
    is_port_name,
)

Object = dict[str, Any]

PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_HANDLERS: Final = ("exec", "grpc", "httpGet", "tcpSocket")
_PORT_RULE: Final = "must be between 1 and 65535, inclusive"


def check_pod_spec(errors: FieldErrors, spec: Object, path: str) -> None:
    """Note everything that is wrong with `spec`, whose place in the object is `path`."""
    _choice(errors, f"{path}.restartPolicy", spec["restartPolicy"], ("Always", "OnFailure", "Never"))
    errors.at_least(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"), 0)
    errors.at_least(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1)
    volumes = _check_volumes(errors, spec.get("volumes") or [], f"{path}.volumes")
    if not spec.get("containers"):
        errors.required(f"{path}.containers")
    names: set[str] = set()
    for key in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(key) or ()):
            place = f"{path}.{key}[{at}]"
            _check_name(errors, f"{place}.name", container.get("name"), names)
            _check_container(errors, container, place, volumes)


def _choice(errors: FieldErrors, path: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        errors.unsupported(path, value, allowed)


def _check_name(errors: FieldErrors, path: str, name: Any, seen: set[str]) -> None:
    if name is None:
        return
    if not name:
        errors.required(path)
    elif not DNS_LABEL.fullmatch(name):
        errors.invalid(path, name, LABEL_RULE)
    elif name in seen:
        errors.duplicate(path, name)
    seen.add(name)


def _check_volumes(errors: FieldErrors, volumes: list[Object], path: str) -> set[str]:
    names: set[str] = set()
    for at, volume in enumerate(volumes):
        place = f"{path}[{at}]"
        _check_name(errors, f"{place}.name", volume.get("name"), names)
        if len(volume) > 2:
            for extra in sorted(set(volume) - {"name"})[1:]:
                errors.forbidden(f"{place}.{extra}", "may not specify more than 1 volume type")
        if volume.get("persistentVolumeClaim") == {"claimName": ""}:
            errors.required(f"{place}.persistentVolumeClaim.claimName")
    return names


def _check_container(errors: FieldErrors, container: Object, path: str, volumes: set[str]) -> None:
    if not container.get("image"):
        errors.required(f"{path}.image")
    elif container["image"] != container["image"].strip():
        errors.invalid(f"{path}.image", container["image"], "must not have leading or trailing whitespace")
    _choice(errors, f"{path}.imagePullPolicy", container["imagePullPolicy"], ("Always", "IfNotPresent", "Never"))
    _check_ports(errors, container.get("ports") or [], f"{path}.ports")
    _check_env(errors, container.get("env") or [], f"{path}.env")
    _check_resources(errors, container["resources"], f"{path}.resources")
    mounted: set[str] = set()
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        place = f"{path}.volumeMounts[{at}]"
        if "name" in mount and mount["name"] not in volumes:
            errors.missing(f"{place}.name", mount["name"])
        target = mount.get("mountPath")
        if target == "":
            errors.required(f"{place}.mountPath")
        elif target in mounted:
            errors.invalid(f"{place}.mountPath", target, "must be unique")
        elif target and ":" in target:
            errors.invalid(f"{place}.mountPath", target, "must not contain ':'")
        mounted.add(target)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _check_probe(errors, container[name], f"{path}.{name}", name)


def _check_ports(errors: FieldErrors, ports: list[Object], path: str) -> None:
    names: set[str] = set()
    for at, port in enumerate(ports):
        place = f"{path}[{at}]"
        if "containerPort" in port and not is_port(port["containerPort"]):
            errors.invalid(f"{place}.containerPort", port["containerPort"], _PORT_RULE)
        if port.get("hostPort") is not None and not is_port(port["hostPort"]):
            errors.invalid(f"{place}.hostPort", port["hostPort"], _PORT_RULE)
        _choice(errors, f"{place}.protocol", port["protocol"], PROTOCOLS)
        name = port.get("name")
        if name:
            if not is_port_name(name):
                errors.invalid(f"{place}.name", name, PORT_NAME_RULE)
            elif name in names:
                errors.duplicate(f"{place}.name", name)
            names.add(name)


def _check_env(errors: FieldErrors, env: list[Object], path: str) -> None:
    for at, variable in enumerate(env):
        name = variable.get("name")
        if name == "":
            errors.required(f"{path}[{at}].name")
        elif name and "=" in name:
            errors.invalid(f"{path}[{at}].name", name, "must not contain '='")
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            errors.invalid(f"{path}[{at}].valueFrom", "", "may not be specified when `value` is not empty")
        if len(source) != 1:
            detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            errors.invalid(f"{path}[{at}].valueFrom", "", detail)


def _check_resources(errors: FieldErrors, resources: Object, path: str) -> None:
    limits = resources.get("limits") or {}
    for section in ("limits", "requests"):
        for name, amount in (resources.get(section) or {}).items():
            check_quantity(errors, f"{path}.{section}[{name}]", amount)
    for name, amount in (resources.get("requests") or {}).items():
        asked, most = quantities.parse(amount), quantities.parse(limits.get(name, ""))
        if asked is not None and most is not None and asked > most:
            errors.invalid(f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limits[name]}")


def check_quantity(errors: FieldErrors, path: str, amount: str) -> None:
    parsed = quantities.parse(amount)
    if parsed is not None and parsed < 0:
        errors.invalid(path, amount, "must be greater than or equal to 0")


def _check_probe(errors: FieldErrors, probe: Object, path: str, kind: str) -> None:
    handlers = [name for name in _HANDLERS if name in probe]
    if not handlers:
        errors.required(path, "must specify a handler type")
    for extra in handlers[1:]:
        errors.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    errors.at_least(f"{path}.initialDelaySeconds", probe.get("initialDelaySeconds"), 0)
    for name in ("timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        errors.at_least(f"{path}.{name}", probe.get(name), 1)
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        errors.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")
    if "exec" in probe and not probe["exec"].get("command"):
        errors.required(f"{path}.exec.command")
    for name in ("httpGet", "tcpSocket"):
        port = probe.get(name, {}).get("port")
        if isinstance(port, int) and not is_port(port):
            errors.invalid(f"{path}.{name}.port", port, _PORT_RULE)
        elif isinstance(port, str) and not is_port_name(port):
            errors.invalid(f"{path}.{name}.port", port, PORT_NAME_RULE)
    if "httpGet" in probe:
        _choice(errors, f"{path}.httpGet.scheme", probe["httpGet"]["scheme"], ("HTTP", "HTTPS"))
