"""Services: a stable loopback address each, and a TCP forwarder to its ready pods."""

from __future__ import annotations

import errno
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from k8s_bridge.localcluster.controller import (
    ANNOTATION,
    Controller,
    Key,
    Object,
    is_deleting,
    is_finished,
    is_ready,
    key_of,
)
from k8s_bridge.localcluster.events import Recorder
from k8s_bridge.localcluster.forwarding import Forwarder
from k8s_bridge.localcluster.network import SHARED, Endpoint, PodNetwork, can_bind, free_service_address, resolve_port
from k8s_bridge.localcluster.store import Store

logger = logging.getLogger(__name__)

REPLACED_ANNOTATION: Final = f"{ANNOTATION}replaced-ports"
_NODE_PORTS: Final = range(30_000, 32_768)
_RETRY: Final = 5.0


@dataclass
class _Served:
    """What is open for one Service: a forwarder per (address, port), and the ports that had to be replaced."""

    forwarders: dict[tuple[str, int], Forwarder] = field(default_factory=dict)
    replaced: dict[int, int] = field(default_factory=dict)
    targets: dict[int, list[tuple[str, int]]] = field(default_factory=dict)


class ServiceController(Controller):
    def __init__(self, store: Store, network: PodNetwork, addresses: str, events: Recorder) -> None:
        super().__init__(store)
        self._addresses = addresses
        self._network = network
        self._events = events
        self._served: dict[str, _Served] = {}
        self._keys: dict[str, Key] = {}

    def replaced_ports(self) -> Mapping[str, Mapping[int, int]]:
        """By the uid of a Service: ports that could not be had, and what they became."""
        return {uid: served.replaced for uid, served in self._served.items() if served.replaced}

    def handle(self, type: str, kind: str, obj: Object) -> None:
        if kind == "Service":
            if type == "DELETED":
                self._close(obj["metadata"]["uid"])
            else:
                self.wake(key_of(obj))
            return
        labels = obj["metadata"].get("labels") or {}
        namespace = obj["metadata"]["namespace"]
        for key in self._keys.values():
            if key[0] == namespace:
                service = self.store.find("Service", *key)
                if service is not None and _selects(service, labels):
                    self.wake(key)

    def reconcile(self, key: Key) -> None:
        service = self.store.find("Service", *key)
        if service is None or is_deleting(service):
            return
        uid = service["metadata"]["uid"]
        if service["spec"].get("type") == "ExternalName" or service["spec"].get("clusterIP") == "None":
            self._close(uid)
            return
        service = self._with_address(service)
        self._keys[uid] = key
        served = self._served.setdefault(uid, _Served())
        self._listen(service, served)

    def close(self) -> None:
        for uid in list(self._served):
            self._close(uid)

    def _close(self, uid: str) -> None:
        self._keys.pop(uid, None)
        served = self._served.pop(uid, None)
        for forwarder in served.forwarders.values() if served else ():
            forwarder.close()

    # Addresses

    def _with_address(self, service: Object) -> Object:
        spec = service["spec"]
        new = dict(spec)
        # An address of another range was given by an earlier run and may belong to another cluster by now.
        if not _is_in(spec.get("clusterIP"), self._addresses):
            used = {other["spec"].get("clusterIP", "") for other in self.store.list("Service")[0]}
            new["clusterIP"] = free_service_address(self._addresses, used)
            new["clusterIPs"] = [new["clusterIP"]]
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            new["ports"] = [self._with_node_port(port) for port in spec.get("ports") or ()]
        if new != spec:
            service = self.store.update("Service", {**service, "spec": new})
        if spec.get("type") == "LoadBalancer":
            ingress = {"ingress": [{"ip": service["spec"]["clusterIP"]}]}
            service = self.set_status(service, {**(service.get("status") or {}), "loadBalancer": ingress})
        return service

    def _with_node_port(self, port: Object) -> Object:
        if port.get("nodePort"):
            return port
        services = self.store.list("Service")[0]
        used = {other.get("nodePort") for service in services for other in service["spec"].get("ports") or ()}
        return {**port, "nodePort": next(n for n in _NODE_PORTS if n not in used and can_bind("127.0.0.1", n))}

    # Endpoints

    def _endpoints(self, service: Object) -> list[tuple[Object, Endpoint]]:
        selector = service["spec"].get("selector") or {}
        if not selector:
            return []
        all_of_them = bool(service["spec"].get("publishNotReadyAddresses"))
        found = []
        for pod in self.store.list("Pod", service["metadata"]["namespace"])[0]:
            endpoint = self._network.endpoint(pod["metadata"]["uid"])
            if endpoint is None or is_finished(pod) or not _selects(service, pod["metadata"].get("labels") or {}):
                continue
            if (is_ready(pod) or all_of_them) and not is_deleting(pod):
                found.append((pod, endpoint))
        return found

    def _listen(self, service: Object, served: _Served) -> None:
        """A port is open exactly while a pod is ready behind it: without one, a connection is refused."""
        endpoints = self._endpoints(service)
        wanted: dict[tuple[str, int], int] = {}
        served.targets = {}
        for port in service["spec"].get("ports") or ():
            if port.get("protocol", "TCP") != "TCP":
                continue
            served.targets[port["port"]] = _targets(port, endpoints)
            if served.targets[port["port"]]:
                wanted[(service["spec"]["clusterIP"], port["port"])] = port["port"]
                if port.get("nodePort"):
                    wanted[("127.0.0.1", port["nodePort"])] = port["port"]
        for place in set(served.forwarders) - set(wanted):
            served.forwarders.pop(place).close()
        for place, number in wanted.items():
            if place not in served.forwarders:
                self._open(service, served, place, number)
        self._publish_replaced(service, served)

    def _open(self, service: Object, served: _Served, place: tuple[str, int], number: int) -> None:
        targets = _chooser(served, number)
        try:
            listener = _listener(*place)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise
            if place[1] != number:
                text = f"node port {place[1]} cannot be opened on 127.0.0.1: {error.strerror}"
                self._events.warning(service, "PortUnavailable", text)
                self.wake(key_of(service), _RETRY)
                return
            free = _listener(place[0], served.replaced.get(number, 0))
            served.replaced[number] = free.getsockname()[1]
            text = (
                f"port {number} of {place[0]} cannot be opened on this host ({error.strerror}): the Service listens on "
                f"port {served.replaced[number]} instead; pods started from now on find it in their environment"
            )
            self._events.warning(service, "PortReplaced", text)
            listener = free
        served.forwarders[place] = Forwarder(listener, targets)

    def _publish_replaced(self, service: Object, served: _Served) -> None:
        annotations = dict(service["metadata"].get("annotations") or {})
        text = json.dumps({str(port): to for port, to in served.replaced.items()})
        if served.replaced and annotations.get(REPLACED_ANNOTATION) != text:
            annotations[REPLACED_ANNOTATION] = text
            meta = {**service["metadata"], "annotations": annotations}
            self.store.update("Service", {**service, "metadata": meta})


def _is_in(address: str | None, network: str) -> bool:
    return bool(address) and (address == SHARED or str(address).startswith(network + "."))


def _selects(service: Object, labels: Mapping[str, str]) -> bool:
    selector = service["spec"].get("selector") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def _targets(port: Object, endpoints: list[tuple[Object, Endpoint]]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for pod, endpoint in endpoints:
        number = resolve_port(pod, port.get("targetPort") or port["port"])
        if number is not None:
            found.append((endpoint.address, endpoint.port(number)))
    return found


def _chooser(served: _Served, number: int) -> Callable[[], list[tuple[str, int]]]:
    """The targets in the order to try them: each call starts with the next one."""
    turn = 0

    def choose() -> list[tuple[str, int]]:
        nonlocal turn
        targets = served.targets.get(number, [])
        if not targets:
            return []
        turn = (turn + 1) % len(targets)
        return targets[turn:] + targets[:turn]

    return choose


def _listener(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
