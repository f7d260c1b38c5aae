"""Jobs: what is asked of the cluster for them, retries, time to live, resources and time-outs (contract C.2, E.6, H.4)."""

from __future__ import annotations

import pytest

from tests.e2e.driver import Json, job, nodes_by_name
from tests.e2e.project import Project, mount, needs_real_cluster
from tests.stack import Witness, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

TEMPLATE_RESOURCES = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
NODE_RESOURCES = {"requests": {"cpu": "20m", "memory": ""}, "limits": {"memory": "96Mi"}}
# Counts its pods in a claim; the third one succeeds.
THIRD_TIME = 'echo "$(hostname)" >> /data/tries; echo "try $(wc -l < /data/tries)"; test "$(wc -l < /data/tries)" -ge 3'
EATER = "import time; held = b'x' * (1 << 28); time.sleep(60)"
EXPECTED_FAILURES = ("used up",)


@pytest.fixture(scope="module")
def runs(project: Project) -> dict[str, str]:
    """One workflow for each question, started at once: the waits of all of them are one."""
    claim = project.claim("counts")
    counting = {"volume_mounts": [mount(claim, sub_path="third")]}
    failing = {"volume_mounts": [mount(claim, sub_path="never")]}
    plain = project.job_template("echo done", container={"resources": TEMPLATE_RESOURCES})
    two = [
        {"name": name, "image": "busybox:latest", "command": ["sh", "-c", "echo $WHO"], "resources": TEMPLATE_RESOURCES}
        for name in ("one", "two")
    ]

    def alone(template: str, name: str, **fields: object) -> str:
        return project.instance([job(template, name, **fields)], name=name)

    made = {
        "retried": alone(project.job_template(THIRD_TIME, backoff_limit=3, container=counting), "retried"),
        "used up": alone(
            project.job_template(
                'echo x >> /data/tries; echo "last words"; exit 7', backoff_limit=1, container=failing
            ),
            "used up",
        ),
        "short": alone(project.job_template("echo short-lived", ttl_seconds_after_finished=20), "short"),
        "kept": alone(project.job_template("echo kept", ttl_seconds_after_finished=None), "kept"),
        "plain": alone(plain, "plain"),
        "given": alone(plain, "given", resources=NODE_RESOURCES),
        "two": alone(
            project.job_template("true", containers=two),
            "two",
            resources=NODE_RESOURCES,
            env_vars=[{"name": "WHO", "value": "both"}],
        ),
        "arguments": alone(
            project.job_template(
                "",
                container={
                    "command": ["printf", "%s|"],
                    "args": ["a b", "", "$(WHO)", "'"],
                    "env_vars": [{"name": "WHO", "value": "me"}],
                },
            ),
            "arguments",
        ),
    }
    return project.launch(made)


def ended(project: Project, runs: dict[str, str], name: str) -> Json:
    """The only node of a workflow that has ended as it should."""
    found = project.ended(runs[name])
    assert found["status"] == ("failed" if name in EXPECTED_FAILURES else "succeeded"), found
    (node,) = found["nodes"]
    return dict(node)


def containers(project: Project, node: Json) -> list[Json]:
    return list(project.object(node)["spec"]["template"]["spec"]["containers"])


def test_the_object_is_one_job_with_one_completion(project: Project, runs: dict[str, str]) -> None:
    node = ended(project, runs, "plain")

    made = project.object(node)

    spec = made["spec"]
    assert node["k8s_resource_type"] == "Job"
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 3)
    assert spec["ttlSecondsAfterFinished"] == 3600
    assert spec.get("activeDeadlineSeconds") is None
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    for labels in (made["metadata"]["labels"], spec["template"]["metadata"]["labels"]):
        assert labels["app"] == node["k8s_resource_name"]
        assert labels["managed-by"] == "secflow-workflow"
        assert labels["secflow.io/instance-id"] == runs["plain"]
        assert (labels["secflow.io/node-id"], labels["secflow.io/project-id"]) == (node["id"], project.project)
        assert labels["secflow.io/run"] == "1"


def test_a_pod_that_fails_twice_and_then_succeeds_is_one_successful_job(project: Project, runs: dict[str, str]) -> None:
    node = ended(project, runs, "retried")

    def counts() -> tuple[int | None, int | None]:
        status = project.object(node)["status"]
        return status.get("failed"), status.get("succeeded")

    # The node follows its pod; the cluster counts a moment later.
    eventually(lambda: counts() == (2, 1), what="two failures and one success")
    assert node["message"] is None
    assert project.record(runs["retried"], node)["execution_logs"]["logs"] == "try 3\n"
    reader = project.job_template(
        "wc -l < /data/tries; sort -u /data/tries | wc -l",
        container={"volume_mounts": [mount("counts", sub_path="third", read_only=True)]},
    )
    after = project.run(one := project.instance([job(reader, "count")]))
    # Three pods, each another one.
    assert project.logs(one, after["nodes"][0]).split() == ["3", "3"]


def test_a_job_whose_retries_are_used_up_says_what_its_last_pod_said(project: Project, runs: dict[str, str]) -> None:
    node = ended(project, runs, "used up")

    assert "limit of 1 retry" in node["message"]
    assert "exit code 7" in node["message"]
    assert project.object(node)["status"]["failed"] == 2
    assert project.record(runs["used up"], node)["execution_logs"]["logs"] == "last words\n"


def test_a_job_goes_when_its_time_to_live_is_over_and_its_text_stays(project: Project, runs: dict[str, str]) -> None:
    node = ended(project, runs, "short")
    record = project.record(runs["short"], node)

    eventually(lambda: project.look("Job", node["k8s_resource_name"]) is None, what="the removal by the cluster")

    assert record["execution_logs"]["logs"] == "short-lived\n"
    synced = project.act(runs["short"], "sync-status").ok()
    assert (synced["status"], synced["has_warning"], synced["nodes"][0]["status"]) == ("succeeded", False, "succeeded")


def test_a_job_without_a_time_to_live_stays(project: Project, runs: dict[str, str]) -> None:
    node = ended(project, runs, "kept")

    assert "ttlSecondsAfterFinished" not in project.object(node)["spec"]


def test_resources_of_the_template_reach_the_pod(project: Project, runs: dict[str, str]) -> None:
    (container,) = containers(project, ended(project, runs, "plain"))

    assert container["resources"] == TEMPLATE_RESOURCES


@pytest.mark.parametrize("name", ["given", "two"])
def test_resources_of_the_node_replace_those_of_every_container(
    project: Project, runs: dict[str, str], name: str
) -> None:
    found = containers(project, ended(project, runs, name))

    wanted = {"requests": {"cpu": "20m"}, "limits": NODE_RESOURCES["limits"]}
    # A cluster asks for what it limits where nothing else is asked for.
    filled = wanted | {"requests": {"cpu": "20m", "memory": "96Mi"}}
    assert [one["resources"] in (wanted, filled) for one in found] == [True] * len(found), found


def test_every_container_of_a_pod_runs_and_has_its_own_text(project: Project, runs: dict[str, str]) -> None:
    node = ended(project, runs, "two")

    assert [project.logs(runs["two"], node, container=name) for name in ("one", "two")] == ["both\n"] * 2


def test_a_command_and_its_arguments_are_passed_on_as_they_are(project: Project, runs: dict[str, str]) -> None:
    node = ended(project, runs, "arguments")

    # The cluster itself puts variables into arguments.
    assert project.logs(runs["arguments"], node).rstrip("\n") == "a b||me|'|"


def test_a_pod_of_two_containers_fails_when_one_of_them_fails(project: Project) -> None:
    def part(name: str, script: str) -> Json:
        return {"name": name, "image": "busybox:latest", "command": ["sh", "-c", script]}

    template = project.job_template("", containers=[part("good", "true"), part("bad", "exit 4")], backoff_limit=0)
    found = project.run(project.instance([job(template, "pair")]))

    assert found["status"] == "failed"
    assert "Container bad ended with exit code 4" in found["nodes"][0]["message"]


def test_a_retry_does_not_give_a_job_more_time(project: Project, witness: Witness) -> None:
    template = project.job_template("sleep 1; exit 1", backoff_limit=1000)
    found = project.run(one := project.instance([job(template, "again", timeout_seconds=4)]))

    (node,) = found["nodes"]
    assert found["status"] == "failed"
    assert "not finished within 4 s" in node["message"]
    eventually(lambda: project.pods(node) == [], what="the removal of its pods")
    assert witness.doubles() == []
    assert nodes_by_name(project.read(one))["again"]["status"] == "failed"


@needs_real_cluster("the local cluster has no memory limit that kills")
def test_a_container_that_takes_too_much_memory_is_said_to(project: Project) -> None:
    eater = {"image": "python:3.11-slim", "command": ["python", "-c", EATER]}
    template = project.job_template("", backoff_limit=0, container=eater)
    limits = {"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    found = project.run(project.instance([job(template, "eater", resources=limits)]))

    assert found["status"] == "failed"
    assert "Container main used more memory than its limit and was killed" in found["nodes"][0]["message"]
