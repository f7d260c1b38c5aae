"""How long a watcher waits after trouble, and what ends the wait."""

from __future__ import annotations

import queue
import time
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import pytest

from k8s_bridge.client import ClusterClient
from k8s_bridge.gateway import Gateway
from k8s_bridge.shards import Shards
from tests.unit.k8s_bridge.watching import (
    LIST,
    WATCH,
    Sink,
    eventually,
    expired,
    following,
    item,
    listing,
    stream,
)

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call, ScriptedCluster


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


def test_a_stop_during_a_pause_is_quick(cluster: ScriptedCluster) -> None:
    cluster.script(LIST, lambda call: call.refuse(503, "ServiceUnavailable"))

    with following(cluster, Sink(), first_delay=30, last_delay=30) as watcher:
        while not cluster.seen("GET"):
            time.sleep(0.01)
        began = time.monotonic()
        watcher.stop(5)

    assert time.monotonic() - began < 1
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
