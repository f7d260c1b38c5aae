"""Hand-off, first start and requests: one workflow after the other on the cluster's own nodes."""

from __future__ import annotations

import time

from tests.bench.bed import Bed, chain
from tests.bench.driver import driver_process, node_id
from tests.bench.figures import Row, percentile
from tests.bench.pods import PodWatch, hand_offs

PATIENCE = 900.0


def measure_handoff(bed: Bed) -> list[Row]:
    """A chain, by the driver and by SecFlow in turn; all hand-offs of all rounds count."""
    length = bed.options.chain
    ours: list[float] = []
    theirs: list[float] = []
    with (
        PodWatch(bed.stack.kubeconfig, bed.namespace) as pods,
        driver_process(bed.stack.kubeconfig, bed.namespace) as driver,
    ):
        for number in range(bed.options.rounds):
            bed.say(f"handoff: chain of {length}, round {number + 1} of {bed.options.rounds}")
            tag = bed.tag()
            driver.run(tag, chains=1, length=length)
            pods.wait_succeeded(tag, length, seconds=60)
            theirs += hand_offs(pods.of(tag), [node_id(0, place) for place in range(length)])
            bed.clear()
            made = bed.make(length, chain(length))
            bed.start(made)
            pods.wait_succeeded(made.id, length, seconds=PATIENCE)
            bed.wait_ended([made], seconds=60)
            ours += hand_offs(pods.of(made.id), made.nodes)
            bed.wait_logs(made, length)
            bed.remove([made])
    note = f"chain of {length}, {len(ours)} hand-offs"
    return [
        Row("hand-off p50", percentile(ours, 50), "ms", percentile(theirs, 50), most_ratio=2.0, note=note),
        Row("hand-off p99", percentile(ours, 99), "ms", percentile(theirs, 99), most=100.0, note=note),
    ]


def measure_first(bed: Bed) -> list[Row]:
    """From the start call to the first pod, each time with a new instance."""
    count = bed.options.first
    taken: list[float] = []
    with PodWatch(bed.stack.kubeconfig, bed.namespace) as pods:
        for number in range(count):
            if number % 5 == 0:
                bed.say(f"first: start {number + 1} of {count}")
            made = bed.make(1, [])
            began = bed.start(made)
            taken.append((pods.wait_added(made.id, seconds=60) - began) * 1000)
            pods.wait_succeeded(made.id, 1, seconds=PATIENCE)
            bed.wait_ended([made], seconds=60)
            bed.remove([made])
    note = f"{count} starts, p99 {percentile(taken, 99):.1f} ms"
    return [Row("start call to first pod, p50", percentile(taken, 50), "ms", most=60.0, note=note)]


def measure_cost(bed: Bed) -> list[Row]:
    """Requests of one chain until its logs are kept, less those that a SecFlow without work sends in that time."""
    length = bed.options.chain
    quiet = float(bed.options.idle_seconds)
    bed.settle()
    bed.say(f"cost: counting requests without work for {quiet:g} s")
    before, began = bed.requests(), time.monotonic()
    time.sleep(quiet)
    per_second = (bed.requests() - before) * (1 / (time.monotonic() - began))
    bed.say(f"cost: counting requests of a chain of {length}")
    made = bed.make(length, chain(length))
    before, began = bed.requests(), time.monotonic()
    bed.start(made)
    bed.wait_ended([made], seconds=PATIENCE)
    bed.wait_logs(made, length)
    asked, seconds = bed.requests() - before, time.monotonic() - began
    bed.remove([made])
    each = (asked.total - per_second.total * seconds) / length
    minute = per_second * 60
    note = f"{asked.total:.0f} requests ({asked.logs:.0f} of logs) in {seconds:.0f} s"
    note += f"; without work {minute.total:.1f} ({minute.logs:.1f} of logs) a minute"
    return [Row("requests per node, logs included", each, most=3.0, note=note)]
