"""Processes that die at the worst moment, and clocks that are wrong: F01, F02, F04, F10, F11, F35, F37, F38, F41, F43."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from k8s_bridge import names
from k8s_bridge.client import ClusterClient
from k8s_bridge.specs import Owner
from tests.e2e.driver import TRIGGERABLE, Driver, app, at_once, job, statuses
from tests.faults import killing
from tests.faults.invariants import check, violations
from tests.faults.killing import standing_still
from tests.stack import ROOT, Stack, Witness, eventually, running_stack
from workflows import killpoints
from workflows.dispatch import HERE_AT_MOST

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
SWEEP = 2
WEB_THREADS = 8


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> Iterator[Stack]:
    env = {
        "SWEEP_SECONDS": str(SWEEP),
        "RECONCILE_SECONDS": "3",
        "WEB_THREADS": str(WEB_THREADS),
        **killing.environment(orders),
    }
    folder = tmp_path_factory.mktemp("stack") / "data"
    with running_stack(folder, kubeconfig=os.environ.get("SECFLOW_TEST_KUBECONFIG"), env=env) as running:
        yield running


@pytest.fixture
def pair(driver: Driver) -> str:
    """Two jobs, one after the other."""
    template = driver.job_template("true")
    return driver.instance([job(template, "a"), job(template, "b")], [("a", "b")])


def succeeded(driver: Driver, instance_id: str) -> None:
    """The run ends well, and no later than that; a web process that is being started again does not count."""
    seen: list[str] = []

    def has_ended() -> bool:
        with suppress(OSError):
            seen.append(driver.read(instance_id)["status"])
        return bool(seen) and seen[-1] in ("succeeded", "failed")

    eventually(has_ended, seconds=120, what=f"the end of {instance_id}")
    assert seen[-1] == "succeeded"


def attempts(stack: Stack, instance_id: str) -> list[int]:
    """How many workloads each node of the instance had."""
    with psycopg.connect(stack.database_url) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM secflow_platform_workflow_workload WHERE instance_id = %s GROUP BY node_id",
            [instance_id],
        ).fetchall()
    return [row[0] for row in rows]


def wide(driver: Driver) -> str:
    """So many jobs at once that they are left to a worker, whoever makes them due."""
    template = driver.job_template("true")
    return driver.instance([job(template, f"n{number}") for number in range(HERE_AT_MOST + 2)])


def start(driver: Driver, instance_id: str) -> None:
    """A client whose server may die before it answers."""
    with suppress(OSError):
        driver.act(instance_id, "start").ok()


@pytest.mark.parametrize("who", ["worker", "web"])
def test_f01_a_process_dies_between_claim_and_create(
    driver: Driver, stack: Stack, witness: Witness, orders: Path, pair: str, who: str
) -> None:
    """Fault: SIGKILL after a launch was claimed, before its object is made. Criterion: the lease runs out, exactly
    one Job is made, the run succeeds.
    """
    instance = wide(driver) if who == "worker" else pair
    with killing.killed_at(orders, killpoints.AFTER_CLAIM):
        start(driver, instance)
    succeeded(driver, instance)
    assert set(attempts(stack, instance)) == {1}


def test_f02_a_worker_dies_between_create_and_record(
    driver: Driver, stack: Stack, witness: Witness, orders: Path
) -> None:
    """Fault: SIGKILL after the object was made, before that is written down. Criterion: it is adopted; one attempt."""
    instance = wide(driver)
    with killing.killed_at(orders, killpoints.AFTER_CREATE):
        start(driver, instance)
    succeeded(driver, instance)
    assert set(attempts(stack, instance)) == {1}


def test_f02_the_watcher_dies_between_what_it_saw_and_what_follows(
    driver: Driver, stack: Stack, witness: Witness, orders: Path, pair: str
) -> None:
    """Fault: SIGKILL of the watcher after an observation was committed. Criterion: the run goes on, one attempt for
    each node.
    """
    with killing.killed_at(orders, killpoints.AFTER_OBSERVE):
        start(driver, pair)
    succeeded(driver, pair)
    assert attempts(stack, pair) == [1, 1]


def test_f02_a_worker_dies_between_removal_and_record(driver: Driver, orders: Path, pair: str) -> None:
    """Fault: SIGKILL after a clean-up saw nothing left, before its goal is carried out. Criterion: the clean-up is
    carried out.
    """
    driver.run(pair)
    with killing.killed_at(orders, killpoints.AFTER_DELETE):
        driver.act(pair, "uninitialize")
    assert driver.wait_for(pair, "pending")["status"] == "pending"


def test_f04_the_web_process_dies_between_commit_and_publish(
    driver: Driver, witness: Witness, orders: Path, pair: str
) -> None:
    """Fault: SIGKILL of the web process after the commit of a start, before anybody is told. Criterion: the run
    starts by itself and succeeds.
    """
    driver.read(pair)
    with killing.killed_at(orders, killpoints.BEFORE_PUBLISH), pytest.raises((OSError, ValueError)):
        driver.act(pair, "start")

    succeeded(driver, pair)


def environment_of(stack: Stack) -> dict[str, str]:
    """What a further process of this SecFlow has to know."""
    known = dict(line.split("=", 1) for line in (stack.folder / "env").read_text().splitlines() if "=" in line)
    known |= {"KUBECONFIG": stack.kubeconfig, "DATA_DIR": str(stack.folder)}
    return {**os.environ, **known, "SWEEP_SECONDS": str(SWEEP), "RECONCILE_SECONDS": "3"}


@contextmanager
def another(command: list[str], env: dict[str, str]) -> Iterator[None]:
    """A further process beside those of the stack."""
    devnull = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=devnull, stderr=devnull)
    try:
        yield
        assert process.poll() is None, f"{command} ended by itself"
    finally:
        process.kill()
        process.wait(30)


def test_f10_three_beats_tick_like_one(driver: Driver, stack: Stack, tmp_path: Path, pair: str) -> None:
    """Fault: three beats at once. Criterion: turns keep their rhythm, and a run succeeds."""
    env = environment_of(stack) | {"HEARTBEAT_FILE": str(tmp_path / "alive")}
    command = [sys.executable, "-m", "celery", "--app=secflow", "beat", "--pidfile="]
    with ExitStack() as several:
        for number in range(2):
            several.enter_context(another([*command, f"--schedule={tmp_path}/schedule-{number}"], env))
        eventually(lambda: (tmp_path / "alive").exists(), what="another beat")
        seen = turns_within(stack, count=4)
        driver.act(pair, "start").ok()
        succeeded(driver, pair)
    # With three rhythms of their own there would be turns closer than half a period.
    gaps = [later - earlier for earlier, later in zip(seen, seen[1:], strict=False)]
    assert min(gaps) >= SWEEP / 2


def turns_within(stack: Stack, *, count: int) -> list[float]:
    """The moments of the next turns at the sweep, by the database's clock."""
    found: set[float] = set()

    def enough() -> bool:
        with psycopg.connect(stack.database_url) as connection:
            rows = connection.execute(
                "SELECT extract(epoch FROM taken_at)::float FROM secflow_platform_workflow_turn WHERE name = 'sweep'"
            ).fetchall()
        found.update(row[0] for row in rows)
        return len(found) >= count

    eventually(enough, what=f"{count} sweeps")
    return sorted(found)


def test_f11_without_beat_the_workers_keep_sweeping(driver: Driver, stack: Stack, witness: Witness) -> None:
    """Fault: no beat, and the messages of a start are lost. Criterion: workers take the turns themselves, and the
    run succeeds.
    """
    with standing_still(stack, "beat"):
        turns_within(stack, count=3)
        # The message of the start is lost as well: only a sweep can find it. The web process leaves so many to a worker.
        instance = wide(driver)
        with standing_still(stack, "worker"):
            # A worker that still asks for messages would be handed this one before it is lost.
            with redis.Redis.from_url(stack.redis_url) as client:
                eventually(lambda: client.info("clients")["blocked_clients"] == 0, what="workers that do not ask")
            driver.act(instance, "start").ok()
            stack.flush()
        succeeded(driver, instance)


def test_f43_a_worker_is_asked_to_stop_at_the_peak(driver: Driver, stack: Stack, witness: Witness) -> None:
    """Fault: SIGTERM of a worker with much to do. Criterion: it ends within 30 s, nothing is lost or made twice."""
    template = driver.job_template("true")
    jobs = [f"n{number}" for number in range(12)]
    made = [driver.instance([job(template, name) for name in jobs]) for _ in range(3)]
    at_once(len(made), lambda number: driver.act(made[number], "start").ok())
    before = stack.pids("worker")
    process = psutil.Process(before[0])
    process.terminate()
    process.wait(30)
    eventually(lambda: bool(set(stack.pids("worker")) - set(before)), seconds=30, what="another worker")
    for instance_id in made:
        succeeded(driver, instance_id)
        assert set(attempts(stack, instance_id)) == {1}


def test_f35_a_stop_races_with_the_end(driver: Driver, stack: Stack, witness: Witness) -> None:
    """Fault: stops race with launches, with ends and with each other. Criterion: one ended status, and nothing is
    left in the cluster.
    """
    quick, slow = driver.job_template("true"), driver.job_template("sleep 600")
    made = [driver.instance([job(quick, "a"), job(slow, "b"), app(driver.app_template(), "c")]) for _ in range(4)]

    def start_and_stop(number: int) -> list[int]:
        instance_id = made[number]
        driver.act(instance_id, "start").ok()
        if number % 2:
            driver.wait(instance_id, lambda found: statuses(found)["a"] in ("running", "succeeded"))
        return [answer.status for answer in at_once(2, lambda _: driver.act(instance_id, "stop"))]

    for answers in at_once(len(made), start_and_stop):
        assert 200 in answers
        assert set(answers) <= {200, 400, 409}, json.dumps(answers)
    for instance_id in made:
        assert driver.read(instance_id)["status"] == "stopped"


def test_f37_the_template_changes_and_goes_while_its_run_lives(driver: Driver, stack: Stack) -> None:
    """Fault: the template of a running workflow is edited and deleted. Criterion: the run uses what it began with,
    to the end.
    """
    template = driver.job_template("sleep 3; echo as-it-was")
    instance = driver.instance([job(template, "a"), job(template, "b")], [("a", "b")])
    driver.act(instance, "start").ok()
    body = driver.call("GET", f"/job-templates/{template}").ok()
    container = body["containers"][0] | {"command": ["sh", "-c", "exit 9"]}
    driver.call("PUT", f"/job-templates/{template}", {"containers": [container]}).ok()
    refused = driver.call("DELETE", f"/job-templates/{template}")
    succeeded(driver, instance)
    assert refused.status in (200, 204, 409)


def test_f38_the_clocks_of_two_workers_are_ten_minutes_off(
    driver: Driver, stack: Stack, witness: Witness, tmp_path: Path
) -> None:
    """Fault: one worker's clock is ten minutes fast, another's ten minutes slow. Criterion: no lease is taken early,
    nothing is made twice, no duration is negative.
    """
    with ExitStack() as several:
        for skew in (600, -600):
            alive = tmp_path / f"alive{skew}"
            worker = [
                "celery",
                "--app=secflow",
                "worker",
                "--pool=threads",
                "--concurrency=4",
                f"--hostname=w{skew}@%h",
            ]
            command = [sys.executable, str(ROOT / "tests" / "faults" / "skewed.py"), str(skew), *worker]
            several.enter_context(another(command, environment_of(stack) | {"HEARTBEAT_FILE": str(alive)}))
            eventually(alive.exists, what="a worker with a wrong clock")
        several.enter_context(standing_still(stack, "worker"))
        made = [wide(driver) for _ in range(3)]
        at_once(len(made), lambda number: driver.act(made[number], "start").ok())
        for instance_id in made:
            succeeded(driver, instance_id)
            assert set(attempts(stack, instance_id)) == {1}
    with psycopg.connect(stack.database_url) as connection:
        rows = connection.execute(
            "SELECT node_name FROM secflow_platform_workflow_node_run WHERE instance_id = ANY(%s)"
            " AND (finished_at < started_at OR finished_at > now() + interval '1 minute')",
            [made],
        ).fetchall()
    assert rows == []


def test_f41_bodies_of_triggers_are_huge_or_never_end(driver: Driver, stack: Stack) -> None:
    """Fault: the HTTP trigger gets huge bodies and bodies that never end. Criterion: they are refused or given up in
    bounded time, and others are served meanwhile.
    """
    instance = driver.instance([job(driver.job_template("true"), "a")], **TRIGGERABLE)
    driver.act(instance, "start").ok()
    succeeded(driver, instance)
    head = f"POST /api/workflow/trigger/{instance} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with ExitStack() as open_ones:
        for _ in range(WEB_THREADS + 2):
            slow = open_ones.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=60))
            slow.sendall(f"{head}Content-Length: 10000000\r\n\r\n{{".encode())
        began = time.monotonic()
        assert driver.read(instance)["id"] == instance
        assert time.monotonic() - began < 30
        huge = open_ones.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=60))
        with suppress(ConnectionError):  # it may be answered, and closed, before all of it was sent
            huge.sendall(f"{head}Content-Length: 10000000\r\n\r\n".encode() + b" " * 10_000_000)
        status = huge.recv(64).split(b" ")[1]
    assert status in (b"200", b"400", b"409", b"413"), status
    assert driver.read(instance)["id"] == instance


def test_the_check_sees_what_is_wrong(driver: Driver, stack: Stack, installation: str, pair: str) -> None:
    driver.act(pair, "start").ok()
    succeeded(driver, pair)
    check(stack)
    owner = Owner(installation, driver.project, pair, driver.read(pair)["nodes"][0]["id"], run=1, attempt=10**9)
    path = f"/apis/batch/v1/namespaces/secflow-{driver.project}/jobs"
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "busybox:latest", "command": ["true"]}]}
    client = ClusterClient(stack.kubeconfig)
    journal = "secflow_platform_workflow_event WHERE instance_id = 'nobody'"
    with ExitStack() as afterwards, psycopg.connect(stack.database_url, autocommit=True) as connection:
        afterwards.callback(client.close)
        for name, labels in (("wf-stranger", {}), ("wf-unwanted", names.labels(owner))):
            meta = {"name": name, "labels": labels}
            client.request("POST", path, body={"metadata": meta, "spec": {"template": {"spec": pod}}})
            query = {"propagationPolicy": "Background"}
            afterwards.callback(client.request, "DELETE", f"{path}/{name}", query=query)
        connection.execute(
            "INSERT INTO secflow_platform_workflow_event (instance_id, sequence, project_id, kind, actor, message, data,"
            " created_at) VALUES ('nobody', 2, 'p', 'x', 'x', '', '{}', now())"
        )
        afterwards.callback(connection.execute, f"DELETE FROM {journal}")
        found = " ".join(violations(stack.database_url, client, installation))
        afterwards.close()
    assert "jobs/wf-stranger" in found
    assert "lacks labels" in found
    assert f"attempt {10**9} is wanted by nobody" in found
    assert "journal of nobody has 1 entries, the newest is 2" in found
