"""Every verb in every status over HTTP, with real processes and a real cluster behind it (contract D.2, E.2, E.4)."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.e2e.driver import TRIGGERABLE, Answer, Driver, Json, app, at_once, job, nodes_by_name, statuses
from tests.stack import Stack, objects_of
from workflows.dispatch import HERE_AT_MOST

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

EVERY = ("pending", "initializing", "initialized", "running", "succeeded", "failed", "stopped")
EDITABLE = {"pending", "initialized", "succeeded", "failed", "stopped"}
STARTABLE = {"pending", "initialized", "stopped"}
TRIGGERABLE_IN = {"initialized", "succeeded", "failed", "stopped"}
HELD = {"initialized", "running", "succeeded", "failed", "stopped"}

Call = Callable[[Driver, Json], Answer]


def put(**body: object) -> Call:
    return lambda driver, one: driver.call("PUT", f"/workflow-instances/{one['id']}", body)


def act(verb: str, body: Json | None = None) -> Call:
    return lambda driver, one: driver.act(one["id"], verb, body)


def on_node(method: str, body: Json | None = None) -> Call:
    return lambda driver, one: driver.call(
        method, f"/workflow-instances/{one['id']}/nodes/{one['nodes'][0]['id']}", body
    )


def add_node(driver: Driver, one: Json) -> Answer:
    template = nodes_by_name(one)["work"]["template_id"]
    return driver.call("POST", f"/workflow-instances/{one['id']}/nodes", job(template, "more"))


def http_trigger(driver: Driver, one: Json) -> Answer:
    return driver.fire(one["id"])


def delete(driver: Driver, one: Json) -> Answer:
    return driver.remove(one["id"])


# Contract D.2: what is asked, how, and in which statuses it is allowed. The first ones leave the status as it is.
QUIET: dict[str, tuple[Call, set[str]]] = {
    "rename": (put(name="renamed"), EDITABLE),
    "switch": (put(is_active=True, trigger_enabled=True), EDITABLE),
    "deactivate": (act("deactivate"), set(EVERY)),
    "activate": (act("activate"), HELD),
    "sync": (act("sync-status"), set(EVERY)),
    "replace edges": (put(edges=[]), {"pending"}),
    "change edges": (act("edges", {"action": "delete", "edge_id": "none"}), {"pending"}),
    "rename node": (on_node("PUT", {"name": "first"}), {"pending"}),
    "add node": (add_node, {"pending"}),
    "delete node": (on_node("DELETE"), {"pending"}),
}
MOVING: dict[str, tuple[Call, set[str], str | None]] = {
    "initialize": (act("initialize"), {"pending"}, "initialized"),
    "force initialize": (act("initialize", {"force": True}), STARTABLE, "initialized"),
    "start": (act("start"), STARTABLE, "running"),
    "stop": (act("stop"), {"initialized", "running"}, "stopped"),
    "uninitialize": (act("uninitialize"), HELD, "pending"),
    "trigger": (act("trigger"), TRIGGERABLE_IN, "running"),
    "http trigger": (http_trigger, TRIGGERABLE_IN, "running"),
    "delete": (delete, set(EVERY), None),
}
# A refused call changes none of these (contract E.4).
KEPT = ("status", "run_count", "last_run_at", "started_at", "finished_at", "is_active", "message", "edges", "name")


def brought_to(status: str, driver: Driver, *, more_apps: int = 0) -> str:
    """An instance with an app node and a job node in this status. `initializing` needs a worker that sleeps."""
    # A run that the test itself starts is not over before the test has looked at it.
    script = {"failed": "exit 1", "succeeded": "true"}.get(status, "sleep 3600")
    nodes = [app(driver.app_template(), "site"), job(driver.job_template(script, backoff_limit=0), "work")]
    nodes += [app(driver.app_template(), f"more-{number}") for number in range(more_apps)]
    one = driver.instance(nodes, [("site", "work")], **TRIGGERABLE)
    if status in ("initialized", "stopped"):
        driver.act(one, "initialize").ok()
        driver.wait(one, lambda found: statuses(found)["site"] == "succeeded")
    if status == "stopped":
        driver.act(one, "stop").ok()
    if status in ("running", "succeeded", "failed"):
        driver.act(one, "start").ok()
    return str(driver.wait_for(one, status)["id"])


@contextmanager
def status_of(status: str, driver: Driver, stack: Stack) -> Iterator[str]:
    """An instance that keeps this status as long as nobody moves it."""
    if status != "initializing":
        yield brought_to(status, driver)
        return
    workers = [psutil.Process(pid) for pid in stack.pids("worker")]
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    # So many that the web process leaves them to a worker.
    one = brought_to("pending", driver, more_apps=HERE_AT_MOST)
    initializing = threading.Thread(target=driver.act, args=(one, "initialize"))
    try:
        initializing.start()
        driver.wait_for(one, "initializing")
        yield one
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
        initializing.join()


@pytest.mark.parametrize("status", EVERY)
def test_each_status_allows_what_the_contract_allows(stack: Stack, driver: Driver, status: str) -> None:
    with status_of(status, driver, stack) as one:
        for what, (call, allowed, _) in MOVING.items():
            if status not in allowed:
                before = driver.read(one)
                check_refusal(what, call(driver, before), status, allowed)
                assert unchanged(driver.read(one), before), what
        for what, (call, allowed) in QUIET.items():
            before = driver.read(one)

            answer = call(driver, before)

            if status in allowed:
                assert answer.status == (201 if what == "add node" else 200), (what, answer)
            else:
                check_refusal(what, answer, status)
                assert unchanged(driver.read(one), before), what


def check_refusal(what: str, answer: Answer, status: str, allowed: set[str] | None = None) -> None:
    details = answer.refused(400, "VALIDATION_ERROR")["details"]
    assert details["status"] == status, (what, answer)
    assert set(details) == {"status", "allowed"}
    is_set_up = status == "initializing"  # when nothing else is of any use
    assert answer.body["message"].endswith("wait until the set-up has ended") == is_set_up, (what, answer)
    if allowed is not None:
        assert set(details["allowed"]) == allowed, (what, answer)


def unchanged(after: Json, before: Json) -> bool:
    return [after[key] for key in KEPT] == [before[key] for key in KEPT]


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (status, what)
        for status in EVERY
        for what, (_, allowed, _) in MOVING.items()
        if status in allowed and (status, what) != ("initializing", "delete")
    ],
)
def test_a_verb_moves_the_instance(stack: Stack, driver: Driver, status: str, what: str) -> None:
    call, _, target = MOVING[what]
    one = brought_to(status, driver)
    before = driver.read(one)

    answer = call(driver, before)

    if target is None:
        assert answer.ok() == {"message": f"Workflow instance {one} deleted successfully"}
        driver.call("GET", f"/workflow-instances/{one}").refused(404, "NOT_FOUND")
        assert objects_of(stack.kubeconfig, one) == []
        return
    if what in ("trigger", "http trigger"):
        assert answer.ok() == {"message": f"Workflow {one} triggered successfully"}
        after = driver.read(one)
        assert after["status"] in ("running", "succeeded", "failed")
    else:
        after = answer.ok()
        assert after["status"] == target
    check_counters(before, after, target, was_running=status == "running")
    if target in ("pending", "stopped"):
        assert set(statuses(after).values()) == {target}
        assert {node["k8s_resource_name"] for node in after["nodes"]} == {None}
        assert objects_of(stack.kubeconfig, one) == []


def check_counters(before: Json, after: Json, target: str, *, was_running: bool) -> None:
    """Contract E.4."""
    is_run = target == "running"
    assert after["run_count"] == before["run_count"] + is_run
    assert (after["last_run_at"] != before["last_run_at"]) == is_run
    assert after["is_active"] is True
    if is_run:
        assert after["started_at"] == after["last_run_at"]
        assert (after["finished_at"] is None) == (after["status"] == "running")
    elif target == "pending":
        assert [after[key] for key in ("started_at", "finished_at", "has_warning")] == [None, None, False]
        assert {node[key] for node in after["nodes"] for key in ("started_at", "finished_at", "message")} == {None}
    elif target == "stopped":
        assert (after["finished_at"] is not None) == was_running
    else:
        assert after["started_at"] == before["started_at"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"run_mode": "once"}, {"run_mode": "once"}),
        ({"trigger_type": "manual"}, {"trigger_type": "manual"}),
        ({"trigger_enabled": False}, {"trigger_enabled": False}),
        ({"is_active": False}, {"is_active": False}),
        ({}, {"status": "pending", "allowed": ["initialized", "succeeded", "failed", "stopped"]}),
    ],
)
def test_the_http_trigger_names_the_first_thing_that_forbids_it(driver: Driver, change: Json, fault: Json) -> None:
    one = driver.instance([], **TRIGGERABLE | {key: value for key, value in change.items() if key != "is_active"})
    if "is_active" in change:
        driver.act(one, "deactivate").ok()

    answers = [
        driver.fire(one, path) for path in ("/trigger", "/workflow-instances/trigger", "/workflow-instances/triggers")
    ]

    assert [answer.refused(400, "VALIDATION_ERROR")["details"] for answer in answers] == [fault] * 3
    assert driver.read(one)["run_count"] == 0


def test_the_http_trigger_of_nothing_is_not_found(driver: Driver) -> None:
    driver.fire("wf-inst-none-00000000").refused(404, "NOT_FOUND")


def test_only_an_active_instance_takes_the_triggers_of_the_page(driver: Driver) -> None:
    one = brought_to("initialized", driver)
    driver.act(one, "deactivate").ok()

    refused = driver.act(one, "trigger").refused(400, "VALIDATION_ERROR")

    assert refused["details"] == {"is_active": False}
    assert driver.act(one, "activate").ok()["is_active"] is True
    driver.act(one, "trigger").ok()
    assert driver.read(one)["run_count"] == 1


@pytest.mark.parametrize(
    ("status", "what", "found"),
    [
        ("pending", "initialize", {"initialized", "initializing"}),
        ("pending", "start", {"running"}),
        ("initialized", "force initialize", {"initialized", "initializing"}),
        ("initialized", "trigger", {"running"}),
        ("initialized", "http trigger", {"running"}),
        ("running", "stop", {"stopped"}),
    ],
)
def test_of_twenty_at_once_one_wins(driver: Driver, status: str, what: str, found: set[str]) -> None:
    call, _, target = MOVING[what]
    one = brought_to(status, driver)
    before = driver.read(one)

    answers = at_once(20, lambda _: call(driver, before))

    assert target is not None
    if what != "force initialize":  # what this leads to allows the next one
        assert Counter(answer.status for answer in answers) == {200: 1, 400: 19}
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.refused(400, "VALIDATION_ERROR")["details"]["status"] for answer in refused} <= found
    accepted = len(answers) - len(refused)
    assert accepted >= 1
    assert driver.read(one)["run_count"] == before["run_count"] + (accepted if target == "running" else 0)


def test_twenty_deletions_at_once_are_one_deletion(stack: Stack, driver: Driver) -> None:
    one = brought_to("running", driver)

    answers = at_once(20, lambda _: driver.remove(one))

    assert {answer.status for answer in answers} <= {200, 404}
    assert 200 in {answer.status for answer in answers}
    assert objects_of(stack.kubeconfig, one) == []
