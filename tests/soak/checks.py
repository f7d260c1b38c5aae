"""What must be true of everything that was seen. Pure: records in, violations in words out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

ENDED = frozenset({"succeeded", "failed", "stopped"})
GONE_SECONDS = 120.0  # promise 7: what a run had is gone by then
SETTLED_SECONDS = 30.0  # a process has everything it needs by then
MOST_GROWTH = 2.0
# What a small process may gain without being a leak.
BYTES_FREE, FILES_FREE = 64 * 2**20, 32

_NODE_ENDS = {
    "node.succeeded": "succeeded",
    "node.failed": "failed",
    "node.expired": "failed",
    "node.vanished": "failed",
}
_RUN_ENDS = frozenset(
    {
        "run.succeeded",
        "run.failed",
        "instance.stopped",
        "instance.uninitializing",
        "instance.uninitialized",
        "instance.deleting",
        "instance.deleted",
    }
)


@dataclass(slots=True)
class Seen:
    """One object of the cluster. Times are seconds since the epoch by the clock of who looked."""

    kind: str
    name: str
    uid: str
    instance_id: str
    node_id: str
    run: int
    attempt: int
    first_at: float
    leaving_at: float | None = None
    gone_at: float | None = None
    succeeded: bool = False  # the pod's phase, or the Job's condition
    key: str | None = None  # what its container is told to be


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an instance's journal."""

    sequence: int
    kind: str
    node_id: str | None
    at: float
    run: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process used."""

    role: str
    pid: int
    age: float
    memory: int
    files: int


def doubles(objects: Iterable[Seen], *, touched: Collection[str] = ()) -> list[str]:
    """Promise 2: at most one live Deployment or Job per node and attempt, and per node at any moment.

    `touched` are instances of which somebody deleted an object: there an attempt may have been made anew.
    """
    by_attempt: dict[tuple[str, str, int], list[Seen]] = defaultdict(list)
    by_node: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    for one in objects:
        if one.kind in ("Deployment", "Job"):
            by_attempt[one.kind, one.node_id, one.attempt].append(one)
            by_node[one.kind, one.node_id].append(one)
    found = [
        f"{kind} of attempt {attempt} of {node_id} was made {len(several)} times"
        for (kind, node_id, attempt), several in by_attempt.items()
        if len(several) > 1 and several[0].instance_id not in touched
    ]
    for (kind, node_id), several in by_node.items():
        several.sort(key=lambda one: one.first_at)
        for before, after in zip(several, several[1:], strict=False):
            if before.leaving_at is None and before.gone_at is None:
                found.append(f"{node_id} has two live {kind}s at once: attempts {before.attempt} and {after.attempt}")
    return found


def repeated_pods(objects: Iterable[Seen], once: Collection[str], *, touched: Collection[str] = ()) -> list[str]:
    """Promise 3: a job without retries has one pod. `once` are the nodes that have none."""
    pods: dict[tuple[str, int], int] = defaultdict(int)
    for one in objects:
        if one.kind == "Pod" and one.node_id in once and one.instance_id not in touched:
            pods[one.node_id, one.attempt] += 1
    return [f"attempt {a} of {node} without retries had {n} pods" for (node, a), n in pods.items() if n > 1]


def leftovers(
    objects: Iterable[Seen], emptied: Mapping[str, float], *, now: float, limit: float = GONE_SECONDS
) -> list[str]:
    """Promise 7: what an instance had is gone in time. `emptied` says since when an instance should have nothing."""
    return [
        f"{one.kind} {one.name} of {one.instance_id} is still there {now - emptied[one.instance_id]:.0f} s after its end"
        for one in objects
        if one.gone_at is None and one.instance_id in emptied and now - emptied[one.instance_id] > limit
    ]


def journal(instance_id: str, entries: Sequence[Entry], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Promises 4, 5 and 8: no gap; in a run no node begins before its parents' success, twice, or after its end; nothing
    moves when the run is over.
    """
    found: list[str] = []
    numbers = [entry.sequence for entry in entries]
    if numbers != list(range(1, len(numbers) + 1)):
        found.append(f"the journal of {instance_id} is not 1 to {len(numbers)}: {numbers}")
    parents: dict[str, set[str]] = defaultdict(set)
    for source, target in edges:
        parents[target].add(source)
    phase, nodes = "none", {}
    for entry in entries:
        where = f"{instance_id} #{entry.sequence}"
        node = entry.node_id or ""
        if entry.kind == "run.accepted":
            if phase == "run":
                found.append(f"{where}: a run was accepted while another one was open")
            phase, nodes = "run", {}
        elif entry.kind == "instance.initializing":
            phase = "setup"
        elif entry.kind in _RUN_ENDS:
            if entry.kind.startswith("run.") and phase != "run":
                found.append(f"{where}: {entry.kind} without an open run")
            phase = "none"
        elif entry.kind == "node.running" or entry.kind in _NODE_ENDS:
            if phase == "none":
                found.append(f"{where}: {entry.kind} of {node} after the end of the run")
            elif phase == "run":
                found += [f"{where}: {what}" for what in _step(entry.kind, node, nodes, parents[node])]
    return found


def _step(kind: str, node: str, nodes: dict[str, str], parents: set[str]) -> list[str]:
    """Takes one step of a node in an open run; what is wrong with it."""
    before, found = nodes.get(node), []
    if kind == "node.running":
        if before is not None:
            found.append(f"{node} begins and was {before} already")
        found += [f"{node} begins before {one} succeeded" for one in sorted(parents) if nodes.get(one) != "succeeded"]
    elif before != "running":
        found.append(f"{kind} of {node}, which was {before or 'not started'}")
    nodes[node] = _NODE_ENDS.get(kind, "running")
    return found


def early_objects(objects: Iterable[Seen], entries: Sequence[Entry], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Promise 5, seen from the cluster: no Job was there before its parents' success was written.

    Only the first run counts: later ones have their own objects under the same parents.
    """
    done: dict[str, float] = {}
    for entry in entries:
        if entry.kind == "node.succeeded" and entry.node_id:
            done.setdefault(entry.node_id, entry.at)
    jobs = [one for one in objects if one.kind == "Job"]
    return [
        f"Job of {target} was there {done[source] - one.first_at:.2f} s before the success of {source} was written"
        for source, target in edges
        for one in jobs
        if one.node_id == target and source in done and one.first_at < done[source]
    ]


def false_successes(objects: Collection[Seen], entries: Iterable[Entry], jobs: Collection[str]) -> list[str]:
    """What succeeded in the journal succeeded in the cluster: a pod or Job of the same node and run did."""
    truly = {(one.node_id, one.run) for one in objects if one.succeeded}
    return [
        f"{entry.node_id} succeeded in run {entry.run}, and no pod and no Job of it did"
        for entry in entries
        if entry.kind == "node.succeeded" and entry.node_id in jobs and (entry.node_id, entry.run) not in truly
    ]


def mistaken_identities(objects: Iterable[Seen], keys: Mapping[str, str]) -> list[str]:
    """Every object runs what its own node asks for. `keys` has what the containers of a node are told, by node id."""
    return [
        f"{one.kind} {one.name} of {one.node_id} runs what belongs to {one.key}"
        for one in objects
        if one.key is not None and one.node_id in keys and one.key != keys[one.node_id]
    ]


def moved_after_end(before: Mapping[int, str], after: Mapping[int, str]) -> list[str]:
    """Promise 4: an ended status is final. Records of the same runs at two moments, status by id."""
    return [
        f"record {number} was {status} and became {after[number]}"
        for number, status in before.items()
        if status in ENDED and after.get(number, status) != status
    ]


def growth(samples: Iterable[Sample]) -> list[str]:
    """No process needs more than twice the memory and open files that it had once it was warm."""
    lives: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.age >= SETTLED_SECONDS:
            lives[sample.pid].append(sample)
    found = []
    for pid, life in lives.items():
        first, last = min(life, key=lambda one: one.age), max(life, key=lambda one: one.age)
        if last.memory > max(first.memory * MOST_GROWTH, first.memory + BYTES_FREE):
            found.append(
                f"{first.role} {pid} grew from {first.memory >> 20} to {last.memory >> 20} MiB in {last.age:.0f} s"
            )
        if last.files > max(first.files * MOST_GROWTH, first.files + FILES_FREE):
            found.append(f"{first.role} {pid} went from {first.files} to {last.files} open files in {last.age:.0f} s")
    return found


class Lasting:
    """Keeps since when each line was found without a break, and says once what stayed longer than it may."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._said: set[str] = set()

    def take(self, found: Collection[str], *, now: float) -> None:
        """What is found now; what is not is forgotten."""
        self._since = {line: self._since.get(line, now) for line in found}

    def late(self, *, now: float, limit: Callable[[str], float]) -> list[str]:
        """Lines that are there for more than the seconds that `limit` gives them."""
        found = [line for line, since in self._since.items() if now - since > limit(line) and line not in self._said]
        self._said.update(found)
        return found


def recoveries(ends: Sequence[float], progress: Sequence[float]) -> list[float]:
    """For each end of a fault, the seconds until the next progress after it; faults that nothing followed are left out."""
    times = sorted(progress)
    found = []
    for end in ends:
        after = next((one for one in times if one >= end), None)
        if after is not None:
            found.append(after - end)
    return found
