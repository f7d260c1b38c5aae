from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from k8s_bridge.client import ClusterClient
from k8s_bridge.gateway import Gateway
from k8s_bridge.shards import Shards
from tests.unit.k8s_bridge.scripts import OURS
from tests.unit.k8s_bridge.watching import (
    LIST,
    WATCH,
    Sink,
    bookmark,
    eventually,
    expired,
    following,
    item,
    listing,
    stream,
)

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call, ScriptedCluster


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
