"""While the example runs, parts of SecFlow die. It must succeed, have nothing twice, and leave nothing behind."""

from __future__ import annotations

import psycopg
import pytest

from secflow.runtime.claims import ensure_claims
from secflow.runtime.definition import Definition, instance_body, load_definition
from secflow.runtime.example import example_folder
from tests.e2e.driver import Driver
from tests.stack import Stack, Witness, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


@pytest.fixture(scope="module")
def example(stack: Stack) -> Definition:
    definition = load_definition(example_folder() / "site_audit.json")
    ensure_claims(stack.kubeconfig, definition.project_id, definition.claims)
    return definition


def make_instance(stack: Stack, definition: Definition) -> str:
    ids = {}
    for kind, templates in (("app-templates", definition.app_templates), ("job-templates", definition.job_templates)):
        for handle, body in templates.items():
            ids[handle] = stack.api.post(kind, body=body)["id"]
    return str(stack.api.post("workflow-instances", body=instance_body(definition, ids))["id"])


def node(stack: Stack, instance_id: str, name: str) -> dict[str, object]:
    return next(item for item in stack.instance(instance_id)["nodes"] if item["name"] == name)


def reached(stack: Stack, instance_id: str, moment: str) -> bool:
    """`accepted`: at once; otherwise the named node has begun."""
    return moment == "accepted" or node(stack, instance_id, moment)["status"] != "pending"


def break_it(stack: Stack, fault: str) -> None:
    if fault == "flush":
        stack.flush()
    else:
        stack.kill(fault)


@pytest.mark.parametrize("moment", ["accepted", "crawl", "report"])
@pytest.mark.parametrize("fault", ["worker", "watcher", "flush"])
def test_the_example_survives(
    stack: Stack, driver: Driver, witness: Witness, example: Definition, fault: str, moment: str
) -> None:
    instance_id = make_instance(stack, example)
    stack.api.post("workflow-instances", instance_id, "start")
    eventually(lambda: reached(stack, instance_id, moment), seconds=90, what=f"{moment} to begin")

    break_it(stack, fault)

    assert stack.wait_for(instance_id, "succeeded", "failed", seconds=120)["status"] == "succeeded", stack.tail(
        "worker"
    )
    assert witness.doubles() == []
    assert journal_gaps(stack, instance_id) == []
    # On a slow machine the process that was killed may not be back in the time for which the answer waits.
    driver.removed(instance_id)


def journal_gaps(stack: Stack, instance_id: str) -> list[int]:
    """Sequence numbers that the instance's journal lacks."""
    with psycopg.connect(stack.database_url) as connection:
        rows = connection.execute(
            "SELECT sequence FROM secflow_platform_workflow_event WHERE instance_id = %s ORDER BY sequence",
            [instance_id],
        ).fetchall()
    found = [row[0] for row in rows]
    assert found
    return sorted(set(range(1, found[-1] + 1)) - set(found))
