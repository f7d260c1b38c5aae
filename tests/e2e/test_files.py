"""A workflow file from its first check to its second run, against the whole stack."""

from __future__ import annotations

import pytest

from secflow.runtime.parts import example_folder
from tests.e2e.driver import Driver, nodes_by_name, statuses
from tests.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.cluster]


def kept_text(driver: Driver, instance_id: str, node_id: str) -> str:
    """The log of the node that was kept: it is fetched when the node has ended."""
    (record,) = driver.call("GET", f"/workflow-instances/{instance_id}/logs?node_id={node_id}").ok()["items"]
    return str(record["execution_logs"]["logs"])


def test_a_file_is_applied_run_and_exported(driver: Driver) -> None:
    text = (example_folder() / "site_check.yaml").read_text(encoding="utf-8")
    text = text.replace("project: examples", f"project: {driver.project}")

    dry = driver.text("POST", "/documents?dry_run=true", text).ok()
    assert (dry["findings"], dry["instance"]["action"]) == ([], "created")

    made = driver.text("POST", "/documents", text).ok()
    id = made["instance"]["id"]
    driver.made.append(id)
    assert made["instance"]["action"] == "created"
    assert [(item["node"], item["kind"]) for item in made["manifests"]][:2] == [
        ("site", "Deployment"),
        ("site", "Service"),
    ]

    ended = driver.run(id)
    assert statuses(ended) == dict.fromkeys(("site", "pages", "links", "answers", "report"), "succeeded"), ended
    shown = {item["node"]: item["name"] for item in made["manifests"] if item["kind"] != "Service"}
    assert shown == {node["name"]: node["k8s_resource_name"] for node in ended["nodes"]}
    report = nodes_by_name(ended)["report"]["id"]
    eventually(lambda: kept_text(driver, id, report) == "found /lamp 200\nfound /sale 404\n", what="the report's log")

    exported = driver.call("GET", f"/workflow-instances/{id}/document", Accept="application/json").ok()
    assert driver.call("POST", "/documents", exported).ok()["instance"] == made["instance"] | {"action": "unchanged"}
    changed = text.replace("timeout_seconds: 120", "timeout_seconds: 121")
    refused = driver.text("POST", "/documents", changed).refused(400, "VALIDATION_ERROR")
    assert "uninitialize" in refused["message"]

    driver.act(id, "uninitialize").ok()
    driver.wait_for(id, "pending")
    assert driver.text("POST", "/documents", changed).ok()["instance"]["action"] == "updated"
    again = driver.read(id)
    assert nodes_by_name(again)["site"]["timeout_seconds"] == 121
    assert {node["id"] for node in again["nodes"]} == {node["id"] for node in ended["nodes"]}
    assert statuses(driver.run(id))["report"] == "succeeded"
