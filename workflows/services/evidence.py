"""Evidence of a node that failed, read from the cluster while it is still there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from k8s_bridge.diagnosis import Diagnosis
from k8s_bridge.errors import ClusterError, NotFound, Rejected
from k8s_bridge.evidence import MOST_PODS, LastLines, build_evidence, logs_to_read
from k8s_bridge.gateway import Gateway
from k8s_bridge.kinds import POD
from k8s_bridge.observations import observe
from k8s_bridge.pods import newest_first

LINES = 50  # of each container
LINES_BYTES = 16 * 1024


def gather_evidence(
    cluster: Gateway, namespace: str, app: str, pods: Sequence[dict[str, Any]], *, is_last: bool = False
) -> dict[str, Any]:
    """What the cluster shows of `app` and these pods of it: container states, warnings, last log lines (at most 64 KiB as JSON).

    One request for each of the few objects whose warnings count, one for each log. A log that is gone or not there yet is
    left out. Raises ClusterError when the cluster does not answer; when this `is_last`, because nobody will ask again, logs that
    it does not give are left out too.
    """
    left_out: tuple[type[ClusterError], ...] = (ClusterError,) if is_last else (NotFound, Rejected)
    events = [event for name in _involved(app, pods) for event in cluster.warning_events(namespace, name)]
    logs = []
    for wanted in logs_to_read(pods):
        with suppress(*left_out):
            found = cluster.read_log(
                namespace,
                wanted.pod,
                wanted.container,
                tail_lines=LINES,
                previous=wanted.previous,
                limit_bytes=LINES_BYTES,
            )
            logs.append(LastLines(wanted.pod, wanted.container, wanted.previous, found.text))
    return build_evidence(pods, events, logs)


def trouble_of(pods: Iterable[Mapping[str, Any]]) -> Diagnosis | None:
    """What the newest of the pods suffers from that tells of anything."""
    told = (observe(POD, pod) for pod in newest_first(pods))
    return next((seen.diagnosis for seen in told if seen is not None and seen.diagnosis is not None), None)


def _involved(app: str, pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """The workload, its newest pods, and what owns these: a Deployment's pods are refused to its ReplicaSet."""
    newest = newest_first(pods)[:MOST_PODS]
    owners = [owner["name"] for pod in newest for owner in pod["metadata"].get("ownerReferences") or ()]
    return list(dict.fromkeys([app, *owners, *(pod["metadata"]["name"] for pod in newest)]))
