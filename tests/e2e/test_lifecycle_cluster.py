"""What the cluster does to instances, and what is read of it, over HTTP (contract D.5, D.9, E.3, E.5, E.6, E.7, H.2)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from k8s_bridge.client import ClusterClient
from tests.e2e.driver import PORTS, Driver, app, at_once, job, nodes_by_name, statuses
from tests.stack import Stack, eventually, objects_of

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

# A real cluster of one node has room for about a hundred pods.
IS_REAL = bool(os.environ.get("SECFLOW_TEST_KUBECONFIG"))
NEVER_READY = {"readiness_probe": {"type": "exec", "command": ["false"], "initial_delay_seconds": 0}}


def objects_path(driver: Driver, kind: str, name: str = "") -> str:
    group = {"deployments": "apis/apps/v1", "jobs": "apis/batch/v1", "services": "api/v1"}[kind]
    return f"/{group}/namespaces/secflow-{driver.project}/{kind}" + (f"/{name}" if name else "")


@pytest.fixture
def cluster(stack: Stack) -> Any:
    client = ClusterClient(stack.kubeconfig)
    yield client
    client.close()


def test_a_failed_job_stops_what_follows_and_lets_run_what_runs(driver: Driver) -> None:
    bad = driver.job_template("echo last words; exit 3", backoff_limit=0)
    slow = driver.job_template("sleep 3")
    one = driver.instance([job(bad, "bad"), job(slow, "beside"), job(slow, "after")], [("bad", "after")])

    ended = driver.run(one)

    assert (ended["status"], statuses(ended)) == (
        "failed",
        {"bad": "failed", "beside": "succeeded", "after": "pending"},
    )
    nodes = nodes_by_name(ended)
    assert ended["message"] == f"node bad failed: {nodes['bad']['message']}"
    assert nodes["after"]["message"] == "not started, because node bad failed"
    assert (nodes["after"]["started_at"], nodes["after"]["k8s_resource_name"]) == (None, None)
    assert ended["finished_at"] >= nodes["beside"]["finished_at"]


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (lambda driver: app(driver.app_template(container=NEVER_READY), "late", timeout_seconds=1), "not ready within 1 s"),
        (lambda driver: job(driver.job_template("sleep 3600"), "late", timeout_seconds=1), "not finished within 1 s"),
    ],
)  # fmt: skip
def test_a_node_has_its_time(
    stack: Stack, driver: Driver, node: Callable[[Driver], dict[str, Any]], words: str
) -> None:
    one = driver.instance([node(driver)])

    ended = driver.run(one)

    (late,) = ended["nodes"]
    assert (ended["status"], late["status"]) == ("failed", "failed")
    assert words in late["message"]
    is_app = late["node_type"] == "app"  # its objects stay for inspection; the pods of a job go (contract E.6)
    eventually(lambda: bool(objects_of(stack.kubeconfig, one)) == is_app, what="the objects that stay")


def test_no_clock_runs_during_set_up(driver: Driver) -> None:
    one = driver.instance([app(driver.app_template(container=NEVER_READY), "site", timeout_seconds=1)])

    driver.act(one, "initialize").ok()
    seen = driver.wait(one, lambda found: statuses(found)["site"] == "running")

    assert (seen["status"], seen["readiness"]) == ("initialized", "unready")
    assert driver.run(one)["status"] == "failed"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"container": {"image": "example.invalid/none:1"}}, "the image example.invalid/none:1 cannot be pulled"),
        (
            {"container": {"volume_mounts": [{"pvc_name": "absent", "mount_path": "/d"}]}},
            "The volume claim absent does not",
        ),
    ],
)
def test_a_pod_that_cannot_begin_says_why(stack: Stack, driver: Driver, fields: dict[str, Any], words: str) -> None:
    one = driver.instance([job(driver.job_template("true", **fields), "stuck", timeout_seconds=3600)])

    driver.act(one, "start").ok()
    driver.wait(one, lambda found: words in (found["nodes"][0]["message"] or ""))

    assert driver.act(one, "stop").ok()["status"] == "stopped"
    assert objects_of(stack.kubeconfig, one) == []


def test_twenty_runs_back_to_back(driver: Driver) -> None:
    nodes = [app(driver.app_template(), "site"), job(driver.job_template("echo done"), "work")]
    one = driver.instance(nodes, [("site", "work")], run_mode="persistent")
    driver.act(one, "initialize").ok()

    ends = [driver.run(one, "trigger") for _ in range(20)]

    assert [(ended["status"], ended["run_count"]) for ended in ends] == [("succeeded", run) for run in range(1, 21)]
    assert len({nodes_by_name(ended)["site"]["k8s_resource_name"] for ended in ends}) == 1
    records = f"/workflow-instances/{one}/logs?node_id={nodes_by_name(ends[0])['work']['id']}&page_size=100"
    eventually(
        lambda: all(item["execution_logs"]["fetched_at"] for item in driver.call("GET", records).ok()["items"]),
        what="the text of every run",
    )
    items = driver.call("GET", records).ok()["items"]
    assert [(item["task_id"], item["execution_logs"]["logs"]) for item in items] == [
        (f"run-{run}", "done\n") for run in range(20, 0, -1)
    ]


def test_a_changed_template_is_used_by_the_next_run(cluster: ClusterClient, driver: Driver) -> None:
    site, work = driver.app_template(), driver.job_template("echo one")
    one = driver.instance([app(site, "site"), job(work, "work")], [("site", "work")], run_mode="persistent")
    nodes = nodes_by_name(driver.run(one))

    for kind, template, script in (("app", site, "sleep 3601"), ("job", work, "echo two")):
        container = {"name": "main", "image": "busybox:latest", "command": ["sh", "-c", script]}
        driver.call("PUT", f"/{kind}-templates/{template}", {"containers": [container]}).ok()

    assert driver.run(one, "trigger")["status"] == "succeeded"
    logs = f"/workflow-instances/{one}/nodes/{nodes['work']['id']}/logs?timestamps=false"
    assert driver.call("GET", logs).ok()["logs"] == "two\n"
    found = cluster.request("GET", objects_path(driver, "deployments", nodes["site"]["k8s_resource_name"]))
    assert found["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "sleep 3601"


def test_sync_of_a_draft_makes_nothing(stack: Stack, driver: Driver) -> None:
    one = driver.instance([app(driver.app_template(), "site")])

    synced = driver.act(one, "sync-status").ok()

    assert (synced["status"], synced["has_warning"], synced["message"]) == ("pending", False, None)
    assert synced["last_sync_at"] is not None
    assert objects_of(stack.kubeconfig, one) == []


@pytest.mark.parametrize("kind", ["services", "deployments"])
def test_sync_reports_what_is_missing_until_it_is_back(cluster: ClusterClient, driver: Driver, kind: str) -> None:
    one = driver.instance([app(driver.app_template(service_ports=PORTS), "site")])
    site = driver.run(one)["nodes"][0]
    name = site["service_name" if kind == "services" else "k8s_resource_name"]
    cluster.request("DELETE", objects_path(driver, kind, name))

    warned = [driver.act(one, "sync-status").ok() for _ in range(2)]
    driver.act(one, "uninitialize").ok()
    driver.run(one)

    assert [(seen["status"], seen["has_warning"]) for seen in warned] == [("succeeded", True)] * 2
    words = f"{name} is recorded but not in the cluster"
    assert [seen["message"] for seen in warned if words not in seen["message"]] == []
    agreed = driver.act(one, "sync-status").ok()
    assert (agreed["status"], agreed["has_warning"], agreed["message"]) == ("succeeded", False, None)


def test_a_run_fails_when_its_job_is_taken_away(cluster: ClusterClient, driver: Driver) -> None:
    one = driver.instance([job(driver.job_template("sleep 3600"), "work")])
    driver.act(one, "start").ok()
    name = driver.wait(one, lambda found: objects_of(driver.stack.kubeconfig, one))["nodes"][0]["k8s_resource_name"]

    cluster.request(
        "DELETE", objects_path(driver, "jobs", name), body={"propagationPolicy": "Background", "kind": "DeleteOptions"}
    )

    ended = driver.wait_for(one, "failed")
    assert f"Job {name} was deleted from outside" in ended["message"]


@pytest.mark.parametrize("name", ["shop", "svc-wf-shop"])  # the second looks like one that SecFlow made up
def test_a_chosen_service_name_belongs_to_one_node(cluster: ClusterClient, driver: Driver, name: str) -> None:
    template = driver.app_template(service_name=name, service_ports=PORTS)
    nodes = [app(template, "one"), app(template, "two")]
    body = {"name": "i", "project_id": driver.project, "nodes": nodes}
    driver.call("POST", "/workflow-instances", body).refused(409, "CONFLICT")
    first, second = driver.instance(nodes[:1]), driver.instance(nodes[1:])
    assert driver.act(first, "initialize").ok()["nodes"][0]["service_name"] == name
    before = driver.read(second)

    refusals = [driver.act(second, verb).refused(409, "CONFLICT") for verb in ("initialize", "start")]

    assert all(refusal["details"]["services"] == [{"node": "two", "service_name": name}] for refusal in refusals)
    assert driver.read(second) == before
    driver.act(first, "stop").ok()
    assert driver.act(second, "initialize").ok()["status"] == "initialized"
    owner = cluster.request("GET", objects_path(driver, "services", name))["metadata"]["labels"]
    assert owner["secflow.io/node-id"] == before["nodes"][0]["id"]


def test_logs_of_a_node(driver: Driver) -> None:
    one = driver.instance(
        [job(driver.job_template("echo 1; echo 2; echo 3"), "work"), job(driver.job_template("true"), "x")]
    )
    nodes = nodes_by_name(driver.read(one))
    path = f"/workflow-instances/{one}/nodes/{nodes['work']['id']}/logs"
    driver.call("GET", path).refused(400, "VALIDATION_ERROR")
    name = nodes_by_name(driver.run(one))["work"]["k8s_resource_name"]

    found = driver.call("GET", f"{path}?timestamp=false&container=main").ok()

    pod = found.pop("pod_name")
    assert pod.startswith(f"{name}-")
    assert found == {
        "resource_name": name,
        "namespace": f"secflow-{driver.project}",
        "logs": "1\n2\n3\n",
        "container": "main",
        "previous": False,
    }
    assert driver.call("GET", f"{path}?tail_lines=1&timestamps=false").ok()["logs"] == "3\n"
    stamped = driver.call("GET", path).ok()["logs"].splitlines()
    assert [line.partition("Z ")[2] for line in stamped] == ["1", "2", "3"]
    for query in ("tail_lines=0", "tail_lines=10001", "timestamps=perhaps", "previous=perhaps"):
        driver.call("GET", f"{path}?{query}").refused(400, "VALIDATION_ERROR")
    absent = driver.call("GET", f"{path}?container=none").refused(404, "NOT_FOUND")
    assert absent["message"] == f"Pod {pod} has no container 'none': it has main."
    driver.call("GET", path.replace(nodes["work"]["id"], "wf-node-none-00000000")).refused(404, "NOT_FOUND")


def test_log_records_stay_when_the_objects_are_gone(driver: Driver) -> None:
    one = driver.instance([job(driver.job_template("echo done", ttl_seconds_after_finished=3600), "work")])
    work = driver.run(one)["nodes"][0]
    path = f"/workflow-instances/{one}/logs"
    eventually(
        lambda: driver.call("GET", path).ok()["items"][0]["execution_logs"]["fetched_at"] is not None, what="the text"
    )

    assert driver.act(one, "uninitialize").ok()["status"] == "pending"

    (record,) = driver.call("GET", path).ok()["items"]
    assert record["execution_logs"].pop("fetched_at") == record["log_updated_at"]
    assert record["execution_logs"].pop("pod_name").startswith(work["k8s_resource_name"])
    assert record["execution_logs"] == {
        "task_id": "run-1", "container": "main", "logs": "done\n", "status_when_fetched": "succeeded",
    }  # fmt: skip
    fixed = ("node_id", "node_name", "node_type", "instance_id", "project_id", "status", "message", "init_logs")
    assert [record[key] for key in fixed] == [
        work["id"], "work", "job", one, driver.project, "succeeded", None, {"logs": "", "fetched_at": None},
    ]  # fmt: skip
    assert [record[key] for key in ("k8s_resource_name", "k8s_resource_type")] == [work["k8s_resource_name"], "Job"]
    assert driver.call("GET", f"{path}?node_id=wf-node-none-00000000").ok()["total"] == 0


def test_names_of_any_alphabet_and_the_longest(driver: Driver) -> None:
    name = ("工作流 🚀 " + "ä" * 128)[:128]
    text = "zwei\nZeilen 'a' \"b\" $HOME `c` \\ €"
    template = driver.job_template('printf %s "$TEXT"', name=name, container={"name": "Контейнер_A"})
    one = driver.instance([job(template, name, env_vars=[{"name": "TEXT", "value": text}])], name=name)

    ended = driver.run(one)

    assert (ended["status"], ended["name"], ended["nodes"][0]["name"]) == ("succeeded", name, name)
    path = f"/workflow-instances/{one}/nodes/{ended['nodes'][0]['id']}/logs"
    logs = driver.call("GET", f"{path}?timestamps=false&container={quote('Контейнер_A')}").ok()
    assert logs["logs"].rstrip("\n") == text


@pytest.mark.parametrize("shape", ["fan-out", "chain"])
def test_big_graphs(stack: Stack, driver: Driver, shape: str) -> None:
    template = driver.job_template("true")
    count = {"fan-out": 40 if IS_REAL else 500, "chain": 10 if IS_REAL else 100}[shape]
    names = [f"n{number}" for number in range(count)]
    inner = names[1:-1]
    fan = [(names[0], name) for name in inner] + [(name, names[-1]) for name in inner]
    edges = fan if shape == "fan-out" else list(zip(names, names[1:], strict=False))
    one = driver.instance([job(template, name) for name in names], edges)

    ended = driver.run(one)

    assert (ended["status"], set(statuses(ended).values())) == ("succeeded", {"succeeded"})
    nodes = nodes_by_name(ended)
    assert all(nodes[target]["started_at"] >= nodes[source]["finished_at"] for source, target in edges)
    driver.act(one, "uninitialize").ok()
    eventually(lambda: objects_of(stack.kubeconfig, one) == [], what="an empty cluster")


def test_many_are_deleted_at_once_while_they_run(stack: Stack, driver: Driver) -> None:
    template = driver.job_template("sleep 3600")
    ones = [driver.instance([job(template, "work")]) for _ in range(12 if IS_REAL else 30)]
    at_once(len(ones), lambda number: driver.act(ones[number], "start").ok())

    answers = at_once(len(ones), lambda number: driver.remove(ones[number]))

    assert [answer.ok()["message"] for answer in answers] == [
        f"Workflow instance {one} deleted successfully" for one in ones
    ]
    assert driver.call("GET", f"/workflow-instances?project_id={driver.project}").ok()["total"] == 0
    assert [objects_of(stack.kubeconfig, one) for one in ones] == [[]] * len(ones)
