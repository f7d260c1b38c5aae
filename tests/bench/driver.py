"""The floor: the least that any controller can do. It watches pods and creates the next Job; it keeps no records."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from k8s_bridge.gateway import Gateway
from k8s_bridge.kinds import collection_path
from k8s_bridge.manifests import job_manifest
from k8s_bridge.specs import JOB, Container, Owner, WorkloadSpec

INSTALLATION = "bench-driver"
INSTANCE = "bench-driver"


def spec_of(namespace: str, number: int) -> WorkloadSpec:
    """The same Job that SecFlow's bench templates give: one busybox container that runs `true`."""
    container = Container(name="main", image="busybox:latest", command=("true",))
    return WorkloadSpec(JOB, namespace, f"driver-{number}", (container,), backoff_limit=0)


class Driver:
    """Creates Jobs of one namespace by hand. Pods are told apart by the node id `n<number>`."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self.gateway = Gateway.connect(kubeconfig, installation=INSTALLATION)
        self.namespace = namespace
        self.gateway.ensure_namespace(namespace)

    def create(self, number: int) -> None:
        """One POST."""
        owner = Owner(INSTALLATION, "bench", INSTANCE, f"n{number}", 1, number + 1)
        body = job_manifest(spec_of(self.namespace, number), owner)
        self.gateway.client.request("POST", collection_path(JOB, self.namespace), body=body)

    def run_chain(self, length: int) -> None:
        """Creates Job n+1 as soon as the watch shows the pod of Job n Succeeded; returns when the last one is."""
        _, version = self.gateway.list_for_watch("Pod")
        self.create(0)
        done: set[str] = set()
        with self.gateway.watch("Pod", version, timeout=300) as events:
            for _, pod in events:
                node = (pod["metadata"].get("labels") or {}).get("secflow.io/node-id")
                if node is None or node in done or (pod.get("status") or {}).get("phase") != "Succeeded":
                    continue
                done.add(node)
                if len(done) == length:
                    return
                self.create(len(done))

    def run_fan(self, width: int, *, threads: int = 8) -> None:
        """Creates all Jobs at once, by a few threads, and returns when every pod is Succeeded."""
        _, version = self.gateway.list_for_watch("Pod")
        finished = threading.Event()

        def follow() -> None:
            done: set[str] = set()
            with self.gateway.watch("Pod", version, timeout=600) as events:
                for _, pod in events:
                    if (pod.get("status") or {}).get("phase") == "Succeeded":
                        done.add(pod["metadata"]["uid"])
                    if len(done) == width:
                        finished.set()
                        return

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(self.create, range(1000, 1000 + width)))
        if not finished.wait(600):
            raise TimeoutError("the driver's fan did not end within 600 s")

    def clean(self) -> None:
        """Removes everything that the driver made."""
        while self.gateway.delete_objects(self.namespace, INSTANCE).count:
            pass

    def close(self) -> None:
        self.gateway.close()
