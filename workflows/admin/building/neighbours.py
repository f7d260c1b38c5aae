"""Who can stand before whom: what pickers of nodes offer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secflow.console.bodies.parts import Option
from workflows.models import WorkflowInstance, WorkflowNode


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nodes of an instance around one of them, which may not exist yet (`node_id` is None then).

    `names`: by id, oldest first. `kinds` and `statuses`: by id as well. `before`: all that run before it. `parents`: those with
    an edge to it. `possible`: all that could run before it without a cycle.
    """

    node_id: str | None
    names: Mapping[str, str]
    kinds: Mapping[str, str]
    statuses: Mapping[str, str]
    parents: Sequence[str]
    before: Collection[str]
    possible: Sequence[str]
    claims: Sequence[str]

    def with_parents(self, chosen: Collection[str], edges: Sequence[Mapping[str, Any]]) -> Collection[str]:
        """All that run before the node when it has these direct parents."""
        return reached(chosen, _by(edges, "target", "source")) | set(chosen)

    def source_options(self, *, prefers: str = "") -> tuple[Option, ...]:
        """Options for a source: first those that run before it already."""
        groups = (
            ("Runs before this node", [id for id in self.possible if id in self.before]),
            ("Will run before this node then", [id for id in self.possible if id not in self.before]),
        )
        count = Counter(self.names.values())
        return tuple(
            Option(id, id, self._label(id, prefers, is_unique=count[self.names[id]] == 1), title)
            for title, ids in groups
            for id in sorted(ids, key=lambda id: (bool(prefers) and self.kinds[id] != prefers, self.names[id]))
        )

    def _label(self, node_id: str, prefers: str, *, is_unique: bool) -> str:
        name = self.names[node_id] if is_unique else f"{self.names[node_id]} ({node_id[-8:]})"
        return (
            f"{name} – a job has no host name, so only the default counts"
            if prefers and self.kinds[node_id] != prefers
            else name
        )


def neighbours_of(instance: WorkflowInstance, node_id: str | None) -> Neighbours:
    """One query."""
    rows = WorkflowNode.objects.filter(instance=instance).order_by("created_at", "id")
    nodes = list(rows.values("pk", "name", "node_type", "status", "volume_mounts"))
    edges = instance.edges
    names = {row["pk"]: row["name"] for row in nodes}
    after = reached({node_id}, _by(edges, "source", "target")) if node_id else set()
    claims = [edge.get("shared_pvc") for edge in edges]
    claims += [mount["pvc_name"] for row in nodes for mount in row["volume_mounts"] or ()]
    parents = [edge["source"] for edge in edges if edge["target"] == node_id]
    return Neighbours(
        node_id=node_id,
        names=names,
        kinds={row["pk"]: row["node_type"] for row in nodes},
        statuses={row["pk"]: row["status"] for row in nodes},
        parents=list(dict.fromkeys(parents)),
        before=reached({node_id}, _by(edges, "target", "source")) if node_id else frozenset(),
        possible=[pk for pk in names if pk != node_id and pk not in after],
        claims=sorted({claim for claim in claims if claim}),
    )


def reached(starts: Iterable[str], steps: Mapping[str, Collection[str]]) -> set[str]:
    """Everything that one or more steps lead to."""
    found: set[str] = set()
    front = list(starts)
    while front:
        for following in steps.get(front.pop(), ()):
            if following not in found:
                found.add(following)
                front.append(following)
    return found


def _by(edges: Iterable[Mapping[str, Any]], start: str, end: str) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for edge in edges:
        made.setdefault(edge[start], []).append(edge[end])
    return made
