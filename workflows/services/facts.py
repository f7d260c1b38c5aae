"""What one pass over the cluster showed, reduced to one object and one pod for each attempt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from k8s_bridge.names import namespace_of, owner_of
from k8s_bridge.observations import Observation, Phase, observe
from k8s_bridge.specs import DEPLOYMENT, JOB
from workflows.models import WorkflowInstance
from workflows.services.cluster import gateway

_KINDS = (DEPLOYMENT, JOB, "Pod")


class Facts:
    """Lists of objects in, the observations that count out."""

    def __init__(self) -> None:
        self.seen = 0
        self.objects: dict[int, Observation] = {}
        self.pods: dict[int, tuple[str, Observation]] = {}
        self.with_pods: set[int] = set()  # attempts that have a pod, also one that says nothing
        self.owners: dict[int, str] = {}  # attempt -> instance id, for everything that is not going already
        self.standing: set[tuple[int, str]] = set()  # (attempt, kind), the same
        self.places: dict[str, set[str]] = defaultdict(set)  # instance id -> namespaces, the same

    def add(self, kind: str, items: Iterable[dict[str, Any]]) -> None:
        """Takes in objects of one kind. An object may come twice."""
        for item in items:
            self.seen += 1
            owner = owner_of(item)
            if owner is None:
                continue
            if not item["metadata"].get("deletionTimestamp"):
                self.owners[owner.attempt] = owner.instance_id
                self.standing.add((owner.attempt, kind))
                self.places[owner.instance_id].add(item["metadata"]["namespace"])
            if kind not in _KINDS:
                continue
            if kind == "Pod":
                self.with_pods.add(owner.attempt)
            seen = observe(kind, item)
            if seen is None:
                continue
            created = item["metadata"].get("creationTimestamp") or ""
            if kind != "Pod":
                self.objects[seen.attempt] = seen
            elif self._is_newer(seen, created):
                self.pods[seen.attempt] = (created, seen)

    def join(self, other: Facts) -> None:
        """Takes in what was seen of other kinds."""
        self.seen += other.seen
        self.objects |= other.objects
        self.pods |= other.pods
        self.with_pods |= other.with_pods
        self.owners |= other.owners
        self.standing |= other.standing
        for instance_id, namespaces in other.places.items():
            self.places[instance_id] |= namespaces

    def _is_newer(self, seen: Observation, created: str) -> bool:
        """A pod that succeeded decides its job, whichever came later; otherwise the newest pod speaks."""
        known = self.pods.get(seen.attempt)
        if known is None or seen.phase is Phase.SUCCEEDED:
            return True
        return known[1].phase is not Phase.SUCCEEDED and created >= known[0]

    def of(self, attempt: int) -> Iterator[Observation]:
        """The observations of one attempt: its pod says more than its object, so it comes first. What a pod suffers from is
        not said again in the words of its Deployment, which would only take turns with it.
        """
        _, pod = self.pods.get(attempt, (None, None))
        if pod is not None:
            yield pod
        if attempt in self.objects:
            seen = self.objects[attempt]
            is_said = pod is not None and pod.diagnosis is not None and seen.source == DEPLOYMENT
            yield replace(seen, diagnosis=None) if is_said else seen

    def all(self) -> Iterator[Observation]:
        for attempt in sorted(self.pods.keys() | self.objects.keys()):
            yield from self.of(attempt)


def look_at_all() -> Facts:
    """Everything of this installation; one list per kind (and per 500 objects). Raises ClusterError.

    The kinds are listed at once: the cluster prepares one list while another is read.
    """
    cluster, facts = gateway(), Facts()

    def look_at(kind: str) -> Facts:
        part = Facts()
        part.add(kind, cluster.list_owned(kind))
        return part

    with ThreadPoolExecutor(len(_KINDS), thread_name_prefix="look") as pool:
        for part in pool.map(look_at, _KINDS):
            facts.join(part)
    return facts


def look_at_instance(instance: WorkflowInstance) -> Facts:
    """Everything of one instance, Services too; four requests. Raises ClusterError."""
    facts = Facts()
    for kind, items in gateway().list_instance(namespace_of(instance.project_id), instance.pk).items():
        facts.add(kind, items)
    return facts
