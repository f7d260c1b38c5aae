"""A project of the tests' own together with what its people do in the cluster by hand."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import NotFound, StaleVersion
from k8s_bridge.kinds import collection_path, object_path
from tests.e2e.driver import SECONDS, Driver, Json, at_once
from tests.stack import Stack, eventually

# The process takes its end at once; a shell that is the first process of a container does not by itself.
STAY = "trap 'exit 0' TERM; sleep 3600 & wait"
PYTHON = "python:3.11-slim"
WEB = "import http.server; http.server.test(http.server.SimpleHTTPRequestHandler, port=8080)"


def needs_real_cluster(reason: str) -> pytest.MarkDecorator:
    """Leaves a test out on the local cluster; `reason` says what that one lacks."""
    return pytest.mark.skipif(
        not os.environ.get("SECFLOW_TEST_KUBECONFIG"), reason=f"{reason}; name a Kubernetes by SECFLOW_TEST_KUBECONFIG"
    )


@dataclass
class Project(Driver):
    """A driver that also has the cluster in its hands."""

    client: ClusterClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = ClusterClient(self.stack.kubeconfig)

    @property
    def namespace(self) -> str:
        return f"secflow-{self.project}"

    def launch(self, instances: Mapping[str, str]) -> dict[str, str]:
        """Starts all of these, several at once."""
        ids = list(instances.values())
        at_once(len(ids), lambda number: self.act(ids[number], "start").ok())
        return dict(instances)

    def ended(self, instance_id: str, *, seconds: float = SECONDS) -> Json:
        return self.wait(instance_id, lambda found: found["status"] in ("succeeded", "failed"), seconds=seconds)

    def look(self, kind: str, name: str) -> Json | None:
        """The object as it is now, None when there is none."""
        try:
            found: Json = self.client.request("GET", object_path(kind, self.namespace, name))
        except NotFound:
            return None
        return found

    def object(self, node: Json) -> Json:
        """The Deployment or Job of a node."""
        found = self.look(node["k8s_resource_type"], node["k8s_resource_name"])
        assert found is not None, node
        return found

    def pods(self, node: Json) -> list[Json]:
        """Pods of the node that are not ending, the oldest first."""
        query = {"labelSelector": f"secflow.io/node-id={node['id']}"}
        found = self.client.request("GET", collection_path("Pod", self.namespace), query=query)["items"]
        staying = [item for item in found if not item["metadata"].get("deletionTimestamp")]
        return sorted(staying, key=lambda item: str(item["metadata"]["creationTimestamp"]))

    def create(self, kind: str, name: str, **body: Any) -> Json:
        path = collection_path(kind, self.namespace)
        versions = {"Job": "batch/v1", "Deployment": "apps/v1"}
        whole = {"apiVersion": versions.get(kind, "v1"), "kind": kind, "metadata": {"name": name}, **body}
        made: Json = self.client.request("POST", path, body=whole)
        return made

    def delete(self, kind: str, name: str) -> None:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        self.client.request("DELETE", object_path(kind, self.namespace, name), body=body)

    def edit(self, kind: str, name: str, change: Callable[[Json], None]) -> None:
        """Reads, changes and writes an object as `kubectl edit` does, and takes a fresh one when it changed meanwhile."""

        def written() -> bool:
            found = self.look(kind, name)
            assert found is not None, f"there is no {kind} {name}"
            change(found)
            try:
                self.client.request("PUT", object_path(kind, self.namespace, name), body=found)
            except StaleVersion:
                return False
            return True

        eventually(written, what=f"the change of {kind} {name}")

    def open_namespace(self, **labels: str) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}
        self.client.request("POST", "/api/v1/namespaces", body=body)

    def claim(self, name: str) -> str:
        """A claim of the default storage class, as users make it before a run."""
        path = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
        self.client.request("POST", path, body=body)
        return name

    def logs(self, instance_id: str, node: Json, **query: str) -> str:
        """What the node wrote, without time stamps."""
        path = f"/workflow-instances/{instance_id}/nodes/{node['id']}/logs"
        asked = "&".join(f"{key}={value}" for key, value in {"timestamps": "false", **query}.items())
        return str(self.call("GET", f"{path}?{asked}").ok()["logs"])

    def record(self, instance_id: str, node: Json) -> Json:
        """The newest kept record of a node, once its text has been fetched."""
        path = f"/workflow-instances/{instance_id}/logs?node_id={node['id']}"
        found: list[Json] = []

        def is_kept() -> bool:
            found[:] = self.call("GET", path).ok()["items"]
            return bool(found) and found[0]["execution_logs"]["fetched_at"] is not None

        eventually(is_kept, what=f"the text of {node['name']}")
        return found[0]


@contextmanager
def opened(stack: Stack, **labels: str) -> Iterator[Project]:
    """A project with its namespace; everything of it goes away in the end."""
    project = Project(stack, project=f"e2e-{secrets.token_hex(4)}")
    project.open_namespace(**labels)
    try:
        yield project
    finally:
        project.clear()
        project.client.close()


def mount(claim: str, path: str = "/data", **fields: Any) -> Json:
    return {"pvc_name": claim, "mount_path": path, **fields}


def web_app(**fields: Any) -> Json:
    """A container that answers HTTP on port 8080."""
    return {"image": PYTHON, "command": ["python", "-c", WEB], **fields}


def probe(kind: str, **fields: Any) -> Json:
    """A check that begins at once and comes every second."""
    return {"type": kind, "initial_delay_seconds": 0, "period_seconds": 1, **fields}
