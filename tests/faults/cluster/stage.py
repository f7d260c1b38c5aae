"""What the scenarios of this folder share: a project behind the faulty proxy, and the checks that end each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import NotFound
from k8s_bridge.kinds import collection_path, object_path
from tests.e2e.driver import Driver, Json, nodes_by_name
from tests.faults.cluster_faults import Fault, FaultPlan, Rule
from tests.faults.cluster_proxy import ClusterProxy
from tests.faults.invariants import check
from tests.stack import Witness, eventually

real_cluster_only = pytest.mark.skipif(
    not os.environ.get("SECFLOW_TEST_KUBECONFIG"),
    reason="the local cluster has no such part; name a Kubernetes by SECFLOW_TEST_KUBECONFIG",
)
OBJECTS = ("Deployment", "Job", "Service", "Pod")


@dataclass
class Stage:
    """One project. `cluster` is the direct way to the cluster, past the proxy."""

    driver: Driver
    proxy: ClusterProxy
    cluster: ClusterClient
    witness: Witness
    foreign: list[tuple[str, str]] = field(default_factory=list)  # (kind, name) of what is not SecFlow's

    @property
    def namespace(self) -> str:
        return f"secflow-{self.driver.project}"

    @property
    def plan(self) -> FaultPlan:
        return self.proxy.plan

    def rule(self, *faults: Fault, **fields: Any) -> Rule:
        """A rule for the requests of this project alone."""
        return Rule(faults, within=f"/namespaces/{self.namespace}/", **fields)

    def start(self, *instance_ids: str) -> None:
        """Starts them, as a client that asks again when SecFlow answers that the cluster cannot be used now."""
        for instance_id in instance_ids:
            eventually(lambda one=instance_id: self._is_started(one), seconds=60, what="a start")  # type: ignore[misc]

    def _is_started(self, instance_id: str) -> bool:
        answer = self.driver.act(instance_id, "start")
        if answer.status == 200:
            return True
        assert "the cluster cannot be used now" in answer.refused(500, "INTERNAL_ERROR")["message"]
        return False

    def node(self, instance_id: str, name: str) -> Json:
        return nodes_by_name(self.driver.read(instance_id))[name]

    def wait_for_node(self, instance_id: str, name: str, *statuses: str, seconds: float = 90) -> Json:
        """The node as soon as it has one of the statuses."""
        found = self.driver.wait(
            instance_id, lambda instance: nodes_by_name(instance)[name]["status"] in statuses, seconds=seconds
        )
        return nodes_by_name(found)[name]

    def wait_for_words(self, instance_id: str, name: str, words: str, *, seconds: float = 60) -> Json:
        """The node as soon as its message contains the words."""
        found = self.driver.wait(
            instance_id, lambda instance: words in (nodes_by_name(instance)[name]["message"] or ""), seconds=seconds
        )
        return nodes_by_name(found)[name]

    def read(self, kind: str, name: str) -> Json | None:
        try:
            return self.cluster.request("GET", object_path(kind, self.namespace, name))
        except NotFound:
            return None

    def list(self, kind: str) -> list[Json]:
        found: list[Json] = self.cluster.request("GET", collection_path(kind, self.namespace)).get("items") or []
        return found

    def wait_for_object(self, kind: str, instance_id: str, name: str, *, seconds: float = 60) -> Json:
        """The Deployment or Job of the node, once it is in the cluster."""
        found: list[Json] = []

        def is_there() -> bool:
            resource = self.node(instance_id, name)["k8s_resource_name"]
            obj = self.read(kind, resource) if resource else None
            found.extend([obj] if obj is not None else [])
            return bool(found)

        eventually(is_there, seconds=seconds, what=f"the {kind} of {name}")
        return found[0]

    def delete(self, kind: str, name: str) -> None:
        """As somebody with kubectl does."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        self.cluster.request("DELETE", object_path(kind, self.namespace, name), body=options)

    def make_foreign(self, kind: str, name: str, *, dry_run: bool = False) -> str:
        """An object that is not SecFlow's; its uid. `dry_run`: the API server only says whether it would take it."""
        body = _FOREIGN[kind] | {"kind": kind, "metadata": {"name": name}}
        query = {"dryRun": "All"} if dry_run else None
        made = self.cluster.request("POST", collection_path(kind, self.namespace), query=query, body=body)
        if not dry_run:
            self.foreign.append((kind, name))
        return str(made["metadata"]["uid"])

    def make_claim(self, name: str) -> None:
        """A claim of the default storage class, as users make it before a run."""
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
        path = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        self.cluster.request("POST", path, body={"metadata": {"name": name}, "spec": spec})

    def run_foreign_pod(self, name: str, script: str, *, claim: str) -> None:
        """Starts a pod that is not SecFlow's, past the proxy, with the claim at /data."""
        container = {"name": "main", "image": "busybox:latest", "command": ["sh", "-c", script]}
        container["imagePullPolicy"] = "IfNotPresent"
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
        self.cluster.request(
            "POST", collection_path("Pod", self.namespace), body={"metadata": {"name": name}, "spec": spec}
        )

    def made(self, resource: str = "jobs") -> dict[str, int]:
        """How often the API server made each object of this project."""
        paths = self.proxy.created(resource, within=f"/namespaces/{self.namespace}/")
        return {path.rpartition("/")[2]: paths.count(path) for path in paths}

    def check_invariants(self) -> None:
        """Invariant check I; then everything is removed, and only what is foreign may be left."""
        assert self.witness.doubles() == []
        pods = [item["metadata"]["name"] for item in self.list("Pod") if self._is_foreign_pod(item)]
        check(self.driver.stack, foreign=[*(name for _, name in self.foreign), *pods])
        for instance_id in self.driver.made:
            self.driver.removed(instance_id)
        kept = sorted(self.foreign)
        eventually(lambda: self._objects() == kept, seconds=60, what="an empty project")

    def _objects(self) -> list[tuple[str, str]]:
        """What is in the namespace, whoever made it; pods that are ending or belong to foreign objects are left out."""
        return sorted(
            (kind, item["metadata"]["name"])
            for kind in OBJECTS
            for item in self.list(kind)
            if kind != "Pod" or not (item["metadata"].get("deletionTimestamp") or self._is_foreign_pod(item))
        )

    def _is_foreign_pod(self, pod: Json) -> bool:
        owners = {(item["kind"], item["name"]) for item in pod["metadata"].get("ownerReferences") or ()}
        return bool(owners & set(self.foreign))


_FOREIGN: dict[str, Json] = {
    "Job": {
        "apiVersion": "batch/v1",
        "spec": {
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "main", "image": "busybox:latest", "command": ["sleep", "3600"]}],
                }
            }
        },
    },
    "Service": {"apiVersion": "v1", "spec": {"selector": {"app": "foreign"}, "ports": [{"port": 80}]}},
}


def at(text: str) -> datetime:
    """A time of the API or of the cluster, without its zone: both are UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=None)


@contextmanager
def project(driver: Driver, proxy: ClusterProxy, kubeconfig: str, witness: Witness) -> Iterator[Stage]:
    """A stage in a new namespace, which is removed at the end with all that is left in it."""
    client = ClusterClient(kubeconfig)
    stage = Stage(driver, proxy, client, witness)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": stage.namespace}}
    client.request("POST", collection_path("Namespace"), body=body)
    try:
        yield stage
    finally:
        driver.clear()
        client.close()
