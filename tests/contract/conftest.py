"""One cluster for the whole suite, one namespace for each test."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import ClusterError, NotFound
from k8s_bridge.gateway import Gateway
from k8s_bridge.names import namespace_of
from k8s_bridge.observations import Observation, observe
from k8s_bridge.specs import Container, Owner, WorkloadSpec

Json = dict[str, Any]
Found = TypeVar("Found")
PATIENCE = 60.0  # seconds; a real cluster pulls nothing here, but it may be busy
BUSYBOX = "busybox:latest"
PYTHON = "python:3.11-slim"


@dataclass(frozen=True)
class Stage:
    """A namespace of its own and the gateway, with the values that all tests share."""

    gateway: Gateway
    project_id: str
    namespace: str

    def owner(self, *, node: str = "a", attempt: int = 1, instance: str = "one") -> Owner:
        instance_id, node_id = f"wf-inst-{instance}-00000001", f"wf-node-{node}-00000001"
        return Owner(self.gateway.installation, self.project_id, instance_id, node_id, run=1, attempt=attempt)

    def job(self, *script: str, name: str = "wf-a", image: str = BUSYBOX, **more: Any) -> WorkloadSpec:
        container = Container("main", image, command=("sh", "-c", "\n".join(script)), **more.pop("container", {}))
        return WorkloadSpec("Job", self.namespace, name, (container,), **{"backoff_limit": 0, **more})

    def run(self, spec: WorkloadSpec, owner: Owner | None = None) -> Observation:
        """Starts a Job and waits for its end."""
        self.gateway.ensure_workload(spec, owner or self.owner())
        return self.wait_for(lambda: self.phase("Job", spec.name, "succeeded", "failed"), f"the end of {spec.name}")

    def look(self, kind: str) -> list[Observation]:
        """What the objects of one kind in this namespace say."""
        found = (observe(kind, item) for item in self.gateway.list_owned(kind))
        return [seen for seen in found if seen is not None and seen.namespace == self.namespace]

    def phase(self, kind: str, name: str, *wanted: str) -> Observation | None:
        """The observation of `name` (a pod: of its workload), once it has one of the wanted phases."""
        matches = (
            seen
            for seen in self.look(kind)
            if (seen.name == name or (kind == "Pod" and seen.name.startswith(f"{name}-"))) and seen.phase in wanted
        )
        return next(matches, None)

    def wait_for(self, look: Callable[[], Found | bool | None], what: str, *, seconds: float = PATIENCE) -> Found:
        give_up = time.monotonic() + seconds
        while True:
            found = look()
            if found is not None and found is not False:
                return found  # type: ignore[return-value]
            if time.monotonic() > give_up:
                pytest.fail(f"{what} did not come in {seconds:g} s; the cluster shows:\n{self.describe()}")
            time.sleep(0.1)

    def clear(self, owner: Owner, keep: frozenset[int] = frozenset()) -> None:
        self.wait_for(
            lambda: self.gateway.delete_objects(self.namespace, owner.instance_id, keep).count == 0, "the clean-up"
        )

    def describe(self) -> str:
        """For a failed test: what is there, and what the cluster complains about."""
        seen = [repr(one) for kind in ("Deployment", "Job", "Pod") for one in self.look(kind)]
        answer = self.gateway.client.request("GET", f"/api/v1/namespaces/{self.namespace}/events")
        events = [f"{item.get('reason')}: {item.get('message')}" for item in answer.get("items") or ()]
        return "\n".join(seen + events[-20:])


@pytest.fixture(scope="session")
def kubeconfig(cluster_kubeconfig: Path) -> str:
    """The local cluster, or the one that SECFLOW_TEST_KUBECONFIG names."""
    return str(cluster_kubeconfig)


@pytest.fixture(scope="session")
def gateway(kubeconfig: str) -> Iterator[Gateway]:
    made = Gateway.connect(kubeconfig, installation=f"test-{secrets.token_hex(4)}")
    yield made
    made.close()


@pytest.fixture
def stage(gateway: Gateway) -> Iterator[Stage]:
    project_id = f"t{secrets.token_hex(4)}"
    made = Stage(gateway, project_id, namespace_of(project_id))
    gateway.ensure_namespace(made.namespace)
    yield made
    with suppress(NotFound):
        gateway.client.request("DELETE", f"/api/v1/namespaces/{made.namespace}")


@pytest.fixture
def claim(stage: Stage) -> Iterator[str]:
    """The name of a volume claim that pods can use."""
    client = stage.gateway.client
    if _needs_volume(client):
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": stage.namespace},
            "spec": {
                "capacity": {"storage": "10Mi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": f"/tmp/{stage.namespace}", "type": "DirectoryOrCreate"},
                "claimRef": {"namespace": stage.namespace, "name": "shared"},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": "",
            },
        }
        client.request("POST", "/api/v1/persistentvolumes", body=volume)
    wanted = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shared", "namespace": stage.namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Mi"}},
            **({"storageClassName": ""} if _needs_volume(client) else {}),
        },
    }
    client.request("POST", f"/api/v1/namespaces/{stage.namespace}/persistentvolumeclaims", body=wanted)
    yield "shared"
    if _needs_volume(client):
        client.request("DELETE", f"/api/v1/persistentvolumes/{stage.namespace}")


def _needs_volume(client: ClusterClient) -> bool:
    """A cluster with storage classes but no default one makes no volumes for a claim without a class."""
    try:
        classes = client.request("GET", "/apis/storage.k8s.io/v1/storageclasses").get("items") or []
    except ClusterError:
        return False  # a cluster without classes at all serves claims by itself
    default = "storageclass.kubernetes.io/is-default-class"
    return not any((item["metadata"].get("annotations") or {}).get(default) == "true" for item in classes)
