"""The words for an instance's status: both vocabularies, in answers and as filters (contract B)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import InstanceFactory, NodeFactory
from workflows.domain.statuses import InstanceStatus
from workflows.models import WorkflowInstance

ALL = [status.value for status in InstanceStatus]
READY = {"initialized", "succeeded", "job only", "ready app"}
UNREADY = {"initializing", "running", "failed", "stopped", "waiting app"}


@pytest.fixture
def one_of_each(db: None) -> dict[str, str]:
    """One instance per status, and `initialized` with and without an app node that is not ready."""
    made = {status: InstanceFactory(status=status) for status in ALL}
    made["job only"] = InstanceFactory(status="initialized")
    made["ready app"] = InstanceFactory(status="initialized")
    made["waiting app"] = InstanceFactory(status="initialized")
    NodeFactory(instance=made["job only"], node_type="job", status="pending")
    NodeFactory(instance=made["ready app"], node_type="app", status="succeeded")
    NodeFactory(instance=made["waiting app"], node_type="app", status="succeeded")
    NodeFactory(instance=made["waiting app"], node_type="app", status="running")
    return {instance.pk: word for word, instance in made.items()}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("pending", {"pending"}),
        ("initializing", {"initializing"}),
        ("initialized", {"initialized", "job only", "ready app", "waiting app"}),
        ("running", {"running"}),
        ("succeeded", {"succeeded"}),
        ("failed", {"failed"}),
        ("stopped", {"stopped"}),
        ("ready", READY),
        ("unready", UNREADY),
        ("", {*ALL, "job only", "ready app", "waiting app"}),
    ],
)
@pytest.mark.parametrize("dialect", ["seed", "readiness"])
def test_the_status_filter_knows_both_vocabularies(
    member: Api, one_of_each: dict[str, str], word: str, expected: set[str], dialect: str
) -> None:
    answer = member.call("GET", f"/workflow-instances?status={word}", **{"X-SecFlow-Status-Dialect": dialect}).json()

    assert {one_of_each[item["id"]] for item in answer["items"]} == expected


def test_readiness_and_both_dialects(member: Api, one_of_each: dict[str, str]) -> None:
    def shown(**headers: str) -> dict[str, tuple[str, str]]:
        items = member.call("GET", "/workflow-instances", **headers).json()["items"]
        return {one_of_each[item["id"]]: (item["status"], item["readiness"]) for item in items}

    readiness = {"pending": "pending"} | dict.fromkeys(READY, "ready") | dict.fromkeys(UNREADY, "unready")
    stored = {word: word if word in ALL else "initialized" for word in readiness}
    seed = {word: (stored[word], ready) for word, ready in readiness.items()}
    assert shown() == seed
    assert shown(**{"X-SecFlow-Status-Dialect": "SEED"}) == seed
    assert shown(**{"X-SecFlow-Status-Dialect": "readiness"}) == {w: (r, r) for w, r in readiness.items()}


def test_the_setting_chooses_the_dialect_and_the_header_overrides_it(member: Api, settings: Any) -> None:
    from dataclasses import replace

    settings.SECFLOW = replace(settings.SECFLOW, status_dialect="readiness")
    path = f"/workflow-instances/{InstanceFactory(status='failed').pk}"

    assert member.read(path)["status"] == "unready"
    assert member.call("GET", path, **{"X-SecFlow-Status-Dialect": "seed"}).json()["status"] == "failed"


def test_errors_and_nodes_keep_the_stored_words(member: Api) -> None:
    node = NodeFactory(instance__status="failed", status="failed")
    path = f"/workflow-instances/{node.instance_id}"
    header = {"X-SecFlow-Status-Dialect": "readiness"}

    refusal = member.call("POST", f"{path}/start", **header).json()

    assert refusal["details"]["status"] == "failed"
    assert member.call("GET", path, **header).json()["nodes"][0]["status"] == "failed"


def test_an_unknown_dialect_is_refused_before_anything_happens(member: Api) -> None:
    body = b'{"name": "x", "project_id": "p1"}'

    answer = member.call("POST", "/workflow-instances", body, **{"X-SecFlow-Status-Dialect": "klingon"})

    assert answer.status_code == 400
    assert answer.json()["details"]["fields"][0]["field"] == "X-SecFlow-Status-Dialect"
    assert not WorkflowInstance.objects.exists()
