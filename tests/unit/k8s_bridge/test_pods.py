from __future__ import annotations

from typing import Any

import pytest

from k8s_bridge.errors import NotFound
from k8s_bridge.pods import log_container, pod_for_logs


def pod(name: str, phase: str, created: str, *, going: bool = False) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": f"2026-03-01T09:00:{created}Z"}
    if going:
        metadata["deletionTimestamp"] = "2026-03-01T10:00:00Z"
    return {"metadata": metadata, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([pod("a", "Failed", "01"), pod("b", "Failed", "02")], "b"),
        ([pod("a", "Running", "01"), pod("b", "Pending", "02")], "a"),
        ([pod("a", "Running", "01"), pod("b", "Running", "02")], "b"),
        ([pod("a", "Running", "03", going=True), pod("b", "Pending", "02")], "b"),
        ([pod("a", "Running", "01", going=True), pod("b", "Failed", "02", going=True)], "b"),
        ([pod("a", "Running", "01"), pod("b", "Running", "01")], "b"),
    ],
)
def test_the_newest_running_pod_is_read(pods: list[dict[str, Any]], expected: str) -> None:
    found = pod_for_logs(pods)

    assert found is not None
    assert found["metadata"]["name"] == expected


def test_no_pod_is_no_choice() -> None:
    assert pod_for_logs([]) is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(None, "main-app"), ("main-app", "main-app"), ("Main App", "main-app"), ("sidecar", "sidecar")],
)
def test_a_container_is_found_in_either_form(wanted: str | None, expected: str) -> None:
    found = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main-app"}, {"name": "sidecar"}]}}

    assert log_container(found, wanted) == expected


def test_an_unknown_container_is_answered_with_those_there_are() -> None:
    found = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main-app"}, {"name": "sidecar"}]}}

    with pytest.raises(NotFound, match="has no container 'other': it has main-app, sidecar"):
        log_container(found, "other")
