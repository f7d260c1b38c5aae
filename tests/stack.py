"""The whole of SecFlow as processes, started by the command that users type, driven over HTTP."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from k8s_bridge.client import ClusterClient
from k8s_bridge.gateway import Gateway
from k8s_bridge.names import owner_of
from k8s_bridge.watcher import Change, Snapshot, Watcher
from secflow.runtime.api_client import ApiClient

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "e2e-Password-not-secret"
LOGIN_SECONDS = 600.0  # an access token is good for half an hour

# The argument of a command line that tells which process it is.
ROLES = {
    "web": "gunicorn",
    "worker": "worker",
    "beat": "beat",
    "watcher": "watch_cluster",
}


@dataclass
class Stack:
    """A running `manage.py up`."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    kubeconfig: str
    redis_url: str
    database_url: str
    _client: ApiClient | None = None
    _login_at: float = 0.0

    @property
    def api(self) -> ApiClient:
        """The API as the admin, logged in anew long before the token of the last login is too old."""
        if self._client is None or time.monotonic() > self._login_at + LOGIN_SECONDS:
            self._login_at = time.monotonic()
            self._client = ApiClient(f"http://127.0.0.1:{self.port}", username="admin", password=PASSWORD)
        return self._client

    def pids(self, role: str) -> list[int]:
        """The processes of one role, as the supervisor has them now."""
        word = ROLES[role]
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if word in child.cmdline():
                    found.append(child.pid)
        return found

    def kill(self, role: str) -> int:
        """SIGKILLs every process of the role and waits until the supervisor has as many others; returns a new pid."""
        old = set(self.pids(role))
        assert old, f"there is no {role}"
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(set(self.pids(role)) - old) == len(old), seconds=30, what=f"another {role}")
        return next(iter(set(self.pids(role)) - old))

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def instance(self, instance_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get("workflow-instances", instance_id)
        return found

    def wait_for(self, instance_id: str, *statuses: str, seconds: float = 90) -> dict[str, Any]:
        """The instance as soon as it has one of these statuses."""
        end = time.monotonic() + seconds
        while (found := self.instance(instance_id))["status"] not in statuses:
            assert time.monotonic() < end, f"{instance_id} is {found['status']}: {describe(found)}"
            time.sleep(0.05)
        return found

    def tail(self, role: str, lines: int = 40) -> str:
        """The end of the role's log."""
        with suppress(OSError):
            text = (self.folder / "logs" / f"{role}.log").read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""


def describe(instance: Mapping[str, Any]) -> str:
    return ", ".join(f"{node['name']} {node['status']} ({node['message'] or ''})" for node in instance["nodes"])


def free_port() -> int:
    """A port that nothing uses, below those that the system gives to outgoing connections: none of them can take it later."""
    while True:
        port = random.randrange(15000, 30000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(is_true: Callable[[], bool], *, seconds: float = 60.0, what: str = "the condition") -> None:
    """Waits until it is true; fails with `what` when the time is over."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, f"{what} did not come within {seconds:g} s"
        time.sleep(0.02)


@contextmanager
def running_stack(
    folder: Path, *, kubeconfig: str | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """`manage.py up` with its data in `folder`, stopped at the end as Ctrl-C stops it.

    With a kubeconfig it uses that cluster, otherwise the local one. SECFLOW_TEST_COPIES says how many workers and watchers
    there are when `env` does not.
    """
    port = free_port()
    # What the test process was given for itself; the stack makes its own. Its modules are kept compiled, as users have them.
    dropped = ("DATABASE_URL", "REDIS_URL", "KUBECONFIG", "SECRET_KEY", "HTTPS", "SECFLOW_TEST_KUBECONFIG")
    dropped += ("PYTHONDONTWRITEBYTECODE",)
    environ = {name: value for name, value in os.environ.items() if name not in dropped}
    copies = environ.pop("SECFLOW_TEST_COPIES", "1")
    environ |= {"WORKERS": copies, "WATCHERS": copies}
    environ |= {"DATA_DIR": str(folder), "PORT": str(port), "DJANGO_SUPERUSER_PASSWORD": PASSWORD, **(env or {})}
    if kubeconfig:
        environ["KUBECONFIG"] = kubeconfig
    folder.mkdir(parents=True, exist_ok=True)
    output = (folder.parent / f"{folder.name}.out").open("wb")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up"], cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT
    )

    def text() -> str:
        return Path(output.name).read_text(errors="replace")

    try:
        eventually(
            lambda: process.poll() is not None or re.search(r"all parts\s+ready", text()) is not None,
            seconds=120,
            what="`manage.py up`",
        )
        assert process.poll() is None, text()
        settings = dict(line.split("=", 1) for line in (folder / "env").read_text().splitlines() if "=" in line)
        settings = environ | {name: value.strip("'\"") for name, value in settings.items()}
        yield Stack(
            folder=folder,
            port=port,
            process=process,
            kubeconfig=kubeconfig or settings["KUBECONFIG"],
            redis_url=settings["REDIS_URL"],
            database_url=settings["DATABASE_URL"],
        )
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        output.close()


class Witness:
    """An independent look at the cluster: every object that was ever there, and when its pods began and ended.

    Times are of this process's clock, taken when the event arrives.
    """

    def __init__(self, kubeconfig: str, *, installation: str) -> None:
        self._gateway = Gateway.connect(kubeconfig, installation=installation)
        self._watcher = Watcher(self._gateway, self._take)
        self._lock = threading.Lock()
        self.uids: dict[tuple[str, str, int], set[str]] = {}  # (kind, node id, run) -> uids of Deployments and Jobs
        self.added: dict[str, float] = {}  # pod uid -> first seen
        self.succeeded: dict[str, float] = {}
        self.node_of: dict[str, str] = {}  # pod uid -> node id

    def __enter__(self) -> Witness:
        self._watcher.start()
        eventually(lambda: self._watcher.is_synced, what="the witness's first list")
        return self

    def __exit__(self, *_: object) -> None:
        self._watcher.stop()
        self._gateway.close()

    def _take(self, news: Snapshot | Change) -> None:
        now = time.monotonic()
        items = [news.obj] if isinstance(news, Change) else news.items
        with self._lock:
            for item in items:
                owner = owner_of(item)
                if owner is None:
                    continue
                uid = item["metadata"]["uid"]
                if news.kind == "Pod":
                    self.added.setdefault(uid, now)
                    self.node_of[uid] = owner.node_id
                    if (item.get("status") or {}).get("phase") == "Succeeded":
                        self.succeeded.setdefault(uid, now)
                else:
                    self.uids.setdefault((news.kind, owner.node_id, owner.run), set()).add(uid)

    def doubles(self) -> list[tuple[str, str, int]]:
        """Nodes that had more than one Deployment or Job in one run."""
        with self._lock:
            return sorted(key for key, uids in self.uids.items() if len(uids) > 1)


def objects_of(kubeconfig: str, instance_id: str) -> list[str]:
    """What the cluster has of the instance, whoever made it, as kind/name; pods that are ending are left out."""
    client = ClusterClient(kubeconfig)
    try:
        found: list[str] = []
        for path in ("/apis/apps/v1/deployments", "/apis/batch/v1/jobs", "/api/v1/services", "/api/v1/pods"):
            answer = client.request("GET", path, query={"labelSelector": f"secflow.io/instance-id={instance_id}"})
            found += [
                f"{path.rpartition('/')[2]}/{item['metadata']['name']}"
                for item in answer.get("items") or ()
                if not (path.endswith("pods") and item["metadata"].get("deletionTimestamp"))
            ]
        return sorted(found)
    finally:
        client.close()
