"""Logs and evidence as a cluster tells them that the local one cannot play: other time zones, logs that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8s_bridge.diagnosis import Category, Diagnosis
from k8s_bridge.errors import ClusterError
from k8s_bridge.gateway import Gateway
from k8s_bridge.observations import Observation, Phase
from tests.unit.k8s_bridge.conftest import ScriptedCluster, cluster, gateway, owner, patience_clock
from tests.unit.k8s_bridge.scripts import PODS, listing
from workflows.services.evidence import gather_evidence
from workflows.services.facts import Facts
from workflows.services.live_logs import ENDED, LogFollower, Place

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call

__all__ = ["cluster", "gateway", "owner", "patience_clock"]


def follow(cluster: ScriptedCluster, gateway: Gateway, text: bytes, *, after: Place | None = None) -> list[bytes]:
    def write(call: Call) -> None:
        call.start_stream()
        call.chunk(text)
        call.end_stream()

    cluster.script(f"GET {PODS}/a/log", write)
    return list(LogFollower(gateway, "secflow-p1", "a", "main", tail_lines=10, after=after))


def test_the_times_of_a_node_in_another_zone_are_told_in_utc(cluster: ScriptedCluster, gateway: Gateway) -> None:
    text = b"2030-01-01T01:30:00.123456789+08:00 one\n2030-01-01T01:30:00.5+08:00 two\n2029-12-31T17:30:01Z three\n"

    lines = follow(cluster, gateway, text)

    assert lines == [
        b"2029-12-31T17:30:00.123456789Z one\n",
        b"2029-12-31T17:30:00.5Z two\n",
        b"2029-12-31T17:30:01Z three\n",
        ENDED,
    ]
    assert follow(cluster, gateway, text, after=Place("2029-12-31T17:30:00.123456789Z", 1)) == lines[1:]
    assert follow(cluster, gateway, text, after=Place("2029-12-31T17:30:00.500Z", 1)) == lines[2:]


POD = {
    "metadata": {"name": "a", "namespace": "secflow-p1", "uid": "u", "creationTimestamp": "2030-01-01T00:00:00Z"},
    "spec": {"containers": [{"name": "main"}]},
    "status": {
        "phase": "Failed",
        "containerStatuses": [
            {"name": "main", "restartCount": 0, "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
        ],
    },
}


def test_states_are_evidence_even_if_the_log_can_not_be_had_any_more(
    cluster: ScriptedCluster, gateway: Gateway
) -> None:
    cluster.script(f"GET {PODS}", listing(POD))
    cluster.script("GET /api/v1/namespaces/secflow-p1/events", listing())
    cluster.script(f"GET {PODS}/a/log", lambda call: call.refuse(500, "InternalError"))

    pods = gateway.pods_of("secflow-p1", "a")
    with pytest.raises(ClusterError):
        gather_evidence(gateway, "secflow-p1", "a", pods)
    found = gather_evidence(gateway, "secflow-p1", "a", pods, is_last=True)

    assert found["logs"] == []
    assert found["pods"][0]["containers"][0]["state"]["exitCode"] == 3


def observation(source: str, *, diagnosis: Diagnosis | None) -> Observation:
    return Observation(
        attempt=1,
        run=1,
        installation="i",
        instance_id="wf",
        node_id="n",
        source=source,
        name="a",
        namespace="secflow-p1",
        uid=source,
        phase=Phase.WAITING,
        diagnosis=diagnosis,
    )


@pytest.mark.parametrize(("source", "is_said_twice"), [("Deployment", False), ("Job", True)])
def test_what_its_pod_suffers_from_is_not_told_of_an_app_in_other_words(source: str, is_said_twice: bool) -> None:
    of_pod = Diagnosis(Category.CRASH_LOOP, "crash loop", "", "")
    of_object = Diagnosis(Category.EXIT_CODE, "other", "", "")
    facts = Facts()
    facts.objects[1] = observation(source, diagnosis=of_object)

    assert [seen.diagnosis for seen in facts.of(1)] == [of_object]
    facts.pods[1] = ("", observation("Pod", diagnosis=of_pod))
    assert [seen.diagnosis for seen in facts.of(1)] == [of_pod, of_object if is_said_twice else None]
    facts.pods[1] = ("", observation("Pod", diagnosis=None))
    assert [seen.diagnosis for seen in facts.of(1)] == [None, of_object]
