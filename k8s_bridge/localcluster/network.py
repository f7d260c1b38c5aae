"""Addresses and ports of pods, and what their /etc/hosts says about Services."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from k8s_bridge.localcluster.controller import ANNOTATION, Object
from k8s_bridge.localcluster.store import Store

SHARED: Final = "127.0.0.1"
PORTS_ANNOTATION: Final = f"{ANNOTATION}ports"
_TAIL: Final = """127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
"""


@dataclass(frozen=True)
class Endpoint:
    """Where a pod is reached: `ports` maps each declared containerPort to the port on `address`."""

    address: str
    ports: dict[int, int] = field(default_factory=dict)

    def port(self, number: int) -> int:
        return self.ports.get(number, number)


def declared_ports(pod: Object) -> list[tuple[str, int]]:
    """(name or "", number) of every TCP containerPort, in order."""
    return [
        (port.get("name") or "", int(port["containerPort"]))
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    ]


def resolve_port(pod: Object, wanted: int | str) -> int | None:
    """The containerPort that a probe or a Service means by a number or a name; None for an unknown name."""
    if isinstance(wanted, int):
        return wanted
    if wanted.isdigit():
        return int(wanted)
    return next((number for name, number in declared_ports(pod) if name == wanted), None)


def can_bind(address: str, port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((address, port))
        except OSError:
            return False
    return True


class PodNetwork:
    """Gives each pod an address of `network` (such as 127.97) and ports, and takes them back.

    With `own_addresses` a pod's ports are its own and nearly always stay what they are; without, all pods share
    127.0.0.1 and a port that is taken is replaced by a free one.
    """

    def __init__(self, network: str, *, own_addresses: bool) -> None:
        self._network = network
        self._own_addresses = own_addresses
        self._given: dict[str, Endpoint] = {}
        self._last = 0

    def endpoint(self, pod_uid: str) -> Endpoint | None:
        return self._given.get(pod_uid)

    def assign(self, pod: Object) -> Endpoint:
        uid = pod["metadata"]["uid"]
        address = self._free_address() if self._own_addresses else SHARED
        # An app usually listens on every address: without one of its own, the port must be free on all of them.
        tried = address if self._own_addresses else ""
        taken = {port for other in self._given.values() if other.address == address for port in other.ports.values()}
        ports: dict[int, int] = {}
        for _, number in declared_ports(pod):
            if number in taken or not can_bind(tried, number):
                ports[number] = self._free_port(address, taken)
            else:
                ports[number] = number
            taken.add(ports[number])
        self._given[uid] = Endpoint(address, ports)
        return self._given[uid]

    def release(self, pod_uid: str) -> str | None:
        """Take a pod's address back; it is returned when no other pod has it."""
        given = self._given.pop(pod_uid, None)
        return given.address if given is not None and self._own_addresses else None

    def _free_address(self) -> str:
        used = {given.address for given in self._given.values()}
        while True:
            self._last = self._last % 64_000 + 1
            address = f"{self._network}.{self._last // 250}.{self._last % 250 + 1}"
            if address not in used:
                return address

    @staticmethod
    def _free_port(address: str, taken: set[int]) -> int:
        while True:
            with socket.socket() as free:
                free.bind((address, 0))
                port = int(free.getsockname()[1])
            if port not in taken:
                return port


def free_service_address(network: str, used: set[str]) -> str:
    """The first address of `network` that no Service has; 127.0.0.1 where only that one exists."""
    if not sys.platform.startswith("linux"):
        return SHARED
    for number in range(1, 64_000):
        address = f"{network}.{number // 250}.{number % 250 + 1}"
        if address not in used:
            return address
    raise RuntimeError("no address is left for a Service")


class HostsFiles:
    """One hosts file per pod. A change of the Services is written into the same file, so that running pods see it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files: dict[str, tuple[Path, Object, str]] = {}

    def add(self, pod: Object, address: str, path: Path) -> Path:
        self._files[pod["metadata"]["uid"]] = (path, pod, address)
        self._write(path, pod, address, self._store.list("Service")[0])
        return path

    def remove(self, pod_uid: str) -> None:
        self._files.pop(pod_uid, None)

    def refresh(self) -> None:
        services = self._store.list("Service")[0]
        for path, pod, address in self._files.values():
            self._write(path, pod, address, services)

    @staticmethod
    def _write(path: Path, pod: Object, address: str, services: list[Object]) -> None:
        namespace = pod["metadata"]["namespace"]
        lines = [_TAIL, f"{address} {pod['metadata']['name']}\n"]
        for service in services:
            ip = service["spec"].get("clusterIP")
            if not ip or ip == "None":
                continue
            name, space = service["metadata"]["name"], service["metadata"]["namespace"]
            names = [f"{name}.{space}", f"{name}.{space}.svc", f"{name}.{space}.svc.cluster.local"]
            if space == namespace:
                names.insert(0, name)
            lines.append(f"{ip} {' '.join(names)}\n")
        text = "".join(lines)
        # The sandbox holds this very file: it is overwritten in one go, never replaced.
        with open(path, "r+" if path.exists() else "w", encoding="ascii", errors="replace") as file:
            file.write(text)
            file.truncate()
        path.chmod(0o644)
