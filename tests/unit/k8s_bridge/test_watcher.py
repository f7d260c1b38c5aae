from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from k8s_bridge.client import ClusterClient
from k8s_bridge.gateway import Gateway
from k8s_bridge.shards import Shards
from k8s_bridge.watcher import Change, Snapshot, Watcher
from tests.unit.k8s_bridge.scripts import OURS

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


def test_a_snapshot_comes_first_and_then_every_change(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, listing("10", item("a", "3")))
    cluster.script(
        WATCH,
        stream(
            ("MODIFIED", item("a", "11")),
            ("BOOKMARK", bookmark("12")),
            ("ADDED", item("b", "13")),
            ("DELETED", item("a", "14")),
        ),
    )
    sink = Sink()

    with following(cluster, sink) as watcher:
        seen = sink.take(5)
        synced = watcher.is_synced

    assert seen == ["snapshot a", "synced Job", "MODIFIED a", "ADDED b", "DELETED a"]
    assert synced
    assert [call.query["resourceVersion"] for call in cluster.seen("GET", watch=True)] == ["10"]


def test_a_watch_that_the_server_ends_goes_on_without_a_list(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, listing("10"))
    cluster.script(
        WATCH,
        stream(("ADDED", item("a", "11")), ("BOOKMARK", bookmark("20")), then="end"),
        stream(("ADDED", item("b", "21")), then="end"),
        stream(("ADDED", item("c", "22"))),
    )
    sink = Sink()

    with following(cluster, sink) as watcher:
        seen = sink.take(5)
        restarts = watcher.restarts

    assert seen == ["snapshot ", "synced Job", "ADDED a", "ADDED b", "ADDED c"]
    assert [call.query["resourceVersion"] for call in cluster.seen("GET", watch=True)] == ["10", "20", "21"]
    assert len(cluster.seen("GET")) == 1
    assert restarts == {"Job": 0}


def test_another_source_is_listed_and_followed_at_once(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, listing("10", item("a", "3")), listing("20", item("b", "4")))
    cluster.script(WATCH, stream(("MODIFIED", item("a", "11"))), stream(("MODIFIED", item("b", "21"))))
    sink = Sink()

    with following(cluster, sink, first_delay=60.0) as watcher:
        seen = sink.take(3)
        gateway = Gateway(ClusterClient(cluster.kubeconfig), installation="inst-a")
        watcher.use(Shards(gateway, [3, 1]))
        seen += sink.take(3)
        gateway.close()

    wanted = f"{OURS},secflow.io/shard in (1,3)"
    assert seen == ["snapshot a", "synced Job", "MODIFIED a", "snapshot b", "synced Job", "MODIFIED b"]
    assert [call.query["labelSelector"] for call in cluster.seen("GET")] == [OURS, wanted]
    assert [call.query["labelSelector"] for call in cluster.seen("GET", watch=True)] == [OURS, wanted]
    assert watcher.restarts == {"Job": 0}


def test_another_source_ends_the_pause_after_trouble(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, expired, listing("20", item("b", "4")))
    cluster.script(WATCH, stream())
    sink = Sink()

    with following(cluster, sink, first_delay=60.0, last_delay=60.0) as watcher:
        eventually(lambda: watcher.restarts == {"Job": 1}, what="the trouble")
        gateway = Gateway(ClusterClient(cluster.kubeconfig), installation="inst-a")
        watcher.use(Shards(gateway, [3]))
        seen = sink.take(1)
        gateway.close()

    assert seen == ["snapshot b"]


def test_a_watcher_without_a_source_asks_for_nothing_until_it_has_one(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, listing("10", item("a", "3")))
    cluster.script(WATCH, stream())
    sink = Sink()
    gateway = Gateway(ClusterClient(cluster.kubeconfig), installation="inst-a")

    with following(cluster, sink) as watcher:
        sink.take(2)
        watcher.use(None)
        eventually(lambda: watcher.fresh_at == {"Job": None}, what="the end of the watch")
        asked = len(cluster.calls)
        cluster.script(LIST, listing("20", item("b", "4")))
        cluster.script(WATCH, stream())
        watcher.use(Shards(gateway, range(16)))
        seen = sink.take(1)
        gateway.close()

    assert asked == 2
    assert seen == ["snapshot b"]


@pytest.mark.parametrize(
    "trouble",
    [
        expired,
        stream(("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})),
        stream(("ERROR", {"kind": "Status", "code": 500, "message": "etcd"})),
        stream(then="cut"),
        lambda call: call.cut(),
        lambda call: call.refuse(500, "InternalError"),
        lambda call: call.refuse(403, "Forbidden"),
        lambda call: call.answer(200, b"<html>\n"),
        stream(("BOOKMARK", {})),
    ],
)
def test_any_trouble_leads_to_a_new_snapshot(cluster: ScriptedCluster, trouble: Callable[[Call], None]) -> None:
    cluster.script(LIST, listing("10", item("a", "3")), listing("30", item("b", "25")))
    cluster.script(WATCH, trouble, stream(("ADDED", item("c", "31"))))
    sink = Sink()

    with following(cluster, sink) as watcher:
        seen = sink.take(5)
        restarts = watcher.restarts

    assert seen == ["snapshot a", "synced Job", "snapshot b", "synced Job", "ADDED c"]
    assert [call.query["resourceVersion"] for call in cluster.seen("GET", watch=True)] == ["10", "30"]
    assert restarts == {"Job": 1}


def test_what_was_cut_in_the_middle_of_a_line_is_listed_again(cluster: ScriptedCluster) -> None:
    def half(call: Call) -> None:
        call.start_stream()
        call.event("ADDED", item("a", "11"))
        call.chunk(b'{"type": "DELETED", "obj')
        call.cut()

    cluster.script(LIST, listing("10"), listing("12"))
    cluster.script(WATCH, half, stream(("ADDED", item("b", "13"))))
    sink = Sink()

    with following(cluster, sink):
        seen = sink.take(6)

    assert seen == ["snapshot ", "synced Job", "ADDED a", "snapshot ", "synced Job", "ADDED b"]


def test_a_silent_connection_counts_as_broken(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, listing("10"), listing("12", item("a", "11")))
    cluster.script(WATCH, stream(("BOOKMARK", bookmark("10"))))
    sink = Sink()
    began = time.monotonic()

    with following(cluster, sink, silence=0.3):
        seen = sink.take(4)

    assert seen == ["snapshot ", "synced Job", "snapshot a", "synced Job"]
    assert 0.3 <= time.monotonic() - began < 3


def test_a_sink_that_fails_gets_a_new_snapshot(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, listing("10"), listing("12", item("a", "11")))
    cluster.script(WATCH, stream(("ADDED", item("a", "11"))), stream(("MODIFIED", item("a", "13"))))
    sink = Sink(failures=1)

    with following(cluster, sink):
        seen = sink.take(5)

    assert seen == ["snapshot ", "synced Job", "snapshot a", "synced Job", "MODIFIED a"]


def test_pauses_grow_while_the_trouble_lasts(cluster: ScriptedCluster) -> None:
    times: list[float] = []

    def away(call: Call) -> None:
        times.append(time.monotonic())
        call.refuse(503, "ServiceUnavailable")

    cluster.script(LIST, *[away] * 9, listing("10"))
    cluster.script(WATCH, stream())
    sink = Sink()

    with following(cluster, sink, first_delay=0.02, last_delay=0.16, jitter=lambda: 1.0) as watcher:
        sink.take(2)
        assert watcher.restarts == {"Job": 9}

    pauses = [after - before for before, after in pairwise(times)]
    wanted = [0.02, 0.04, 0.08] + [0.16] * 5
    assert all(pause >= least for pause, least in zip(pauses, wanted, strict=True))
    assert median(pauses[3:]) < 0.32


def test_the_server_may_ask_for_a_longer_pause(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, lambda call: call.answer(429, {"message": "later"}, Retry_After="0.3"), listing("10"))
    cluster.script(WATCH, stream())
    sink = Sink()
    began = time.monotonic()

    with following(cluster, sink, last_delay=5):
        sink.take(2)

    assert time.monotonic() - began >= 0.3


def test_watches_that_end_at_once_are_not_asked_again_in_a_tight_loop(cluster: ScriptedCluster) -> None:
    moments: queue.Queue[float] = queue.Queue()

    def end_at_once(call: Call) -> None:
        moments.put(time.monotonic())
        call.start_stream()
        call.end_stream()

    cluster.script(LIST, listing("10"))
    cluster.script(WATCH, end_at_once)

    # By this clock each watch ends at once, however busy the machine is.
    with following(cluster, Sink(), first_delay=0.05, last_delay=10, jitter=lambda: 1.0, clock=lambda: 0.0):
        asked = [moments.get(timeout=30) for _ in range(4)]

    pauses = [after - before for before, after in pairwise(asked)]
    assert all(pause >= least for pause, least in zip(pauses, [0.05, 0.1, 0.2], strict=True)), pauses


def test_a_quick_stop_ends_an_open_watch(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, listing("10"))
    opened = threading.Event()

    def open_and_wait(call: Call) -> None:
        call.start_stream()
        call.event("BOOKMARK", bookmark("11"))
        opened.set()
        call.be_silent()

    cluster.script(WATCH, open_and_wait)
    sink = Sink()

    with following(cluster, sink, silence=60) as watcher:
        assert opened.wait(30)
        began = time.monotonic()
        watcher.stop(5)
        assert time.monotonic() - began < 1

    assert watcher.restarts == {"Job": 0}


def test_a_stop_during_a_pause_is_quick(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, lambda call: call.refuse(503, "ServiceUnavailable"))

    with following(cluster, Sink(), first_delay=30, last_delay=30) as watcher:
        while not cluster.seen("GET"):
            time.sleep(0.01)
        began = time.monotonic()
        watcher.stop(5)

    assert time.monotonic() - began < 1
    assert not watcher.is_synced


def test_freshness_follows_lists_changes_and_bookmarks(cluster: ScriptedCluster) -> None:
    go_on, now = threading.Event(), [100.0]

    def step(call: Call) -> None:
        call.start_stream()
        go_on.wait(5)
        call.event("BOOKMARK", bookmark("11"))
        call.event("ADDED", item("a", "12"))
        call.be_silent()

    cluster.script(LIST, listing("10"))
    cluster.script(WATCH, step)
    sink = Sink()

    with following(cluster, sink, clock=lambda: now[0]) as watcher:
        sink.take(2)
        first = watcher.fresh_at
        now[0] = 200.0
        go_on.set()
        sink.take(1)
        second = watcher.fresh_at

    assert (first, second) == ({"Job": 100.0}, {"Job": 200.0})


def test_each_kind_is_followed_by_itself(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, listing("10", item("a", "3")))
    cluster.script(WATCH, stream())
    cluster.script("GET /api/v1/pods", lambda call: call.refuse(503, "ServiceUnavailable"))
    sink = Sink()

    with following(cluster, sink, kinds=("Job", "Pod")) as watcher:
        seen = sink.take(2)
        fresh = watcher.fresh_at

    assert seen == ["snapshot a", "synced Job"]
    assert fresh["Pod"] is None
    assert not watcher.is_synced


def test_a_cluster_that_is_away_is_asked_again_soon_however_long_it_was_away(
    cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k8s_bridge.watcher.AWAY_DELAY", 0.05)
    cluster.script(LIST, *[lambda call: call.cut()] * 12, listing("10"))
    cluster.script(WATCH, stream())
    sink = Sink()

    with following(cluster, sink, last_delay=3600, jitter=lambda: 1.0) as watcher:
        seen = sink.take(2)  # pauses that doubled on and on would be more than 40 s by now
        restarts = watcher.restarts

    assert seen == ["snapshot ", "synced Job"]
    assert restarts == {"Job": 12}
