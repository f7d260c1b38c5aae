"""The environment and the command line of a container. Nothing of the server's own environment gets in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from k8s_bridge.localcluster.controller import Object
from k8s_bridge.localcluster.images import LocalImage
from k8s_bridge.localcluster.store import Store
from k8s_bridge.localcluster.volumes import contents

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFERENCE: Final = re.compile(r"\$(?:\$|\(([-A-Za-z0-9_.]+)\))")
_SUBSCRIPT: Final = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


class ConfigError(Exception):
    """The environment cannot be made (yet): CreateContainerConfigError with this message."""


@dataclass(frozen=True)
class PodFacts:
    """What a container may ask about its pod. `ports` are (name or "", number to listen on) in declared order."""

    pod: Object
    address: str
    node: str
    ports: tuple[tuple[str, int], ...]


def expand(text: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` becomes the value of NAME; an unknown name stays as it is; `$$` is one `$`."""

    def value(found: re.Match[str]) -> str:
        if found[1] is None:
            return "$"
        return env.get(found[1], found[0])

    return _REFERENCE.sub(value, text)


def environment(
    store: Store, container: Object, image: LocalImage, facts: PodFacts, services: Mapping[str, str]
) -> dict[str, str]:
    """All variables of a container: minimal ones, of the image, ports, Services, envFrom, env; the later wins."""
    namespace = facts.pod["metadata"]["namespace"]
    env = {"PATH": ":".join((*image.path, _PATH)), "HOME": "/root", "HOSTNAME": facts.pod["metadata"]["name"][:63]}
    env |= image.env
    if facts.ports:
        env["PORT"] = str(facts.ports[0][1])
        env |= {f"PORT_{_name(name)}": str(port) for name, port in facts.ports if name}
    env |= services
    for source in container.get("envFrom") or ():
        env |= _all_of(store, namespace, source)
    for item in container.get("env") or ():
        if "valueFrom" in item:
            value = _value_from(store, item["valueFrom"], facts)
            if value is not None:
                env[item["name"]] = value
        else:
            env[item["name"]] = expand(item.get("value") or "", env)
    return env


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", text).upper()


def _find(store: Store, namespace: str, kind: str, source: Object) -> Object | None:
    name = source.get("name") or ""
    found = store.find(kind, namespace, name)
    if found is None and not source.get("optional"):
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    return found


def _all_of(store: Store, namespace: str, source: Object) -> dict[str, str]:
    kind = "ConfigMap" if "configMapRef" in source else "Secret"
    reference = source["configMapRef" if kind == "ConfigMap" else "secretRef"]
    found = _find(store, namespace, kind, reference)
    prefix = source.get("prefix") or ""
    return {} if found is None else {prefix + key: _text(value) for key, value in contents(found).items()}


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def _value_from(store: Store, source: Object, facts: PodFacts) -> str | None:
    for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if key in source:
            namespace = facts.pod["metadata"]["namespace"]
            found = _find(store, namespace, kind, source[key])
            values = {} if found is None else contents(found)
            wanted = source[key]["key"]
            if wanted in values:
                return _text(values[wanted])
            if source[key].get("optional"):
                return None
            raise ConfigError(f"couldn't find key {wanted} in {kind} {namespace}/{source[key]['name']}")
    if "fieldRef" in source:
        return _field(source["fieldRef"].get("fieldPath") or "", facts)
    raise ConfigError(f"the local cluster cannot give a value from {', '.join(source)}; use a real cluster for it")


def _field(path: str, facts: PodFacts) -> str:
    meta, spec = facts.pod["metadata"], facts.pod["spec"]
    known = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": facts.node,
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": "127.0.0.1",
        "status.podIP": facts.address,
        "status.podIPs": facts.address,
    }
    if path in known:
        return str(known[path])
    if found := _SUBSCRIPT.match(path):
        return str((meta.get(found[1]) or {}).get(found[2], ""))
    raise ConfigError(f"the local cluster does not know the field {path}; use a real cluster for it")


def service_variables(services: list[Object], ports_of: Mapping[str, Mapping[int, int]]) -> dict[str, str]:
    """`{NAME}_SERVICE_HOST` and its relatives for the Services of a namespace. `ports_of` gives, by the Service's uid,
    ports that had to be replaced on this host."""
    env: dict[str, str] = {}
    for service in services:
        address = service["spec"].get("clusterIP")
        ports = service["spec"].get("ports") or []
        if not address or address == "None" or not ports:
            continue
        name = _name(service["metadata"]["name"])
        replaced = ports_of.get(service["metadata"]["uid"], {})
        numbers = [replaced.get(port["port"], port["port"]) for port in ports]
        env[f"{name}_SERVICE_HOST"] = address
        env[f"{name}_SERVICE_PORT"] = str(numbers[0])
        env[f"{name}_PORT"] = f"tcp://{address}:{numbers[0]}"
        for port, number in zip(ports, numbers, strict=True):
            if port.get("name"):
                env[f"{name}_SERVICE_PORT_{_name(port['name'])}"] = str(number)
            start = f"{name}_PORT_{port['port']}_TCP"
            env |= {start: f"tcp://{address}:{number}", f"{start}_PROTO": "tcp"}
            env |= {f"{start}_PORT": str(number), f"{start}_ADDR": address}
    return env


def with_addresses(env: Mapping[str, str], services: list[Object]) -> dict[str, str]:
    """For hosts without a private /etc/hosts: a value that is exactly a Service's name becomes its address."""
    addresses = {service["metadata"]["name"]: service["spec"].get("clusterIP") for service in services}
    return {key: addresses.get(value) or value for key, value in env.items()}
