"""Why a Job has no pod. Its status does not say it: only the warnings of the cluster do (quota, policy, admission)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from k8s_bridge.diagnosis import diagnose_events
from k8s_bridge.observations import Observation, Phase
from k8s_bridge.specs import JOB
from workflows.services.cluster import gateway
from workflows.services.facts import Facts


def refusals(facts: Facts, attempts: Iterable[int]) -> Iterator[Observation]:
    """For each of these attempts whose Job has no pod, what the cluster warns about it, as an observation of the Job.

    One request for each namespace that has such a Job (and for each 500 warnings in it): a large fan has many Jobs that only wait
    for their turn. Raises ClusterError.
    """
    lacking: dict[str, list[Observation]] = defaultdict(list)
    for attempt in attempts:
        seen = facts.objects.get(attempt)
        if attempt not in facts.with_pods and seen is not None and seen.source == JOB and seen.phase is Phase.WAITING:
            lacking[seen.namespace].append(seen)
    for namespace, jobs in lacking.items():
        warnings = gateway().warnings_about(namespace, JOB)
        for seen in jobs:
            diagnosis = diagnose_events(warnings.get(seen.name, ()))
            if diagnosis is not None:
                yield replace(seen, diagnosis=diagnosis)
