"""The one Node: this machine, and what its sandbox can and cannot do."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any, Final

import psutil

from k8s_bridge.localcluster.controller import ANNOTATION, RuntimeOptions
from k8s_bridge.localcluster.sandbox import INSTALL, Sandbox
from k8s_bridge.localcluster.store import Store, timestamp

# The version of the client that the server half was tried with; kubectl compares it with its own.
VERSION: Final = "v1.37.0+local"


def describe(sandbox: Sandbox) -> str:
    """One sentence for people: the mode, and how to get a better one."""
    text = f"pods run as local processes in sandbox mode {sandbox.mode}"
    if not sandbox.own_addresses:
        text += ", all on 127.0.0.1"
    if not sandbox.private_root:
        text += f"; most mounts are refused: {INSTALL} ({sandbox.why or 'this mode was asked for'})"
    return text


def register(store: Store, options: RuntimeOptions, sandbox: Sandbox) -> None:
    """Create or refresh the Node. Other nodes, of an earlier name, are removed."""
    for old in store.list("Node")[0]:
        if old["metadata"]["name"] != options.node_name:
            store.delete("Node", None, old["metadata"]["name"])
    labels = {
        "kubernetes.io/hostname": options.node_name,
        "kubernetes.io/os": sys.platform,
        "kubernetes.io/arch": architecture(),
        f"{ANNOTATION}sandbox": str(sandbox.mode),
    }
    annotations = {
        f"{ANNOTATION}sandbox": describe(sandbox),
        f"{ANNOTATION}own-addresses": str(sandbox.own_addresses).lower(),
    }
    found = store.find("Node", None, options.node_name)
    if found is None:
        store.create("Node", {"metadata": {"name": options.node_name, "labels": labels, "annotations": annotations}})
    else:
        meta = {**found["metadata"], "labels": labels, "annotations": annotations}
        store.update("Node", {**found, "metadata": meta})
    node = store.get("Node", None, options.node_name)
    store.update("Node", {**node, "status": _status(options, sandbox)}, subresource="status")


def _status(options: RuntimeOptions, sandbox: Sandbox) -> dict[str, Any]:
    now = timestamp(options.now())
    capacity = {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{psutil.virtual_memory().total // 1024}Ki",
        "pods": str(options.max_pods),
    }
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "LocalProcesses",
        "message": describe(sandbox),
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [ready],
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": options.node_name},
        ],
        "nodeInfo": {
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kernelVersion": platform.release(),
            "osImage": platform.platform(terse=True),
            "containerRuntimeVersion": "process://1",
            "kubeletVersion": VERSION,
            "kubeProxyVersion": VERSION,
            "operatingSystem": sys.platform,
            "architecture": architecture(),
        },
    }


def architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
