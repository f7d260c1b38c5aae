"""Fan-out and many runs: much at once, on the cluster's own nodes and on simulated ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench.bed import Bed, Made, chain
from tests.bench.driver import DriverProcess, driver_process, node_id
from tests.bench.figures import Row, percentile
from tests.bench.pods import PodWatch, hand_offs
from tests.bench.simulated import only_simulated

PATIENCE = 1800.0
LENGTH = 5  # nodes of each of many instances


@dataclass
class Crowd:
    """Many chains at once: seconds until the last was through, hand-offs in milliseconds, and how many did not succeed."""

    seconds: float
    hand_offs: list[float]
    failed: int = 0


@contextmanager
def simulated_place(bed: Bed) -> Iterator[str]:
    """New pods go to simulated nodes, or to the local cluster where that is the cluster. Says where. Raises Skipped."""
    if bed.is_local:
        yield "local cluster"
        return
    with only_simulated(bed.admin):
        yield "simulated nodes"


def measure_fan(bed: Bed) -> list[Row]:
    """The fan of the cluster's own nodes."""
    return _fan(bed, bed.options.fan, rounds=bed.options.rounds, where="local cluster" if bed.is_local else "real node")


def measure_wide(bed: Bed) -> list[Row]:
    """The fans of simulated nodes."""
    with simulated_place(bed) as where:
        return [row for width in bed.options.wide for row in _fan(bed, width, rounds=1, where=where)]


def _fan(bed: Bed, width: int, *, rounds: int, where: str) -> list[Row]:
    ours: list[float] = []
    recorded: list[float] = []
    theirs: list[float] = []
    with _tools(bed) as (pods, driver):
        for number in range(rounds):
            bed.say(f"fan of {width} on {where}, round {number + 1} of {rounds}")
            theirs.append(_of_driver(bed, driver, width))
            made = bed.make(width, [])
            began = bed.start(made)
            ended, statuses = bed.wait_ended([made], seconds=PATIENCE)
            pods.wait_succeeded(made.id, width, seconds=60)
            if statuses.get("succeeded") != 1:
                raise RuntimeError(f"the fan of {width} ended as {statuses}")
            recorded.append(ended - began)
            ours.append(max(seen.succeeded or 0.0 for seen in pods.of(made.id).values()) - began)
            bed.remove([made])
            # Before and after: a cluster that has just removed a thousand objects is slower, whoever comes next.
            theirs.append(_of_driver(bed, driver, width))
    note = f"{where}; last pod succeeded after {percentile(ours, 50):.2f} s, then recorded"
    row = Row(f"1 x {width}", percentile(recorded, 50), "s", percentile(theirs, 50), most_ratio=1.15, note=note)
    return [row]


def _of_driver(bed: Bed, driver: DriverProcess, width: int) -> float:
    """The seconds that the driver takes; nothing of it is left."""
    began, ended = driver.run(bed.tag(), chains=width, length=1)
    bed.clear()
    return ended - began


def measure_many(bed: Bed) -> list[Row]:
    """Many instances of a few nodes at once, against the driver with as many chains."""
    count = bed.options.many
    with simulated_place(bed) as where:
        bed.say(f"many: {count} chains of {LENGTH} by the driver on {where}")
        theirs = driver_crowd(bed, count)
        bed.say(f"many: {count} instances of {LENGTH} nodes by SecFlow on {where}")
        ours = crowd(bed, count)
    name = f"{count} instances of {LENGTH} nodes"
    return [
        Row(f"{name}, not succeeded", float(ours.failed), most=0.0, note=where),
        Row(f"{name}, all ended", ours.seconds, "s", theirs.seconds, most_ratio=2.0, note=rate(count, ours)),
        Row(
            f"{name}, hand-off p50",
            percentile(ours.hand_offs, 50),
            "ms",
            percentile(theirs.hand_offs, 50),
            most_ratio=2.0,
            note=f"p99 {percentile(ours.hand_offs, 99):.0f} ms, driver {percentile(theirs.hand_offs, 99):.0f} ms",
        ),
    ]


def rate(count: int, found: Crowd) -> str:
    """In words, how many nodes per second that is."""
    return f"{count * LENGTH / found.seconds:.1f} nodes/s"


def driver_crowd(bed: Bed, count: int) -> Crowd:
    """The driver's chains, and nothing of them left."""
    with _tools(bed) as (pods, driver):
        tag = bed.tag()
        began, ended = driver.run(tag, chains=count, length=LENGTH)
        pods.wait_succeeded(tag, count * LENGTH, seconds=60)
        seen = pods.of(tag)
    bed.clear()
    found = [
        hand_off
        for number in range(count)
        for hand_off in hand_offs(seen, [node_id(number, place) for place in range(LENGTH)])
    ]
    return Crowd(ended - began, found)


def crowd(bed: Bed, count: int) -> Crowd:
    """SecFlow's instances, started at once, and nothing of them left."""
    with PodWatch(bed.stack.kubeconfig, bed.namespace) as pods:
        many = [bed.make(LENGTH, chain(LENGTH)) for _ in range(count)]
        began = bed.start_all(many)
        ended, statuses = bed.wait_ended(many, seconds=PATIENCE)
        good = statuses.get("succeeded", 0)
        found = _all_hand_offs(pods, many) if good == count else []
    bed.remove(many)
    return Crowd(ended - began, found, failed=count - good)


def _all_hand_offs(pods: PodWatch, many: list[Made]) -> list[float]:
    found: list[float] = []
    for made in many:
        # The record may know the end a moment before the witness does.
        pods.wait_succeeded(made.id, LENGTH, seconds=60)
        found += hand_offs(pods.of(made.id), made.nodes)
    return found


@contextmanager
def _tools(bed: Bed) -> Iterator[tuple[PodWatch, DriverProcess]]:
    with (
        PodWatch(bed.stack.kubeconfig, bed.namespace) as pods,
        driver_process(bed.stack.kubeconfig, bed.namespace) as driver,
    ):
        yield pods, driver
