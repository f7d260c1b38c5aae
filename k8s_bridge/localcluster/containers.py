"""One container of a pod: prepare, start, watch over it, start it again as its pod's policy says."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
from typing import TYPE_CHECKING, Final

from k8s_bridge.localcluster import podlogs, probes, quantities
from k8s_bridge.localcluster.controller import Object
from k8s_bridge.localcluster.environment import (
    ConfigError,
    PodFacts,
    environment,
    expand,
    service_variables,
    with_addresses,
)
from k8s_bridge.localcluster.images import ImageMap, LocalImage, name_problem
from k8s_bridge.localcluster.linked_mounts import MountRefused
from k8s_bridge.localcluster.podstatus import ContainerRecord
from k8s_bridge.localcluster.processes import LaunchError, Process
from k8s_bridge.localcluster.roots import make_directory
from k8s_bridge.localcluster.sandbox import ContainerView, run
from k8s_bridge.localcluster.volumes import VolumeError

if TYPE_CHECKING:
    from k8s_bridge.localcluster.pods import PodWorker

# A container that ran this long starts its back-off anew.
_STEADY: Final = 600.0
_RETRY: Final = 2.0
_START_ERROR: Final = 128
_MEMORY_FACTOR: Final = 8
_LEAST_MEMORY: Final = 2 * 2**30


class ContainerRunner:
    """Runs one container until it will not run again; keeps `record` true and has the pod publish it."""

    def __init__(self, worker: PodWorker, spec: Object, record: ContainerRecord, *, is_init: bool) -> None:
        self._worker = worker
        self._spec = spec
        self.is_init = is_init
        self._process: Process | None = None
        self._killing: asyncio.TimerHandle | None = None
        self._backoff = 0.0
        self._backing_off = False
        self.record = record

    @property
    def is_running(self) -> bool:
        return self._process is not None

    # The life of a container

    async def run(self) -> None:
        """Returns when the container has ended for good, or when the pod is being stopped."""
        policy = self._worker.restart_policy
        while True:
            view = await self._prepared()
            if view is None:
                return
            loop = asyncio.get_running_loop()
            began = loop.time()
            code = await self._run_once(view)
            if self.is_init and code == 0:
                restarts = False
            else:
                restarts = (policy == "OnFailure" and code != 0) or policy == "Always"
            self.record.finished = not restarts or self._worker.is_stopping
            self._worker.publish()
            if self.record.finished:
                return
            await self._back_off(loop.time() - began)
            if self._worker.is_stopping:
                self.record.finished = True
                return
            self.record.restart_count += 1
            await self._drop_old_runs()

    async def _drop_old_runs(self) -> None:
        """Remove what nobody can see any more: the last run's files, and the log of the run before it."""
        worker, record = self._worker, self.record
        layer = worker.folder / record.name / str(record.restart_count - 1)
        await asyncio.to_thread(shutil.rmtree, layer, ignore_errors=True)
        old = podlogs.log_path(worker.shared.data_dir, worker.uid, record.name, record.restart_count - 2)
        old.unlink(missing_ok=True)

    async def _back_off(self, ran: float) -> None:
        """The first restart follows at once, the later ones after a time that doubles."""
        options = self._worker.shared.options
        if ran >= _STEADY:
            self._backoff, self._backing_off = 0.0, False
        if not self._backing_off:
            self._backing_off = True
            return
        self._backoff = min(self._backoff * 2 or options.restart_backoff, options.restart_backoff_max)
        pod = self._worker.pod["metadata"]
        name, where = self.record.name, f"{pod['name']}_{pod['namespace']}({pod['uid']})"
        text = f"back-off {self._backoff:g}s restarting failed container={name} pod={where}"
        self._worker.warning("BackOff", f"Back-off restarting failed container {name} in pod {where}", name)
        self.record.last_state = self.record.state
        self.record.state = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
        self._worker.publish()
        await self._worker.pause(self._backoff)

    # Before the start

    async def _prepared(self) -> ContainerView | None:
        """All that the start needs; None when the pod is being stopped first. Waits as long as something is missing."""
        shared = self._worker.shared
        reported = ""
        while not self._worker.is_stopping:
            image = shared.images.find(self._spec["image"])
            if image is None:
                await self._refuse_image()
                continue
            try:
                return self._view(image)
            except ConfigError as error:
                self._wait("CreateContainerConfigError", str(error))
                reason, text = "Failed", f"Error: {error}"
            except (VolumeError, MountRefused) as error:
                self._wait("PodInitializing" if self._worker.has_init and not self.is_init else "ContainerCreating")
                reason, text = "FailedMount", str(error)
            if text != reported:
                self._worker.warning(reason, text, self.record.name)
                reported = text
            await self._worker.pause(_RETRY, until_change=True)
        return None

    async def _refuse_image(self) -> None:
        image, name = self._spec["image"], self.record.name
        if problem := name_problem(image):
            self._wait("InvalidImageName", problem)
            self._worker.warning("InspectFailed", problem, name)
            self._worker.warning("Failed", "Error: InvalidImageName", name)
            await self._worker.pause(self._worker.shared.options.restart_backoff)
            return
        advice = ImageMap.advice(image)
        if self._spec.get("imagePullPolicy") == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            self._wait("ErrImageNeverPull", text)
            self._worker.warning("ErrImageNeverPull", f"{text}. {advice}", name)
            await self._worker.pause(self._worker.shared.options.restart_backoff)
            return
        self._worker.normal("Pulling", f'Pulling image "{image}"', name)
        self._wait("ErrImagePull", f'failed to pull image "{image}": {advice}')
        self._worker.warning("Failed", f'Failed to pull image "{image}": {advice}', name)
        self._worker.warning("Failed", "Error: ErrImagePull", name)
        options = self._worker.shared.options
        await self._worker.pause(min(1.0, options.restart_backoff))
        if self._worker.is_stopping:
            return
        self._wait("ImagePullBackOff", f'Back-off pulling image "{image}": {advice}')
        self._worker.normal("BackOff", f'Back-off pulling image "{image}"', name)
        self._worker.warning("Failed", "Error: ImagePullBackOff", name)
        self._backoff = min(self._backoff * 2 or options.restart_backoff, options.restart_backoff_max)
        await self._worker.pause(self._backoff)

    def _wait(self, reason: str, message: str = "") -> None:
        if "terminated" in self.record.state:
            self.record.last_state = self.record.state
        self.record.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self.record.ready = self.record.started = False
        self._worker.publish()

    def _view(self, image: LocalImage) -> ContainerView:
        worker, shared, spec = self._worker, self._worker.shared, self._spec
        if self.is_init and spec.get("restartPolicy") == "Always":
            raise ConfigError("the local cluster has no sidecar init containers; make it a plain container")
        own = shared.sandbox.own_addresses
        ports = tuple((name, n if own else worker.endpoint.port(n)) for name, n in worker.own_ports(spec))
        facts = PodFacts(worker.pod, worker.endpoint.address, shared.options.node_name, ports)
        namespace = worker.pod["metadata"]["namespace"]
        services = shared.store.list("Service", namespace)[0]
        links = worker.pod["spec"].get("enableServiceLinks", True)
        variables = service_variables(services, shared.replaced_ports()) if links else {}
        env = environment(shared.store, spec, image, facts, variables)
        command = [expand(part, env) for part in spec.get("command") or ()]
        args = [expand(part, env) for part in spec.get("args") or ()]
        argv = image.argv(command, args)
        if not argv:
            raise ConfigError(f"no command specified: image {spec['image']} is mapped without a default_command")
        layer = worker.folder / spec["name"] / str(self.record.restart_count)
        binds = worker.volumes.binds(spec)
        cwd = spec.get("workingDir") or "/"
        hosts = worker.hosts_file
        if not shared.sandbox.private_root:
            shared.linked_mounts.acquire(worker.uid, binds)
            env = with_addresses(env, services)
            hosts = None
            layer.mkdir(parents=True, exist_ok=True)
            cwd = spec.get("workingDir") or str(layer)
            env["HOME"] = str(layer)
        self.record.image_id = f"process://{image.pattern}"
        return ContainerView(
            argv=argv,
            env=env,
            cwd=cwd,
            layer=layer,
            mounts=binds,
            hosts_file=hosts,
            host_name=worker.pod["metadata"]["name"],
            limits=_limits(spec),
            visible=(*image.visible, *image.path),
            python=image.python,
            address=worker.endpoint.address,
            ports={a: b for a, b in worker.endpoint.ports.items() if a != b},
        )

    # One run

    async def _run_once(self, view: ContainerView) -> int:
        worker, shared, record, name = self._worker, self._worker.shared, self.record, self.record.name
        log = podlogs.LogWriter(podlogs.log_path(shared.data_dir, worker.uid, name, record.restart_count))
        if "terminated" in record.state:
            record.last_state = record.state
        record.container_id = podlogs.container_id(worker.uid, name, record.restart_count)
        began = worker.now()
        probing: list[asyncio.Task[None]] = []
        try:
            self._process = process = self._submit(view, log)
            self._tell_start()
            # Shielded: when another container of the pod fails, the launcher's own futures must not be cancelled.
            shared.leftovers.note(await asyncio.shield(process.started))
            probing = self._begin(view)
            code = await asyncio.shield(process.ended)
        except LaunchError as error:
            text = f"failed to start container: {error}"
            worker.warning("Failed", f"Error: {text}", name)
            self._end(_START_ERROR, "StartError", began, message=text)
            return _START_ERROR
        finally:
            for task in probing:
                task.cancel()
            log.finish()
        self._end(code, "Completed" if code == 0 else "Error", began)
        return code

    def _submit(self, view: ContainerView, log: podlogs.LogWriter) -> Process:
        shared = self._worker.shared
        ends: list[int] = []
        try:
            spec = shared.sandbox.launch_spec(view)
            if shared.sandbox.private_root:
                make_directory(view.layer, view.cwd)
            ends.append(log.pipe("stdout"))
            ends.append(log.pipe("stderr"))
            return shared.launcher.submit(spec, *ends)
        except OSError as error:
            raise LaunchError(str(error)) from error
        finally:
            for end in ends:
                os.close(end)

    def _tell_start(self) -> None:
        worker, name = self._worker, self.record.name
        image = self._spec["image"]
        worker.tell_local_process(image)
        worker.normal("Pulled", f'Container image "{image}" already present on machine', name)
        worker.normal("Created", f"Created container: {name}", name)

    def _begin(self, view: ContainerView) -> list[asyncio.Task[None]]:
        worker, record, spec = self._worker, self.record, self._spec
        record.state = {"running": {"startedAt": worker.now()}}
        record.started = not spec.get("startupProbe")
        record.ready = record.started and not spec.get("readinessProbe") and not self.is_init
        worker.normal("Started", f"Started container {record.name}", record.name)
        worker.publish()
        if self.is_init or not any(spec.get(f"{kind}Probe") for kind in ("startup", "readiness", "liveness")):
            return []
        return [asyncio.create_task(self._probe(view))]

    def _end(self, code: int, reason: str, began: str, *, message: str = "") -> None:
        record = self.record
        self._process = None
        if self._killing is not None:
            self._killing.cancel()
            self._killing = None
        started = (record.state.get("running") or {}).get("startedAt", began)
        ended: Object = {
            "exitCode": code,
            "reason": reason,
            "startedAt": started,
            "finishedAt": self._worker.now(),
            "containerID": record.container_id,
        }
        if message:
            ended["message"] = message
        record.state = {"terminated": ended}
        record.ready = record.started = False

    # Probes

    async def _probe(self, view: ContainerView) -> None:
        """Startup first, then liveness and readiness side by side."""
        spec = self._spec
        async with asyncio.TaskGroup() as group:
            if spec.get("startupProbe"):
                await group.create_task(self._prober("Startup", spec["startupProbe"], view).run())
                if not self.record.started:
                    return
            if spec.get("livenessProbe"):
                group.create_task(self._prober("Liveness", spec["livenessProbe"], view).run())
            if spec.get("readinessProbe"):
                group.create_task(self._prober("Readiness", spec["readinessProbe"], view).run())

    def _prober(self, kind: str, probe: Object, view: ContainerView) -> probes.Prober:
        worker = self._worker

        async def once() -> str | None:
            return await probes.check(probe, worker.pod, worker.endpoint, execute)

        async def execute(command: list[str], seconds: float) -> tuple[int, str]:
            argv = tuple(expand(part, view.env) for part in command)
            inside = ContainerView(**{**view.__dict__, "argv": argv})
            return await run(worker.shared.sandbox, worker.shared.launcher, inside, seconds=seconds)

        def failed(why: str) -> None:
            worker.warning("Unhealthy", f"{kind} probe failed: {why}", self.record.name)

        def verdict(is_healthy: bool) -> None:
            self._judge(kind, is_healthy, probe)

        return probes.Prober(probe, once, verdict, failed, until_verdict=kind == "Startup")

    def _judge(self, kind: str, is_healthy: bool, probe: Object) -> None:
        record, spec = self.record, self._spec
        if kind == "Readiness":
            if record.ready != is_healthy:
                record.ready = is_healthy
                self._worker.publish()
        elif is_healthy:
            if kind == "Startup":
                record.started = True
                record.ready = not spec.get("readinessProbe")
                self._worker.publish()
        elif self._killing is None:
            word = f"failed {kind.lower()} probe"
            self._worker.normal("Killing", f"Container {record.name} {word}, will be restarted", record.name)
            self.terminate(float(probe.get("terminationGracePeriodSeconds") or self._worker.grace))

    # The end

    def terminate(self, grace: float) -> None:
        """SIGTERM now and SIGKILL after `grace` seconds; a later call can only shorten the time."""
        process = self._process
        if process is None:
            return
        launcher, loop = self._worker.shared.launcher, asyncio.get_running_loop()
        if grace <= 0:
            launcher.signal(process, signal.SIGKILL)
            return
        if self._killing is None:
            launcher.signal(process, signal.SIGTERM)
        elif self._killing.when() <= loop.time() + grace:
            return
        else:
            self._killing.cancel()
        self._killing = loop.call_later(grace, launcher.signal, process, int(signal.SIGKILL))

    async def kill(self) -> None:
        """End the process, if there is one, when nobody else waits for it, and note its end."""
        process = self._process
        if process is not None:
            self.terminate(0)
            code = await process.ended
            self._end(code, "Completed" if code == 0 else "Error", self._worker.now())


def _limits(spec: Object) -> tuple[tuple[int, int], ...]:
    """No core files. A memory limit is a brake against a process that eats the machine, no more: the kernel counts what
    a process may write to, used or not, so that a few threads alone reach a limit that they are far below."""
    limits = [(resource.RLIMIT_CORE, 0)]
    text = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
    amount = quantities.parse(str(text)) if text else None
    if amount is not None and amount > 0:
        limits.append((resource.RLIMIT_DATA, max(int(amount) * _MEMORY_FACTOR, _LEAST_MEMORY)))
    return tuple(limits)
