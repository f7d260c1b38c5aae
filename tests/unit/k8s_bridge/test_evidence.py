"""What is kept of a failed workload, and that it stays small."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k8s_bridge.evidence import MOST_BYTES, LastLines, LogRequest, build_evidence, logs_to_read
from k8s_bridge.results import WarningEvent

Json = dict[str, Any]
STARTED = {"startedAt": "2026-03-01T09:00:00Z"}


def status(name: str, *, state: Json, last: Json | None = None, restarts: int = 0) -> Json:
    return {
        "name": name,
        "image": f"reg.io/{name}:1",
        "imageID": "reg.io@sha256:1",
        "ready": False,
        "restartCount": restarts,
        "state": state,
        "lastState": last or {},
    }


def pod(name: str, *statuses: Json, created: str = "2026-03-01T09:00:00Z", **more: Any) -> Json:
    env = [{"name": "PASSWORD", "value": "hunter2"}]
    return {
        "metadata": {"name": name, "creationTimestamp": created, "annotations": {"note": "hunter2"}},
        "spec": {"nodeName": "n1", "containers": [{"name": item["name"], "env": env} for item in statuses]},
        "status": {"phase": "Failed", "containerStatuses": list(statuses), **more},
    }


def warning(number: int, message: str = "m") -> WarningEvent:
    return WarningEvent("Pod", "p", "BackOff", message, number, f"2026-03-01T09:{number % 60:02d}:00Z")


CRASHING = status(
    "main",
    state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
    last={"terminated": {"exitCode": 137, "reason": "OOMKilled", "containerID": "containerd://1", **STARTED}},
    restarts=4,
)


def test_states_warnings_and_last_lines_are_kept() -> None:
    found = build_evidence(
        [
            pod(
                "p",
                CRASHING,
                reason="Evicted",
                message="low on memory",
                conditions=[
                    {"type": "Ready", "status": "False"},
                    {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "m"},
                ],
            )
        ],
        [warning(2, "later"), warning(1, "sooner")],
        [LastLines("p", "main", True, "bye\n")],
    )

    assert found == {
        "pods": [
            {
                "name": "p",
                "node": "n1",
                "phase": "Failed",
                "reason": "Evicted",
                "message": "low on memory",
                "deleted_at": None,
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "m"}
                ],
                "containers": [
                    {
                        "name": "main",
                        "image": "reg.io/main:1",
                        "ready": False,
                        "restarts": 4,
                        "state": {"is": "waiting", "reason": "CrashLoopBackOff", "message": "back-off 40s"},
                        "last_state": {"is": "terminated", "reason": "OOMKilled", "exitCode": 137, **STARTED},
                    }
                ],
            }
        ],
        "events": [
            {
                "kind": "Pod",
                "name": "p",
                "reason": "BackOff",
                "message": message,
                "count": count,
                "last_seen": f"2026-03-01T09:0{count}:00Z",
            }
            for count, message in ((1, "sooner"), (2, "later"))
        ],
        "logs": [{"pod": "p", "container": "main", "previous": True, "text": "bye\n"}],
    }


def test_values_of_variables_are_no_evidence() -> None:
    assert "hunter2" not in json.dumps(build_evidence([pod("p", CRASHING)], [warning(1)], []))


@pytest.mark.parametrize("text", ["x" * 100_000, "\n" * 100_000, "\u00e4" * 100_000, "\x01" * 100_000])
def test_it_is_never_too_large(text: str) -> None:
    pods = [
        pod(f"p{number}", *(status(f"c{at}", state={"waiting": {"message": text}}) for at in range(20)), message=text)
        for number in range(9)
    ]
    logs = [LastLines("p8", f"c{number}", False, f"{text}the end") for number in range(5)]

    found = build_evidence(pods, [warning(number, text) for number in range(500)], logs)

    assert len(json.dumps(found).encode()) <= MOST_BYTES
    assert found["pods"][0]["name"] == "p8"
    assert len(found["pods"][0]["containers"]) == 20


def test_the_end_of_a_log_and_the_newest_warnings_stay() -> None:
    logs = [LastLines("p", "main", False, "line\n" * 50_000 + "the end")]

    found = build_evidence([pod("p", CRASHING)], [warning(number) for number in range(50)], logs)

    assert found["logs"][0]["text"].endswith("line\nthe end")
    assert len(found["logs"][0]["text"]) > MOST_BYTES // 4
    assert [event["count"] for event in found["events"]] == list(range(20, 50))


def test_logs_of_the_newest_pod_are_worth_reading() -> None:
    newest = pod(
        "new",
        CRASHING,
        status("side", state={"running": STARTED}),
        status("late", state={"waiting": {"reason": "ContainerCreating"}}),
        status("over", state={"terminated": {"exitCode": 1}}, last={"terminated": {"exitCode": 2}}),
        created="2026-03-01T10:00:00Z",
    )

    assert logs_to_read([pod("old", CRASHING), newest]) == [
        LogRequest("new", "main", True),
        LogRequest("new", "side", False),
        LogRequest("new", "over", True),
        LogRequest("new", "over", False),
    ]


def test_without_pods_there_is_still_evidence() -> None:
    assert logs_to_read([]) == []
    assert build_evidence([], [], []) == {"pods": [], "events": [], "logs": []}
