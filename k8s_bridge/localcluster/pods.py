"""Pods: admission, the life of one pod, and its end."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from k8s_bridge.localcluster import podstatus
from k8s_bridge.localcluster.claims import claims_of, is_bound
from k8s_bridge.localcluster.containers import ContainerRunner
from k8s_bridge.localcluster.controller import Object, RuntimeOptions, is_deleting, is_finished
from k8s_bridge.localcluster.events import Recorder
from k8s_bridge.localcluster.images import ImageMap
from k8s_bridge.localcluster.leftovers import Leftovers
from k8s_bridge.localcluster.linked_mounts import LinkedMounts
from k8s_bridge.localcluster.network import PORTS_ANNOTATION, Endpoint, HostsFiles, PodNetwork
from k8s_bridge.localcluster.podstatus import ContainerRecord, PodRecord
from k8s_bridge.localcluster.processes import Launcher
from k8s_bridge.localcluster.sandbox import Sandbox
from k8s_bridge.localcluster.store import Store, timestamp
from k8s_bridge.localcluster.volumes import Volumes

logger = logging.getLogger(__name__)

# A pod waits this long for a free place before it says so: in a burst of short pods nobody wants to read it.
_QUIET_WAIT: Final = 2.0
_NO_PLACE: Final = "0/1 nodes are available: 1 Too many pods."


@dataclass
class Shared:
    """What the pods of one runtime have in common. `replaced_ports` gives, by the uid of a Service, the ports that
    could not be had on this host and what they became."""

    store: Store
    data_dir: Path
    options: RuntimeOptions
    sandbox: Sandbox
    launcher: Launcher
    images: ImageMap
    kubelet: Recorder
    scheduler: Recorder
    network: PodNetwork
    hosts: HostsFiles
    linked_mounts: LinkedMounts
    leftovers: Leftovers
    replaced_ports: Callable[[], Mapping[str, Mapping[int, int]]]

    def now(self) -> str:
        return timestamp(self.options.now())


class PodWorker:
    """Runs one pod from admission to its end, and publishes its status."""

    def __init__(self, shared: Shared, pod: Object, places: asyncio.Semaphore) -> None:
        self.shared = shared
        self.pod = pod
        self.uid = str(pod["metadata"]["uid"])
        self.folder = shared.data_dir / "pods" / self.uid
        self.endpoint = Endpoint("")
        self.volumes = Volumes(shared.store, shared.data_dir, self.folder, pod)
        self.hosts_file: Path | None = None
        self._places = places
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._told_local_process = False
        self._closed = False
        spec = pod["spec"]
        self.has_init = bool(spec.get("initContainers"))
        first = podstatus.INITIALIZING if self.has_init else podstatus.WAITING
        self._record = PodRecord(
            init=[ContainerRecord(item["name"], item["image"]) for item in spec.get("initContainers") or ()],
            main=[ContainerRecord(item["name"], item["image"], dict(first)) for item in spec["containers"]],
        )
        self._runners = [
            ContainerRunner(self, item, record, is_init=is_init)
            for items, records, is_init in (
                (spec.get("initContainers") or (), self._record.init, True),
                (spec["containers"], self._record.main, False),
            )
            for item, record in zip(items, records, strict=True)
        ]

    # What the containers ask

    @property
    def restart_policy(self) -> str:
        return str(self.pod["spec"].get("restartPolicy") or "Always")

    @property
    def grace(self) -> float:
        seconds = self.pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if seconds is None else float(seconds)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def is_closed(self) -> bool:
        """The runtime stops; nothing is written any more."""
        return self._closed

    def now(self) -> str:
        return self.shared.now()

    @staticmethod
    def own_ports(container: Object) -> list[tuple[str, int]]:
        ports = container.get("ports") or ()
        return [(p.get("name") or "", int(p["containerPort"])) for p in ports if p.get("protocol", "TCP") == "TCP"]

    def normal(self, reason: str, message: str, container: str = "") -> None:
        self._tell("normal", reason, message, container)

    def warning(self, reason: str, message: str, container: str = "") -> None:
        self._tell("warning", reason, message, container)

    def _tell(self, kind: str, reason: str, message: str, container: str) -> None:
        if not self._closed:
            getattr(self.shared.kubelet, kind)(self.pod, reason, message, container)

    def tell_local_process(self, image: str) -> None:
        if not self._told_local_process:
            self._told_local_process = True
            self.normal("LocalProcess", f'image "{image}" is not used: the pod runs as a local process')

    async def pause(self, seconds: float, *, until_change: bool = False) -> None:
        """Wait; shorter when the pod is stopped or, with `until_change`, when something it may wait for has changed."""
        waits = [asyncio.ensure_future(self._stopping.wait())]
        if until_change:
            self._changed.clear()
            waits.append(asyncio.ensure_future(self._changed.wait()))
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def poke(self) -> None:
        """Something that the pod may be waiting for has changed."""
        self._changed.set()

    def publish(self) -> None:
        """Write the status, unless nothing changed or the pod is no longer there."""
        if self._closed:
            return
        meta = self.pod["metadata"]
        stored = self.shared.store.find("Pod", meta["namespace"], meta["name"])
        if stored is None or stored["metadata"]["uid"] != self.uid:
            return
        status = podstatus.build(self._record, stored.get("status") or {}, self.now())
        self.pod = self.shared.store.update("Pod", {**stored, "status": status}, subresource="status")

    # The life of a pod

    async def run(self) -> None:
        """Returns when the pod has ended; it is removed from the store when its deletion was asked for."""
        has_place = False
        try:
            try:
                if await self._schedule():
                    has_place = True
                    self._bind()
                    await self._run_containers()
            except Exception as error:
                logger.exception("a pod's worker failed", extra={"pod": self.pod["metadata"]["name"]})
                await self._fail(error)
            self._finish()
        finally:
            if has_place:
                self._places.release()
            await self._clean_up()

    async def _schedule(self) -> bool:
        """Wait for the claims and for a place; False when the pod is stopped first."""
        while not self.is_stopping:
            missing = self._missing_claim()
            if missing is None:
                if await self._take_place():
                    return True
                continue
            self._unschedulable(f'persistentvolumeclaim "{missing}" not found')
            await self.pause(60.0, until_change=True)
        return False

    def _missing_claim(self) -> str | None:
        namespace = self.pod["metadata"]["namespace"]
        for name in sorted(claims_of(self.pod)):
            claim = self.shared.store.find("PersistentVolumeClaim", namespace, name)
            if claim is None or not is_bound(claim) or is_deleting(claim):
                return name
        return None

    async def _take_place(self) -> bool:
        taking = asyncio.ensure_future(self._places.acquire())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({taking, stopped}, timeout=_QUIET_WAIT, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                self._unschedulable(_NO_PLACE)
                await asyncio.wait({taking, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if taking.done() and not self.is_stopping:
            return True
        if taking.done():
            self._places.release()
        else:
            taking.cancel()
        return False

    def _unschedulable(self, why: str) -> None:
        if self._closed:
            return
        self._record.unschedulable = why
        self.publish()
        self.shared.scheduler.warning(self.pod, "FailedScheduling", why)

    def _bind(self) -> None:
        shared, meta = self.shared, self.pod["metadata"]
        self.endpoint = shared.network.assign(self.pod)
        self.folder.mkdir(parents=True, exist_ok=True)
        if shared.sandbox.private_root:
            self.hosts_file = shared.hosts.add(self.pod, self.endpoint.address, self.folder / "hosts")
        stored = shared.store.get("Pod", meta["namespace"], meta["name"])
        annotations = dict(stored["metadata"].get("annotations") or {})
        if self.endpoint.ports:
            places = (f"{port}={self.endpoint.address}:{to}" for port, to in self.endpoint.ports.items())
            annotations[PORTS_ANNOTATION] = ",".join(places)
        bound = {**stored, "spec": {**stored["spec"], "nodeName": shared.options.node_name}}
        if annotations:
            bound["metadata"] = {**stored["metadata"], "annotations": annotations}
        self.pod = shared.store.update("Pod", bound)
        where = f"{meta['namespace']}/{meta['name']}"
        shared.scheduler.normal(self.pod, "Scheduled", f"Successfully assigned {where} to {shared.options.node_name}")
        self._record.scheduled = True
        self._record.unschedulable = ""
        self._record.start_time = self.now()
        self._record.address = self.endpoint.address
        self.publish()
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is not None:
            asyncio.get_running_loop().call_later(float(seconds), self._expire)

    def _expire(self) -> None:
        if not self._closed and not self.is_stopping and not is_finished(self.pod):
            text = "Pod was active on the node longer than the specified deadline"
            self.normal("DeadlineExceeded", text)
            self._record.verdict = ("Failed", "DeadlineExceeded", text)
            self._begin_stop(self.grace)

    async def _run_containers(self) -> None:
        init = [runner for runner in self._runners if runner.is_init]
        for runner in init:
            await runner.run()
            if self.is_stopping or runner.record.exit_code != 0:
                return
        for record in self._record.main:
            record.state = dict(podstatus.WAITING)
        main = [runner for runner in self._runners if not runner.is_init]
        async with asyncio.TaskGroup() as group:
            for runner in main:
                group.create_task(runner.run())

    async def _fail(self, error: BaseException) -> None:
        """What nobody foresaw must not lose the pod: all of it is ended, it is Failed, and its status says why."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        text = f"{type(error).__name__}: {error}"
        if self._record.verdict is None:
            self._record.verdict = ("Failed", "InternalError", text)
        self._stopping.set()
        await asyncio.gather(*(runner.kill() for runner in self._runners))
        self.warning("Failed", f"Error: {text}")

    def _finish(self) -> None:
        if self._record.scheduled:
            for record in (*self._record.init, *self._record.main):
                record.finished = True
        self.publish()
        meta = self.pod["metadata"]
        stored = self.shared.store.find("Pod", meta["namespace"], meta["name"])
        if not self._closed and stored is not None and stored["metadata"]["uid"] == self.uid and is_deleting(stored):
            self.shared.store.remove("Pod", meta["namespace"], meta["name"])

    async def _clean_up(self) -> None:
        self.shared.hosts.remove(self.uid)
        self.shared.linked_mounts.release(self.uid)
        address = self.shared.network.release(self.uid)
        if address is not None and not self._closed:
            self.shared.launcher.forget(address)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    # The end

    def stop(self, grace: float) -> None:
        """The pod is being deleted: its containers get SIGTERM and, after `grace` seconds, SIGKILL. May be repeated
        with a shorter time."""
        if not self.is_stopping:
            for runner in self._runners:
                if runner.is_running:
                    self.normal("Killing", f"Stopping container {runner.record.name}", runner.record.name)
        self._begin_stop(grace)

    def _begin_stop(self, grace: float) -> None:
        self._stopping.set()
        for runner in self._runners:
            runner.terminate(grace)

    def close(self, grace: float) -> None:
        """The runtime stops: end the processes and leave the pod in the store as it is now."""
        self._closed = True
        self._begin_stop(grace)


class PodManager:
    """Starts a worker for every pod that is not finished, and carries out deletions."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._places = asyncio.Semaphore(shared.options.max_pods)
        self._workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = {}

    def handle(self, type: str, kind: str, obj: Object) -> None:
        if kind == "Pod":
            self._handle_pod(type, obj)
        elif kind == "Service":
            self._shared.hosts.refresh()
        else:
            namespace = obj["metadata"]["namespace"]
            for worker, _ in self._workers.values():
                if worker.pod["metadata"]["namespace"] == namespace:
                    worker.poke()

    def _handle_pod(self, type: str, pod: Object) -> None:
        meta = pod["metadata"]
        entry = self._workers.get(meta["uid"])
        if type == "DELETED":
            if entry is not None:
                entry[0].stop(0)
            shutil.rmtree(self._shared.data_dir / "logs" / meta["uid"], ignore_errors=True)
            return
        # The event may be older than what the worker has written since: only the store is up to date.
        stored = self._shared.store.find("Pod", meta["namespace"], meta["name"])
        if stored is None or stored["metadata"]["uid"] != meta["uid"]:
            return
        meta = stored["metadata"]
        if is_deleting(stored):
            if entry is not None:
                entry[0].stop(float(meta.get("deletionGracePeriodSeconds") or 0))
            else:
                self._shared.store.remove("Pod", meta["namespace"], meta["name"])
        elif entry is None and not is_finished(stored):
            worker = PodWorker(self._shared, stored, self._places)
            task = asyncio.create_task(worker.run())
            self._workers[meta["uid"]] = (worker, task)
            task.add_done_callback(lambda done: self._ended(meta["uid"], done))

    def _ended(self, uid: str, task: asyncio.Task[None]) -> None:
        worker, _ = self._workers.pop(uid)
        if not task.cancelled() and task.exception() is not None:
            name = worker.pod["metadata"]["name"]
            logger.error("a pod's worker failed", exc_info=task.exception(), extra={"pod": name})
        # A deletion that came while the worker was cleaning up.
        meta = worker.pod["metadata"]
        stored = self._shared.store.find("Pod", meta["namespace"], meta["name"])
        if stored is not None and stored["metadata"]["uid"] == uid and is_deleting(stored) and not worker.is_closed:
            self._shared.store.remove("Pod", meta["namespace"], meta["name"])

    async def stop(self) -> None:
        """End every pod's processes and wait for them."""
        tasks = [task for _, task in self._workers.values()]
        for worker, _ in self._workers.values():
            worker.close(self._shared.options.stop_grace)
        if tasks:
            await asyncio.wait(tasks)
