"""The database and the broker behind proxies that break: F05 to F09, F12 to F15."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from celery import Celery

from secflow.settings.messages import celery_broker_options
from tests.e2e.driver import TRIGGERABLE, Driver, app, at_once, job
from tests.faults.killing import standing_still
from tests.faults.parts import Broken, stack_behind_proxies
from tests.stack import Stack, Witness, eventually
from workflows import dispatch

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
CANARY, VISIBILITY = 6, 5
FLEET = 24


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    env = {
        "SWEEP_SECONDS": "2",
        "RECONCILE_SECONDS": "3",
        "CANARY_SECONDS": str(CANARY),
        "VISIBILITY_SECONDS": str(VISIBILITY),
    }
    with stack_behind_proxies(tmp_path_factory.mktemp("parts"), env=env) as found:
        yield found


@pytest.fixture(scope="module")
def stack(broken: Broken) -> Stack:
    return broken.stack


def fleet(driver: Driver, count: int, script: str = "true") -> list[str]:
    """Drafts of two jobs, one after the other."""
    template = driver.job_template(script)
    return at_once(4, lambda part: [one(driver, template) for _ in range(part, count, 4)]) and driver.made[-count:]


def one(driver: Driver, template: str, **fields: Any) -> str:
    return driver.instance([job(template, "a"), job(template, "b")], [("a", "b")], **fields)


def start_all(driver: Driver, instances: list[str]) -> None:
    at_once(4, lambda part: [driver.act(instance, "start").ok() for instance in instances[part::4]])


def all_succeed(driver: Driver, instances: list[str]) -> None:
    for instance in instances:
        assert driver.wait_for(instance, "succeeded", "failed")["status"] == "succeeded"


def raw(driver: Driver, verb: str, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    """An answer with its headers."""
    connection = http.client.HTTPConnection("127.0.0.1", driver.stack.port, timeout=90)
    try:
        connection.request(
            verb, f"/api/workflow{path}", headers={"Authorization": f"Bearer {driver._token}", **headers}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), json.loads(answer.read())
    finally:
        connection.close()


def is_outage(answer: tuple[int, dict[str, str], Any]) -> bool:
    """A refusal that tells the client to come again (contract A.4: the contract has no 503)."""
    status, headers, body = answer
    return status == 500 and body["code"] == "INTERNAL_ERROR" and int(headers["Retry-After"]) > 0


def facts(stack: Stack, instance_id: str) -> Counter[str]:
    """How often each kind of fact is in the journal of the instance, those of nodes with the node."""
    with psycopg.connect(stack.database_url) as connection:
        rows = connection.execute(
            "SELECT kind, coalesce(node_id, '') FROM secflow_platform_workflow_event WHERE instance_id = %s",
            [instance_id],
        ).fetchall()
    return Counter(f"{kind} {node}".strip() for kind, node in rows)


def test_f05_the_broker_is_flushed_again_and_again(driver: Driver, stack: Stack, witness: Witness) -> None:
    """Fault: FLUSHALL, five times, while 24 runs are under way. Criterion: reads answer all the time, every run
    succeeds, nothing is made twice.
    """
    instances = fleet(driver, FLEET)
    start_all(driver, instances)
    for _ in range(5):
        stack.flush()
        assert driver.read(instances[0])["status"] in ("running", "succeeded")
    all_succeed(driver, instances)


def test_f06_the_broker_refuses_while_runs_are_asked_for(
    driver: Driver, broken: Broken, stack: Stack, witness: Witness
) -> None:
    """Fault: Valkey refuses connections. Criterion: starts are accepted, readiness names the queue, everything runs
    once it is back.
    """
    instances = fleet(driver, 4)
    with broken.broker.refusing():
        start_all(driver, instances)
        assert is_red(driver, "queue")
    all_succeed(driver, instances)


def is_red(driver: Driver, part: str) -> bool:
    """Readiness comes to name the part."""

    def is_named() -> bool:
        return raw(driver, "GET", "/ready")[2].get("checks", {}).get(part, "ok") != "ok"

    eventually(is_named, what=f"a red {part}")
    return True


def test_f07_a_consumer_that_hears_nothing_is_replaced(
    driver: Driver, broken: Broken, stack: Stack, witness: Witness
) -> None:
    """Fault: the worker's connection to Valkey goes silent and stays open. Criterion: its canary is missed, it ends
    itself, another one goes on.
    """
    instances = fleet(driver, 2)
    deaf = set(stack.pids("worker"))
    assert broken.broker.stall_those_of_now(that_said=b"BRPOP") > 0
    start_all(driver, instances)
    eventually(lambda: len(set(stack.pids("worker")) - deaf) == len(deaf), seconds=60, what="other workers")
    all_succeed(driver, instances)
    assert "no message has come to this worker" in stack.tail("worker", 2000)


def test_f08_one_message_comes_five_times_at_once(driver: Driver, stack: Stack, witness: Witness) -> None:
    """Fault: the same launch message five times. Criterion: each fact is in the journal once."""
    template = driver.job_template("true")
    # More than the web process takes on itself.
    instance = driver.instance([job(template, f"n{number}") for number in range(dispatch.HERE_AT_MOST + 1)])
    with standing_still(stack, "worker"):
        driver.act(instance, "start").ok()
        stack.flush()
        with psycopg.connect(stack.database_url) as connection:
            query = "SELECT id FROM secflow_platform_workflow_workload WHERE instance_id = %s"
            ids = [row[0] for row in connection.execute(query, [instance]).fetchall()]
        address, options = celery_broker_options(stack.redis_url, visibility_seconds=VISIBILITY)
        sender = Celery("sender", broker=address, set_as_current=False)
        sender.conf.update(broker_transport_options=options, task_default_queue="secflow")
        for _ in range(5):
            sender.send_task(dispatch.LAUNCH_WORKLOADS, kwargs={"workload_ids": ids}, ignore_result=True)
        sender.close()
    all_succeed(driver, [instance])
    found = facts(stack, instance)
    assert {count for kind, count in found.items() if kind.startswith(("node.", "run."))} == {1}, found


def test_f09_messages_come_again_while_their_task_still_runs(driver: Driver, stack: Stack, witness: Witness) -> None:
    """Fault: a task takes longer than the broker's visibility timeout, so its message comes again. Criterion:
    nothing is made twice.
    """
    service = {"create_service": True, "service_ports": [{"name": "http", "port": 80, "target_port": 8080}]}
    template = driver.app_template()
    # More than the web process takes on itself.
    instance = driver.instance([app(template, f"a{number}", **service) for number in range(dispatch.HERE_AT_MOST + 1)])
    logs = stack.folder / "logs"
    with psycopg.connect(stack.database_url) as connection:
        with standing_still(stack, "worker"):
            driver.act(instance, "start").ok()
            # Who made the object has to wait here before it can say so.
            query = "SELECT FROM secflow_platform_workflow_workflow_instance WHERE id = %s FOR UPDATE"
            connection.execute(query, [instance])

        def came_again() -> bool:
            text = "".join(log.read_text(errors="replace") for log in logs.glob("worker*.log"))
            ids = re.findall(rf"{dispatch.LAUNCH_WORKLOADS}\[([0-9a-f-]+)\] received", text)
            return any(count > 1 for count in Counter(ids).values())

        eventually(came_again, seconds=60, what="a message that came twice")
    all_succeed(driver, [instance])


def test_f12_the_database_goes_away_and_comes_back(
    driver: Driver, broken: Broken, stack: Stack, witness: Witness
) -> None:
    """Fault: PostgreSQL refuses connections in the middle of runs. Criterion: requests are answered with
    Retry-After, none is half-applied, all goes on by itself.
    """
    instances = fleet(driver, 8, "sleep 1")
    start_all(driver, instances[:4])
    answers: list[tuple[int, dict[str, str], Any]] = []
    threads = [
        threading.Thread(target=lambda one=one: answers.append(raw(driver, "POST", f"/workflow-instances/{one}/start")))
        for one in instances[4:]
    ]
    with broken.database.refusing():
        for thread in threads:
            thread.start()
        assert is_red(driver, "database")
    for thread in threads:
        thread.join(90)
    assert len(answers) == len(threads)
    assert [answer for answer in answers if answer[0] != 200 and not is_outage(answer)] == []
    for instance in instances[4:]:
        again(lambda instance=instance: accepted(driver, instance))
    all_succeed(driver, instances)


def again(is_done: Any) -> None:
    """As a client does that comes again after an outage: pooled connections may be dead until each was tried."""
    eventually(is_done, seconds=60, what="an answer after the outage")


def accepted(driver: Driver, instance: str) -> bool:
    """Starts what was not started. Nothing is half-applied: it runs, or it is a draft as before."""
    status, headers, body = raw(driver, "GET", f"/workflow-instances/{instance}")
    if status != 200:
        assert is_outage((status, headers, body))
        return False
    if body["status"] != "pending":
        assert body["run_count"] == 1
        return True
    assert body["run_count"] == 0
    answer = raw(driver, "POST", f"/workflow-instances/{instance}/start")
    assert answer[0] == 200 or is_outage(answer)
    return answer[0] == 200


@pytest.mark.parametrize("verb", ["start", "trigger"])
def test_f13_the_connection_breaks_at_commit(
    driver: Driver, broken: Broken, stack: Stack, witness: Witness, verb: str
) -> None:
    """Fault: the COMMIT of a start is carried out and its answer is lost. Criterion: the same request with the same
    Idempotency-Key finds that run; there is one.
    """
    template = driver.job_template("true")
    instance = one(driver, template, **(TRIGGERABLE if verb == "trigger" else {}))
    if verb == "trigger":
        driver.run(instance)
    runs = driver.read(instance)["run_count"]
    lost = broken.database.commits_lost
    broken.database.lose_answer_of_commit(b"run.accepted")
    headers = {"Idempotency-Key": f"key-{instance}"}

    first = raw(driver, "POST", f"/workflow-instances/{instance}/{verb}", **headers)
    assert broken.database.commits_lost == lost + 1
    assert is_outage(first), first
    second = raw(driver, "POST", f"/workflow-instances/{instance}/{verb}", **headers)
    assert second[0] == 200, second
    all_succeed(driver, [instance])
    third = raw(driver, "POST", f"/workflow-instances/{instance}/{verb}", **headers)

    assert third[0] == 200, third
    assert driver.read(instance)["run_count"] == runs + 1
    assert facts(stack, instance)["run.accepted"] == runs + 1


def test_f14_the_database_gives_transactions_up(driver: Driver, broken: Broken, stack: Stack, witness: Witness) -> None:
    """Fault: every fourth write to the journal ends in a deadlock or a serialization failure. Criterion: no request
    fails, every run succeeds.
    """
    broken.execute(
        "CREATE SEQUENCE fault_count",
        """
        CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE number bigint := nextval('fault_count');
        BEGIN
          IF number % 8 = 0 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
          IF number % 8 = 4 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF;
          RETURN NULL;
        END $$
        """,
        "CREATE TRIGGER fault AFTER INSERT ON secflow_platform_workflow_event FOR EACH STATEMENT EXECUTE FUNCTION fault()",
    )
    try:
        instances = fleet(driver, 8)
        start_all(driver, instances)
        all_succeed(driver, instances)
        with psycopg.connect(stack.database_url) as connection:
            row = connection.execute("SELECT last_value / 4 FROM fault_count").fetchone()
        assert row is not None
        assert row[0] >= len(instances), "there were hardly any faults"
    finally:
        broken.execute("DROP TRIGGER fault ON secflow_platform_workflow_event", "DROP FUNCTION fault")
        broken.execute("DROP SEQUENCE fault_count")


def test_f15_the_database_takes_no_changes(driver: Driver, broken: Broken, stack: Stack, witness: Witness) -> None:
    """Fault: the database is read-only. Criterion: readiness names it, a start is refused, no object is made;
    afterwards everything works.
    """
    (instance,) = fleet(driver, 1)
    broken.execute("ALTER DATABASE secflow SET default_transaction_read_only = on")
    try:
        broken.database.cut()
        assert is_red(driver, "database")
        again(lambda: raw(driver, "GET", f"/workflow-instances/{instance}")[0] == 200)
        refused = raw(driver, "POST", f"/workflow-instances/{instance}/start")
        assert is_outage(refused), refused
        assert witness.uids == {}
    finally:
        broken.execute(
            "SET default_transaction_read_only = off", "ALTER DATABASE secflow RESET default_transaction_read_only"
        )
        broken.database.cut()
    again(lambda: accepted(driver, instance))
    all_succeed(driver, [instance])
