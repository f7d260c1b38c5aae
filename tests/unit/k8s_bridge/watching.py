"""What the tests of the watcher share: scripted lists and watches, a sink that tells what came, a watcher that runs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from k8s_bridge.client import ClusterClient
from k8s_bridge.gateway import Gateway
from k8s_bridge.watcher import Change, Snapshot, Watcher

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call, ScriptedCluster

Json = dict[str, Any]
LIST = "GET /apis/batch/v1/jobs"
WATCH = "GET /apis/batch/v1/jobs?watch"


def item(name: str, version: str) -> Json:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": version}}


def bookmark(version: str) -> Json:
    return {"metadata": {"resourceVersion": version}}


def listing(version: str, *items: Json) -> Callable[[Call], None]:
    return lambda call: call.answer(200, {"metadata": {"resourceVersion": version}, "items": list(items)})


def stream(*events: tuple[str, Json], then: str = "silence") -> Callable[[Call], None]:
    def step(call: Call) -> None:
        call.start_stream()
        for happened, obj in events:
            call.event(happened, obj)
        {"silence": call.be_silent, "end": call.end_stream, "cut": call.cut}[then]()

    return step


def expired(call: Call) -> None:
    call.refuse(410, "Expired", "too old resource version")


class Sink:
    """Keeps what was delivered, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.seen: queue.Queue[Snapshot | Change | str] = queue.Queue()
        self.failures = failures

    def __call__(self, delivery: Snapshot | Change) -> None:
        if isinstance(delivery, Change) and self.failures:
            self.failures -= 1
            raise RuntimeError("the database is away")
        self.seen.put(delivery)

    def synced(self, kind: str) -> None:
        self.seen.put(f"synced {kind}")

    def take(self, count: int) -> list[str]:
        return [_short(self.seen.get(timeout=30)) for _ in range(count)]


def _short(delivery: Snapshot | Change | str) -> str:
    if isinstance(delivery, Snapshot):
        return f"snapshot {','.join(found['metadata']['name'] for found in delivery.items)}"
    if isinstance(delivery, Change):
        return f"{delivery.type} {delivery.obj['metadata']['name']}"
    return delivery


def eventually(is_true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.005)


@contextmanager
def following(cluster: ScriptedCluster, sink: Sink, **options: Any) -> Iterator[Watcher]:
    gateway = Gateway(ClusterClient(cluster.kubeconfig), installation="inst-a")
    settings: Json = {"kinds": ("Job",), "first_delay": 0.01, "last_delay": 0.2, "silence": 5.0, **options}
    watcher = Watcher(gateway, sink, on_synced=sink.synced, **settings)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop(5)
        gateway.close()
