"""A store with a runtime in the test's own event loop, and ways to wait for what they do."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from k8s_bridge.localcluster import podlogs
from k8s_bridge.localcluster.controller import RuntimeOptions
from k8s_bridge.localcluster.runtime import Runtime
from k8s_bridge.localcluster.sandbox import Mode
from k8s_bridge.localcluster.store import Store

Object = dict[str, Any]
FAST = RuntimeOptions(
    restart_backoff=0.1, restart_backoff_max=1.0, job_backoff=0.1, job_backoff_max=1.0, stop_grace=0.5
)
MODES = [mode for mode in Mode if mode is not Mode.BUBBLEWRAP or shutil.which("bwrap")]
PRIVATE = [mode for mode in MODES if mode is not Mode.LIMITED]


class Stand:
    """`home` is the runtime's data directory. Everything happens in the namespace `default` unless said otherwise."""

    def __init__(self, store: Store, runtime: Runtime, home: Path) -> None:
        self.store = store
        self.runtime = runtime
        self.home = home

    async def until(
        self, kind: str, name: str, test: Callable[[Object], Any], *, seconds: float = 15, namespace: str = "default"
    ) -> Object:
        """The object as soon as it passes `test`; the test fails, showing it, when that takes too long."""
        queue = self.store.subscribe(kind)
        obj = self.store.find(kind, namespace, name)
        try:
            async with asyncio.timeout(seconds):
                while obj is None or not test(obj):
                    await queue.get()
                    obj = self.store.find(kind, namespace, name)
            return obj
        except TimeoutError:
            raise AssertionError(f"{kind} {name} did not get there: {obj}") from None
        finally:
            queue.close()

    async def until_gone(self, kind: str, name: str, *, seconds: float = 15, namespace: str | None = "default") -> None:
        await self.until_state(lambda: self.store.find(kind, namespace, name) is None, kind, seconds=seconds)

    async def until_state(self, test: Callable[[], Any], *kinds: str, seconds: float = 15) -> None:
        """Returns when `test` holds; it is asked after each change of an object of `kinds`."""
        queue = self.store.subscribe(*kinds)
        try:
            async with asyncio.timeout(seconds):
                while not test():
                    await queue.get()
        except TimeoutError:
            shown = {kind: self.store.list(kind)[0] for kind in kinds}
            raise AssertionError(f"the state was not reached: {shown}") from None
        finally:
            queue.close()

    async def ended(self, name: str, **more: Any) -> Object:
        return await self.until("Pod", name, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"), **more)

    async def ready(self, name: str, **more: Any) -> Object:
        return await self.until("Pod", name, is_ready, **more)

    async def event(self, name: str, reason: str, *, seconds: float = 15) -> Object:
        """The first event with this reason about an object of this name."""

        def found() -> list[Object]:
            return [
                event
                for event in self.store.list("Event")[0]
                if event["involvedObject"]["name"] == name and event["reason"] == reason
            ]

        await self.until_state(found, "Event", seconds=seconds)
        return found()[0]

    async def log(self, name: str, **more: Any) -> str:
        pod = self.store.get("Pod", "default", name)
        return b"".join([block async for block in podlogs.stream(self.home, pod, **more)]).decode()

    async def output(self, name: str, script: str, *, image: str = "busybox", **more: Any) -> str:
        """What a shell script prints in a pod of its own that must succeed."""
        self.store.create("Pod", pod(name, ["sh", "-c", script], image=image, **more))
        ended = await self.ended(name)
        text = await self.log(name)
        assert ended["status"]["phase"] == "Succeeded", text
        return text

    def pods_of(self, owner: str) -> list[Object]:
        found = self.store.list("Pod")[0]
        return [pod for pod in found if pod["metadata"].get("ownerReferences", [{}])[0].get("name") == owner]


@asynccontextmanager
async def running(home: Path, mode: Mode | None = None, **changes: Any) -> AsyncIterator[Stand]:
    """A started runtime on the state in `home`; at the end it is stopped and the state is written."""
    await asyncio.to_thread(home.mkdir, exist_ok=True)
    store = Store(home / "state.db")
    runtime = Runtime(store, home, replace(FAST, sandbox=mode, **changes))
    await runtime.start()
    try:
        yield Stand(store, runtime, home)
    finally:
        await runtime.stop()
        store.close()


def is_ready(pod: Object) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions") or ())


def pod(
    name: str, command: list[str], *, image: str = "busybox", container: Object | None = None, **spec: Any
) -> Object:
    labels = spec.pop("labels", None) or {}
    main = {"name": "main", "image": image, "command": command, **(container or {})}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [main], **spec},
    }


def job(name: str, command: list[str], **spec: Any) -> Object:
    template = pod("x", command, restartPolicy=spec.pop("restartPolicy", "Never"))["spec"]
    return {"metadata": {"name": name}, "spec": {"template": {"spec": template}, **spec}}


def deployment(name: str, command: list[str], *, container: Object | None = None, **spec: Any) -> Object:
    template = pod("x", command, image="python:3.11-slim", container=container, restartPolicy="Always")["spec"]
    labels = {"app": name}
    return {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template},
            **spec,
        },
    }


def claim(name: str) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": spec}


def claim_volume(name: str, mount_path: str, **mount: Any) -> Object:
    """The parts of `pod` for one claim: volumes, and the container's mounts."""
    return {
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}],
        "container": {"volumeMounts": [{"name": "v", "mountPath": mount_path, **mount}]},
    }


def container_of(pod: Object) -> Object:
    found: Object = pod["status"]["containerStatuses"][0]
    return found


def conditions(obj: Object) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item.get("reason", "")) for item in obj["status"].get("conditions") or ()}
