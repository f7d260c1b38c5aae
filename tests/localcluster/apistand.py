"""An API server without a runtime, in a thread of its own, and ways to talk to it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil
import requests
from kubernetes import client, config

from k8s_bridge.localcluster.logs import LogSource
from k8s_bridge.localcluster.server import ApiServer
from k8s_bridge.localcluster.store import Store
from k8s_bridge.localcluster.tls import Identity, load_identity, write_kubeconfig

T = TypeVar("T")

KUBECTL = Path(__file__).resolve().parents[2] / ".venv/bin/kubectl"


class Api:
    """A running server: `call` runs a function on its loop, `send` is a raw request, `kubectl` the real program."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, store: Store, identity: Identity, port: int, home: Path
    ) -> None:
        self.loop = loop
        self.store = store
        self.identity = identity
        self.url = f"https://127.0.0.1:{port}"
        self.kubeconfig = home / "kubeconfig"
        self._home = home
        write_kubeconfig(self.kubeconfig, identity, self.url)
        self.session = requests.Session()
        # An environment with a company proxy names its own authorities.
        self.session.trust_env = False
        self.session.verify = str(identity.ca_certificate)
        self.session.headers["Authorization"] = f"Bearer {identity.token}"

    def call(self, function: Callable[[], T]) -> T:
        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        data = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        return self.session.request(method, self.url + path, data=data, timeout=10, **more)

    def lines(self, path: str, count: int, **more: Any) -> list[dict[str, Any]]:
        """The first `count` lines of a watch."""
        with self.session.get(self.url + path, stream=True, timeout=10, **more) as response:
            assert response.status_code == 200, response.text
            found = []
            for line in response.iter_lines():
                found.append(json.loads(line))
                if len(found) == count:
                    break
            return found

    def client(self) -> client.ApiClient:
        return config.new_client_from_config(str(self.kubeconfig))

    def kubectl(self, *args: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [KUBECTL, *args],
            input=stdin,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def watching_kubectl(self, *args: str) -> Iterator[IO[str]]:
        """What a kubectl that does not end by itself prints, as it comes."""
        command = [KUBECTL, *args]
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.terminate()

    @property
    def _environment(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self._home), "PATH": "/usr/bin:/bin"}


@contextmanager
def running_api(home: Path, logs: LogSource | None = None) -> Iterator[Api]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[Store, Identity, ApiServer, int]:
        identity = load_identity(home / "pki", now=datetime.now(UTC))
        store = Store(home / "state.db")
        server = ApiServer(store, identity, logs=logs)
        return store, identity, server, await server.start()

    async def stop() -> None:
        await server.stop()
        store.close()

    store, identity, server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    api = Api(loop, store, identity, port, home)
    try:
        yield api
    finally:
        api.session.close()
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        # The loop must live until the last TLS connection has said goodbye, for which asyncio gives a client 30 seconds.
        end = time.monotonic() + 40
        while any(known.laddr.port == port for known in psutil.Process().net_connections("tcp")):
            assert time.monotonic() < end, "the server has left connections open"
            time.sleep(0.01)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def job(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "busybox:1", "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"template": template, **spec},
    }


def pod(name: str, **container: Any) -> dict[str, Any]:
    main = {"name": "main", "image": "busybox:1", **container}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [main]}}


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "busybox:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
