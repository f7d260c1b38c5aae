"""What a soak does, out of a seed alone: the same seed gives the same workflows and the same faults, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

# What is done with a workflow, and how often. `edit`: its template changes while it runs.
COURSES = {
    "run": 34,
    "fail": 14,
    "trigger": 13,
    "stop": 12,
    "delete": 10,
    "uninitialize": 8,
    "edit": 9,
}
PROBES = {"none": 5, "exec": 4, "http": 2, "tcp": 1}
MOST_NODES = 12

# (kind, what it hits, weight).
SIGNALS = [
    (kind, role, weight)
    for kind, roles in {
        "kill": {"worker": 9, "watcher": 7, "web": 4, "beat": 2},
        "term": {"worker": 4, "watcher": 3, "web": 2, "beat": 1},
        "pause": {"worker": 4, "watcher": 4, "web": 3, "beat": 1},
    }.items()
    for role, weight in roles.items()
]
DELETIONS = [("remove", "Pod", 4), ("remove", "Job", 3), ("remove", "Deployment", 2)]
BROKER = [("flush", "broker", 7)]
CUTS = [
    (kind, part, weight) for part, weight in (("database", 3), ("broker", 3)) for kind in ("cut", "stall", "refuse")
]
# What the API server answers, and what its watches send. `lost`: it is done, and the answer never comes.
CLUSTER = [
    *[("answer", what, 2) for what in ("429", "5xx", "reset", "lost", "truncated", "none", "slow")],
    *[("watch", what, 2) for what in ("cut", "silent", "expired", "shuffled")],
    ("outage", "cluster", 3),
]
EVERY = [*SIGNALS, *DELETIONS, *BROKER, *CUTS, *CLUSTER]


@dataclass(frozen=True, slots=True)
class Node:
    """One node: a job that lasts some seconds, or an app. `reads` names parents whose file it must find in the claim."""

    name: str
    kind: str = "job"
    seconds: float = 0.0
    fate: str = "succeed"  # or `fail`, or `retry`: the first pod fails and the second does not
    writes: bool = False
    reads: tuple[str, ...] = ()
    probe: str = "none"
    has_service: bool = False


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow and its course. `pause` are the seconds from the start to what is done in the middle."""

    number: int
    course: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    pause: float
    is_set_up_first: bool
    triggers: int

    @property
    def failing(self) -> str | None:
        """The node that is to fail."""
        return next((node.name for node in self.nodes if node.fate == "fail"), None)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, `pause` seconds after the one before it, that lasts `seconds`. `pick` (0..1) chooses among what is there."""

    number: int
    pause: float
    kind: str
    target: str
    seconds: float
    pick: float


def workflow(seed: str, number: int) -> Workflow:
    """The workflow with this number. It depends on nothing but the seed and the number, so threads may take them in any order."""
    chance = random.Random(f"{seed}/workflow/{number}")
    course = chance.choices(list(COURSES), weights=list(COURSES.values()))[0]
    count = min(MOST_NODES, 1 + int(chance.expovariate(1 / 3.5)))
    names = [f"n{index}" for index in range(count)]
    edges = [
        (names[source], names[target])
        for target in range(1, count)
        for source in sorted(chance.sample(range(target), min(target, chance.choices([0, 1, 2, 3], [2, 6, 3, 1])[0])))
    ]
    failing = chance.choice(names) if course == "fail" else None
    made: list[Node] = []
    for name in names:
        parents = [source for source, target in edges if target == name]
        made.append(_node(chance, name, [one for one in made if one.name in parents], is_failing=name == failing))
    if course == "edit" and made[0].kind == "app":
        # The template that is edited is that of the first node, and the edit makes it fail.
        made[0] = Node(names[0], seconds=1.0)
    return Workflow(
        number=number,
        course=course,
        nodes=tuple(made),
        edges=tuple(edges),
        pause=round(chance.uniform(0, 4), 1),
        is_set_up_first=chance.random() < 0.25,
        triggers=chance.randint(1, 3),
    )


def _node(chance: random.Random, name: str, parents: list[Node], *, is_failing: bool) -> Node:
    seconds = round(chance.choice([0.0, 0.0, chance.uniform(0, 3)]), 1)
    readable = tuple(one.name for one in parents if one.writes)
    is_app, fate, writes = chance.random() < 0.2, chance.random(), chance.random() < 0.3
    probe = chance.choices(list(PROBES), weights=list(PROBES.values()))[0]
    has_service = chance.random() < 0.6
    if is_failing:
        return Node(name, seconds=seconds, fate="fail", reads=readable)
    if is_app:
        return Node(name, kind="app", probe=probe, has_service=has_service)
    return Node(name, seconds=seconds, fate="retry" if fate < 0.05 else "succeed", writes=writes, reads=readable)


def faults(seed: str, *, shortest: float, longest: float, kinds: list[tuple[str, str, int]] = EVERY) -> Iterator[Fault]:
    """Faults without end, `shortest` to `longest` seconds apart."""
    chance = random.Random(f"{seed}/faults")
    weights = [weight for _, _, weight in kinds]
    number = 0
    while True:
        number += 1
        kind, target, _ = chance.choices(kinds, weights=weights)[0]
        yield Fault(
            number=number,
            pause=round(chance.uniform(shortest, longest), 2),
            kind=kind,
            target=target,
            seconds=round(chance.uniform(0.5, 8), 2),
            pick=chance.random(),
        )
