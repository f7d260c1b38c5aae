"""What the cluster refuses, and that people are told why and how it went on (contract E.6, H.2, H.5)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress

import pytest

from k8s_bridge.errors import ClusterError, NotFound
from tests.e2e.driver import PORTS, TRIGGERABLE, Json, app, job
from tests.e2e.project import STAY, Project, needs_real_cluster, opened
from tests.stack import Stack, eventually, objects_of

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

ABSENT = "registry.invalid/none:v9"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
FOREIGN = {"app": "foreign"}
POD: Json = {
    "metadata": {"labels": FOREIGN},
    "spec": {"containers": [{"name": "main", "image": "busybox:latest", "command": ["sh", "-c", STAY]}]},
}


@pytest.fixture
def apart(stack: Stack) -> Iterator[Project]:
    """A project of one test, whose namespace has rules of its own."""
    with opened(stack) as found:
        yield found


def message_of(instance: Json) -> str:
    return instance["nodes"][0]["message"] or ""


def workload_name(instance: Json) -> str:
    """The name that the node's object is going to have (contract H.2)."""
    suffixes = [text.rpartition("-")[2] for text in (instance["id"], instance["nodes"][0]["id"])]
    return f"wf-{suffixes[0]}-{suffixes[1]}"


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_a_foreign_object_with_our_name_fails_the_node_and_stays(project: Project, stack: Stack, kind: str) -> None:
    node = app(project.app_template(STAY), "n") if kind == "Deployment" else job(project.job_template("true"), "n")
    one = project.instance([node], **TRIGGERABLE)
    name = workload_name(project.read(one))
    if kind == "Job":
        spec: Json = {"template": {"spec": {**POD["spec"], "restartPolicy": "Never"}}}
    else:
        spec = {"selector": {"matchLabels": FOREIGN}, "template": POD}
    foreign = project.create(kind, name, spec=spec)

    ended = project.run(one)

    assert ended["status"] == "failed"
    assert "belongs to somebody else" in message_of(ended)
    for verb in ("uninitialize", "start"):
        project.act(one, verb).ok()
    assert project.ended(one)["status"] == "failed"
    there = project.look(kind, name)
    assert there is not None
    assert there["metadata"]["uid"] == foreign["metadata"]["uid"]
    assert there["spec"]["template"]["spec"] == foreign["spec"]["template"]["spec"]
    project.delete(kind, name)
    eventually(lambda: project.look(kind, name) is None, what="the end of the foreign object")
    assert project.run(one, "trigger")["status"] == "succeeded"
    assert objects_of(stack.kubeconfig, one) != []


def test_a_foreign_service_is_neither_taken_nor_removed(project: Project) -> None:
    spec = {"selector": FOREIGN, "ports": [{"port": 80}]}
    foreign = project.create("Service", "their-own", spec=spec)
    one = project.instance([app(project.app_template(STAY, service_ports=PORTS), "n", service_name="their-own")])

    refused = project.act(one, "start").refused(409, "CONFLICT")
    assert project.remove(one).status == 200

    assert refused["details"]["services"] == [{"node": "n", "service_name": "their-own"}]
    there = project.look("Service", "their-own")
    assert there is not None
    assert (there["metadata"]["uid"], there["spec"]["selector"]) == (foreign["metadata"]["uid"], FOREIGN)


@pytest.mark.parametrize("kind", ["job", "app"])
def test_a_missing_image_is_named_and_its_pull_takes_none_of_the_time(project: Project, kind: str) -> None:
    fields: Json = {"container": {"image": ABSENT}}
    template = project.job_template("true", **fields) if kind == "job" else project.app_template(**fields)
    node = {"job": job, "app": app}[kind](template, "far", timeout_seconds=1)
    one = project.instance([node])
    project.act(one, "start").ok()

    seen = project.wait(one, lambda found: f"the image {ABSENT} cannot be pulled" in message_of(found))

    (pod,) = project.pods(seen["nodes"][0])
    waiting = [state["state"].get("waiting") or {} for state in pod["status"]["containerStatuses"]]
    assert [state.get("reason") in ("ErrImagePull", "ImagePullBackOff") for state in waiting] == [True]
    # The second try of the cluster comes ten seconds after the first: many times the node's own second.
    eventually(
        lambda: (
            [
                state["state"]["waiting"]["reason"]
                for state in project.pods(seen["nodes"][0])[0]["status"]["containerStatuses"]
            ]
            == ["ImagePullBackOff"]
        ),
        what="the second try",
    )
    later = project.read(one)
    assert (later["status"], later["nodes"][0]["status"]) == ("running", "running")
    assert project.act(one, "stop").ok()["status"] == "stopped"


@needs_real_cluster("the local cluster has no quotas")
def test_a_quota_makes_nodes_wait_and_lets_them_go_on_when_it_is_free(apart: Project) -> None:
    hold(apart, {"count/jobs.batch": "1", "count/deployments.apps": "0"})
    first = apart.instance([job(apart.job_template("sleep 3600"), "first")])
    apart.act(first, "start").ok()
    apart.wait(first, lambda found: apart.look("Job", workload_name(found)) is not None)
    waiting = [
        apart.instance([job(apart.job_template("true"), "second")]),
        apart.instance([app(apart.app_template(STAY), "third")]),
    ]

    for one in waiting:
        apart.act(one, "start").ok()
    for one in waiting:
        seen = apart.wait(one, lambda found: "quota" in message_of(found))
        assert (seen["status"], seen["nodes"][0]["status"]) == ("running", "running")

    # The place in the quota comes free by itself, and the other kind by a person.
    apart.act(first, "stop").ok()
    assert apart.ended(waiting[0])["status"] == "succeeded"
    release(apart)
    ended = apart.ended(waiting[1])
    assert (ended["status"], message_of(ended)) == ("succeeded", "")


@needs_real_cluster("the local cluster has no quotas")
def test_a_quota_of_pods_is_waited_for_as_well(apart: Project) -> None:
    hold(apart, {"pods": "0"})
    one = apart.instance([app(apart.app_template(STAY), "site")])
    apart.act(one, "start").ok()

    seen = apart.wait(one, lambda found: "quota" in message_of(found))
    release(apart)

    assert seen["status"] == "running"
    # Nobody changes the Deployment: the cluster's own controller comes back by itself, with growing pauses.
    ended = apart.ended(one, seconds=150)
    assert (ended["status"], message_of(ended)) == ("succeeded", "")


def hold(project: Project, hard: Json) -> None:
    path = f"/api/v1/namespaces/{project.namespace}/resourcequotas"
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": hard}}
    project.client.request("POST", path, body=body)
    eventually(
        lambda: "hard" in (project.client.request("GET", f"{path}/few").get("status") or {}),
        what="the quota's first count",
    )


def release(project: Project) -> None:
    project.client.request("DELETE", f"/api/v1/namespaces/{project.namespace}/resourcequotas/few")


@pytest.fixture
def rule(apart: Project) -> Iterator[str]:
    """An admission policy that refuses Jobs of the project that carry an environment variable called FORBIDDEN."""
    name = f"secflow-test-{secrets.token_hex(4)}"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": apart.namespace}}
    group = "admissionregistration.k8s.io/v1"
    expression = "object.spec.template.spec.containers.all(c, !has(c.env) || c.env.all(e, e.name != 'FORBIDDEN'))"
    policy = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": selector,
                "resourceRules": [
                    {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
                ],
            },
            "validations": [{"expression": expression, "message": "house rule 7: nothing is FORBIDDEN here"}],
        },
    }
    binding = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}},
    }
    try:
        apart.client.request("POST", POLICIES, body=policy)
        apart.client.request("POST", BINDINGS, body=binding)
        yield name
    finally:
        for path in (BINDINGS, POLICIES):
            with suppress(NotFound):
                apart.client.request("DELETE", f"{path}/{name}")


@needs_real_cluster("the local cluster has no admission policies")
def test_an_admission_policy_fails_the_node_in_its_own_words(apart: Project, rule: str) -> None:
    forbidden = {"env_vars": [{"name": "FORBIDDEN", "value": "x"}]}

    def is_enforced() -> bool:
        query = {"dryRun": "All"}
        container = {**POD["spec"]["containers"][0], "env": [{"name": "FORBIDDEN", "value": "x"}]}
        body: Json = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "asked"},
            "spec": {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}},
        }
        try:
            apart.client.request("POST", f"/apis/batch/v1/namespaces/{apart.namespace}/jobs", body=body, query=query)
        except ClusterError as err:
            return "house rule 7" in str(err)
        return False

    eventually(is_enforced, what="the policy")
    one = apart.instance([job(apart.job_template("true"), "n", **forbidden)])
    other = apart.instance([job(apart.job_template("true"), "n")])

    ended = apart.run(one)

    assert ended["status"] == "failed"
    assert "house rule 7: nothing is FORBIDDEN here" in message_of(ended)
    assert apart.look("Job", workload_name(ended)) is None
    assert apart.run(other)["status"] == "succeeded"


@needs_real_cluster("the local cluster has no pod security")
def test_a_pod_that_the_namespace_does_not_admit_says_so(stack: Stack) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with opened(stack, **labels) as strict:
        one = strict.instance([app(strict.app_template(STAY), "site", timeout_seconds=5)])
        strict.act(one, "start").ok()

        seen = strict.wait(one, lambda found: "PodSecurity" in message_of(found))

        assert "restricted" in message_of(seen)
        assert strict.pods(seen["nodes"][0]) == []
        assert strict.act(one, "stop").ok()["status"] == "stopped"


@needs_real_cluster("the local cluster's namespaces end at once")
def test_a_namespace_that_is_going_away_is_said_so_and_used_again_when_it_is_gone(apart: Project) -> None:
    # A finalizer of ours keeps the namespace in its last phase for as long as the test wants.
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": "none"}
    path = f"/api/v1/namespaces/{apart.namespace}/persistentvolumeclaims"
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "holds", "finalizers": ["secflow.io/test"]},
        "spec": spec,
    }
    apart.client.request("POST", path, body=claim)
    one = apart.instance([job(apart.job_template("true"), "n")], **TRIGGERABLE)
    apart.client.request("DELETE", f"/api/v1/namespaces/{apart.namespace}")
    eventually(
        lambda: (
            apart.client.request("GET", f"/api/v1/namespaces/{apart.namespace}")["status"]["phase"] == "Terminating"
        ),
        what="the last phase of the namespace",
    )

    # Where it is found before anything is accepted it is an error of the call, otherwise the node waits or fails by it.
    answer = apart.act(one, "start")
    if answer.status == 200:
        words = message_of(apart.wait(one, lambda found: "namespace" in message_of(found)))
    else:
        words = answer.body["message"]
    assert "is being deleted" in words or "terminat" in words, words

    held = apart.client.request("GET", f"{path}/holds")
    held["metadata"]["finalizers"] = []
    apart.client.request("PUT", f"{path}/holds", body=held)

    def is_gone() -> bool:
        try:
            apart.client.request("GET", f"/api/v1/namespaces/{apart.namespace}")
        except NotFound:
            return True
        return apart.read(one)["status"] in ("succeeded", "failed")

    eventually(is_gone, what="the end of the namespace")
    found = apart.read(one)
    if found["status"] != "running":
        apart.act(one, "trigger" if found["status"] == "failed" else "start").ok()
    assert apart.ended(one)["status"] == "succeeded"


@needs_real_cluster("the local cluster's node has room for everything")
def test_a_pod_that_fits_on_no_node_says_what_it_lacks_and_its_time_does_not_run(project: Project) -> None:
    one = project.instance(
        [job(project.job_template("true"), "n", resources={"requests": {"cpu": "900"}}, timeout_seconds=1)]
    )
    project.act(one, "start").ok()

    seen = project.wait(one, lambda found: "not enough cpu" in message_of(found))

    assert seen["status"] == "running"
    assert project.act(one, "stop").ok()["status"] == "stopped"


@needs_real_cluster("the local cluster does not know every resource by name")
def test_an_object_that_is_not_valid_fails_the_node_in_the_words_of_the_cluster(project: Project) -> None:
    pears = {"requests": {"pears": "1"}, "limits": {"pears": "1"}}
    one = project.instance([job(project.job_template("true"), "n", resources=pears)])

    ended = project.run(one)

    assert ended["status"] == "failed"
    assert "must be a standard resource for containers" in message_of(ended)
    assert project.look("Job", workload_name(ended)) is None
