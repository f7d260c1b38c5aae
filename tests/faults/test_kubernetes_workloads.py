"""What a cluster does to workloads, and what people are told of it: F28, F29, F30 and F33."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from k8s_bridge.errors import ClusterError, NotFound
from tests.e2e.driver import Json, app, job, nodes_by_name, statuses
from tests.e2e.project import PYTHON, Project, needs_real_cluster
from tests.faults.invariants import check
from tests.stack import Stack, Witness, eventually, running_stack

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

LIMITS = {"PULL_LIMIT_SECONDS": "30", "RECONCILE_SECONDS": "2", "SWEEP_SECONDS": "1"}
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = f"{POLICIES.removesuffix('ies')}ybindings"
WORDS = "every workload of this namespace needs the blessing of the auditors"
EATER = "import time; held = b'x' * (1 << 28); time.sleep(60)"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack") / "data"
    with running_stack(folder, kubeconfig=os.environ.get("SECFLOW_TEST_KUBECONFIG"), env=LIMITS) as running:
        yield running


@pytest.fixture
def project(stack: Stack, witness: Witness) -> Iterator[Project]:
    made = Project(stack, project=f"fault-{secrets.token_hex(4)}")
    try:
        yield made
        check(stack)
    finally:
        made.clear()
    check(stack)


def why(project: Project, instance: str, name: str) -> Json:
    """The kept record of a node that failed: `message`, and in `metadata` diagnosis and evidence."""
    ended = project.ended(instance)
    assert ended["status"] == "failed", ended
    node = nodes_by_name(ended)[name]
    found: list[Json] = []

    def is_kept() -> bool:
        found[:] = [project.record(instance, node)]
        return "evidence" in found[0]["metadata"]

    eventually(is_kept, what=f"the evidence of {name}")
    return found[0]


def told(stack: Stack, instance: str) -> list[str]:
    """The categories of the troubles that the journal has of an instance, in order."""
    with psycopg.connect(stack.database_url) as connection:
        rows = connection.execute(
            "SELECT data->'diagnosis'->>'category' FROM secflow_platform_workflow_event"
            " WHERE instance_id = %s AND data ? 'diagnosis' ORDER BY sequence",
            [instance],
        ).fetchall()
    return [row[0] for row in rows]


def test_f28_a_name_that_no_image_can_have_fails_at_once_and_a_missing_image_after_the_limit(project: Project) -> None:
    """Fault: an impossible image name, and an image that does not exist. Criterion: the first fails at once, the
    second at the pull limit; both name the image.
    """
    bad = project.job_template("true", container={"image": "Team/Tool:1"})
    missing = project.job_template("true", container={"image": "registry.invalid/no/such:image"})
    runs = {
        name: project.instance([job(made, "a")], name=name) for name, made in {"bad": bad, "missing": missing}.items()
    }
    project.launch(runs)

    first = why(project, runs["bad"], "a")
    is_still_waiting = project.read(runs["missing"])["status"] == "running"
    second = why(project, runs["missing"], "a")

    assert is_still_waiting
    assert first["metadata"]["diagnosis"]["category"] == "invalid_image"
    assert "Team/Tool:1" in first["metadata"]["diagnosis"]["summary"]
    assert second["metadata"]["diagnosis"]["category"] == "image_pull"
    assert second["message"].startswith("pull limit: ")
    assert "registry.invalid/no/such:image cannot be pulled" in second["message"]
    assert "Check that the image and tag exist" in second["metadata"]["diagnosis"]["resolution"]
    (container,) = second["metadata"]["evidence"]["pods"][0]["containers"]
    assert container["state"]["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert any(
        "registry.invalid/no/such:image" in event["message"] for event in second["metadata"]["evidence"]["events"]
    )


def test_f29_an_app_that_keeps_crashing_fails_and_its_last_words_stay(project: Project) -> None:
    """Fault: an app crashes again and again. Criterion: its node fails at its time limit, nothing after it starts,
    its last lines are kept.
    """
    # The probe: without one, a container counts as ready in the moment before it ends.
    probe = {"readiness_probe": {"type": "tcp", "port": 9}}
    crashing = project.app_template("echo no configuration; exit 4", container=probe)
    instance = project.instance(
        [app(crashing, "web", timeout_seconds=12), job(project.job_template("true"), "next")], [("web", "next")]
    )
    project.launch({"it": instance})

    record = why(project, instance, "web")

    assert statuses(project.read(instance))["next"] == "pending"
    # Between an end and the pause after it, the container has only ended.
    assert record["metadata"]["diagnosis"]["category"] in {"crash_loop", "exit_code"}
    assert "exit code 4" in record["metadata"]["diagnosis"]["summary"]
    assert record["message"].startswith("timeout: not ready within 12 s. ")
    assert "no configuration" in record["metadata"]["evidence"]["logs"][0]["text"]
    assert "BackOff" in {event["reason"] for event in record["metadata"]["evidence"]["events"]}


@needs_real_cluster("the local cluster lets processes take the memory that there is")
def test_f30_a_job_that_needs_too_much_memory_says_so(project: Project) -> None:
    """Fault: a job is killed for want of memory. Criterion: the node says so and names the limit as what to change."""
    template = project.job_template(
        "",
        container={
            "image": PYTHON,
            "command": ["python", "-c", EATER],
            "resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "32Mi"}},
        },
    )
    instance = project.instance([job(template, "a")])
    project.launch({"it": instance})

    record = why(project, instance, "a")

    assert record["metadata"]["diagnosis"]["category"] == "out_of_memory"
    (container,) = record["metadata"]["evidence"]["pods"][0]["containers"]
    assert (container["state"]["reason"], container["state"]["exitCode"]) == ("OOMKilled", 137)


@needs_real_cluster("the local cluster has no admission policies")
def test_f33_what_refuses_the_pods_of_a_job_is_told_word_for_word_while_it_waits(
    project: Project, stack: Stack
) -> None:
    """Fault: the cluster takes a Job and refuses its pods. Criterion: the node shows the cluster's own words while
    it waits.
    """
    project.open_namespace()
    instance = project.instance([job(project.job_template("true"), "a")])
    with refusing_pods(project):
        project.launch({"it": instance})
        found = project.wait(instance, lambda found: WORDS in (found["nodes"][0]["message"] or ""))
        assert found["status"] == "running"
    # What was only waiting goes on as soon as the cluster lets it.
    assert project.ended(instance)["status"] == "succeeded"
    assert told(stack, instance) == ["admission"]


@contextmanager
def refusing_pods(project: Project) -> Iterator[None]:
    """Within this context, the cluster refuses new pods in the project's namespace."""
    name = f"secflow-{project.project}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    namespaces = {"matchLabels": {"kubernetes.io/metadata.name": project.namespace}}
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": namespaces},
        "validations": [{"expression": "false", "message": WORDS}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": namespaces}}
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    try:
        for path, kind, spec in (
            (POLICIES, "ValidatingAdmissionPolicy", policy),
            (BINDINGS, "ValidatingAdmissionPolicyBinding", binding),
        ):
            project.client.request("POST", path, body=head | {"kind": kind, "spec": spec})
        eventually(lambda: is_refused(project), what="the policy")
        yield
    finally:
        for path in (BINDINGS, POLICIES):
            with suppress(NotFound):
                project.client.request("DELETE", f"{path}/{name}")


def is_refused(project: Project) -> bool:
    """Whether a trial, which makes nothing, is refused."""
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:latest"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trial"}, "spec": spec}
    path = f"/api/v1/namespaces/{project.namespace}/pods"
    try:
        project.client.request("POST", path, query={"dryRun": "All"}, body=body)
    except ClusterError as err:
        return WORDS in str(err)
    return False
