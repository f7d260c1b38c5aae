"""The half of the local cluster that acts: pods as processes, and the controllers."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Final, Protocol

from k8s_bridge.localcluster import nodes, podstatus, sandbox
from k8s_bridge.localcluster.address_range import AddressRange, claim_range
from k8s_bridge.localcluster.claims import ClaimController
from k8s_bridge.localcluster.controller import NODE_LOST, Controller, Object, RuntimeOptions, is_finished
from k8s_bridge.localcluster.deployments import DeploymentController
from k8s_bridge.localcluster.events import Recorder, drop_old_events
from k8s_bridge.localcluster.garbage import GarbageCollector
from k8s_bridge.localcluster.images import ImageMap
from k8s_bridge.localcluster.jobs import JobController
from k8s_bridge.localcluster.leftovers import Leftovers
from k8s_bridge.localcluster.linked_mounts import LinkedMounts
from k8s_bridge.localcluster.namespaces import NamespaceController
from k8s_bridge.localcluster.network import HostsFiles, PodNetwork
from k8s_bridge.localcluster.pods import PodManager, Shared
from k8s_bridge.localcluster.sandbox import Mode
from k8s_bridge.localcluster.services import ServiceController
from k8s_bridge.localcluster.store import Store, timestamp

__all__ = ["Mode", "Runtime", "RuntimeOptions"]

logger = logging.getLogger(__name__)

_KINDS: Final = (
    "Namespace", "Pod", "Job", "Deployment", "Service", "PersistentVolumeClaim", "ConfigMap", "Secret",
)  # fmt: skip
_LOST_TEXT: Final = "The local cluster was stopped while the pod was running; its processes ended with it."


class _Handler(Protocol):
    def handle(self, type: str, kind: str, obj: Object) -> None: ...


class Runtime:
    """Runs what is in `store`. `data_dir` holds logs, claims and pods' files; it must belong to this runtime alone.

    SandboxError, ImageMapError, NoRangeLeft or StateError from `start` when the options cannot be met on this host.
    """

    def __init__(self, store: Store, data_dir: Path, options: RuntimeOptions | None = None) -> None:
        self._store = store
        self._data_dir = data_dir.resolve()
        self._options = options or RuntimeOptions()
        self._tasks: list[asyncio.Task[None]] = []
        self._shared: Shared | None = None
        self._range: AddressRange | None = None
        self._pods: PodManager | None = None
        self._services: ServiceController | None = None

    @property
    def mode(self) -> Mode:
        """The sandbox mode that was found to work; known after `start`."""
        if self._shared is None:
            raise RuntimeError("the runtime is not started")
        return self._shared.sandbox.mode

    @property
    def description(self) -> str:
        """One sentence about the sandbox, for logs and banners."""
        if self._shared is None:
            raise RuntimeError("the runtime is not started")
        return nodes.describe(self._shared.sandbox)

    async def start(self) -> None:
        """Clear up after an earlier run, find the sandbox, register the Node, start every controller."""
        store, options, folder = self._store, self._options, self._data_dir
        folder.mkdir(parents=True, exist_ok=True)
        images = ImageMap.load(options.image_map)
        leftovers = Leftovers(folder)
        await asyncio.to_thread(leftovers.kill)
        linked = LinkedMounts(folder)
        linked.remove_leftovers()
        await asyncio.to_thread(shutil.rmtree, folder / "pods", ignore_errors=True)
        self._range = claim_range(folder)
        try:
            chosen, launcher = await sandbox.choose(folder, options.sandbox)
        except sandbox.SandboxError:
            self._range.release()
            raise
        self._mark_lost()
        drop_old_events(store, options.now())
        nodes.register(store, options, chosen)
        logger.info("local cluster runtime started", extra={"sandbox": nodes.describe(chosen)})

        def recorder(component: str) -> Recorder:
            return Recorder(store, options.now, component, options.node_name if component == "kubelet" else "")

        network = PodNetwork(self._range.pods, own_addresses=chosen.own_addresses)
        self._services = ServiceController(store, network, self._range.services, recorder("service-controller"))
        self._shared = shared = Shared(
            store=store,
            data_dir=folder,
            options=options,
            sandbox=chosen,
            launcher=launcher,
            images=images,
            kubelet=recorder("kubelet"),
            scheduler=recorder("default-scheduler"),
            network=network,
            hosts=HostsFiles(store),
            linked_mounts=linked,
            leftovers=leftovers,
            replaced_ports=self._services.replaced_ports,
        )
        self._pods = PodManager(shared)
        self._serve(
            ClaimController(store, folder, recorder("persistentvolume-controller")),
            JobController(store, options, recorder("job-controller")),
            DeploymentController(store, options, recorder("deployment-controller")),
            GarbageCollector(store),
        )

    def _mark_lost(self) -> None:
        """Pods that had been given to the node when the last run ended are Failed: their controllers make new ones."""
        now = timestamp(self._options.now())
        for pod in self._store.list("Pod")[0]:
            if pod["spec"].get("nodeName") and not is_finished(pod):
                status = podstatus.lost(pod, NODE_LOST, _LOST_TEXT, now)
                self._store.update("Pod", {**pod, "status": status}, subresource="status")

    def _serve(
        self,
        claims: ClaimController,
        jobs: JobController,
        deployments: DeploymentController,
        garbage: GarbageCollector,
    ) -> None:
        store, services, pods = self._store, self._services, self._pods
        assert services is not None
        assert pods is not None
        namespaces = NamespaceController(store)
        controllers: list[Controller] = [claims, jobs, deployments, services, garbage, namespaces]
        everyone: tuple[_Handler, ...] = (garbage, namespaces)
        handlers: dict[str, tuple[_Handler, ...]] = {
            "Pod": (pods, jobs, deployments, services, claims, *everyone),
            "Job": (jobs, *everyone),
            "Deployment": (deployments, *everyone),
            "Service": (services, pods, *everyone),
            "PersistentVolumeClaim": (claims, pods, *everyone),
            "ConfigMap": (pods, *everyone),
            "Secret": (pods, *everyone),
            "Namespace": everyone,
        }
        queue = store.subscribe(*_KINDS)
        first = [("ADDED", kind, obj) for kind in _KINDS for obj in store.list(kind)[0]]
        garbage.start()

        async def dispatch() -> None:
            try:
                for type, kind, obj in first:
                    _dispatch(handlers[kind], type, kind, obj)
                while True:
                    type, kind, obj = await queue.get()
                    _dispatch(handlers[kind], type, kind, obj)
            finally:
                queue.close()

        self._tasks = [asyncio.create_task(dispatch()), *(asyncio.create_task(item.run()) for item in controllers)]

    async def stop(self) -> None:
        """End every pod's processes and every controller. Pods stay in the store as they are; the next start marks
        them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._services is not None:
            self._services.close()
        if self._pods is not None:
            await self._pods.stop()
        if self._shared is not None and await self._shared.launcher.stop():
            self._shared.leftovers.forget()
        if self._range is not None:
            self._range.release()


def _dispatch(handlers: tuple[_Handler, ...], type: str, kind: str, obj: Object) -> None:
    for handler in handlers:
        try:
            handler.handle(type, kind, obj)
        except Exception:
            # One confused handler must not silence all others for good.
            logger.exception("an event could not be handled", extra={"event": type, "kind": kind})
