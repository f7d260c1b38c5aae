"""Requests to the Kubernetes API that fail, or that seem to fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime

import pytest

from k8s_bridge.errors import ClusterError, NotFound
from tests.e2e.driver import PORTS, app, job, nodes_by_name, statuses
from tests.faults.cluster.stage import Stage, at, real_cluster_only
from tests.faults.cluster_faults import (
    LOST_ANSWER,
    NO_ANSWER,
    RESET,
    SERVER_ERRORS,
    TRUNCATED,
    Rule,
    forbidden,
    too_many,
)
from tests.stack import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


def test_f03_a_creation_that_happened_though_its_answer_was_lost(stage: Stage) -> None:
    """Fault: the API server makes the objects and no answer arrives. Criterion: they are adopted, none is made twice."""
    server = app(stage.driver.app_template("sleep 3600", service_ports=PORTS), "server")
    worker = job(stage.driver.job_template("true"), "worker")
    one = stage.driver.instance([server, worker], [("server", "worker")])
    rules = (
        stage.rule(LOST_ANSWER, verbs=("create",), resources=("services", "deployments"), count=2),
        stage.rule(NO_ANSWER, verbs=("create",), resources=("jobs",), count=1),
    )

    with stage.plan.rules(*rules):
        stage.start(one)
        ended = stage.driver.wait_for(one, "succeeded", "failed")

    assert ended["status"] == "succeeded", ended
    assert [rule.hits for rule in rules] == [2, 1]
    for resource in ("services", "deployments", "jobs"):
        assert list(stage.made(resource).values()) == [1], resource
    stage.check_invariants()


def test_f19_the_api_server_asks_for_fewer_calls(stage: Stage) -> None:
    """Fault: 429 with Retry-After to everything for some seconds. Criterion: the wish is kept, no node fails, all end."""
    template = stage.driver.job_template("true")
    made = [stage.driver.instance([job(template, "a"), job(template, "b")], [("a", "b")]) for _ in range(3)]
    began = time.monotonic()

    with stage.plan.rules(Rule((too_many(2),), verbs=("create", "list", "watch", "delete"))):
        stage.start(*made)
        for one in made:
            stage.wait_for_words(one, "a", "waiting to be made")
        eventually(lambda: time.monotonic() > began + 6, what="the end of the fault")
        tries = stage.proxy.requests("create", "jobs", within=stage.namespace, since=began)
        seconds = time.monotonic() - began

    ended = [stage.driver.wait_for(one, "succeeded", "failed")["status"] for one in made]
    assert ended == ["succeeded"] * 3
    assert len(tries) <= 3 * (1 + seconds / 2)
    assert set(stage.made().values()) == {1}
    stage.check_invariants()


def test_f20_one_request_in_five_goes_wrong(stage: Stage) -> None:
    """Fault: 20 % of all requests: 5xx, resets before and after the fact, torn answers. Criterion: as F19."""
    template = stage.driver.job_template("true")
    server = stage.driver.app_template("sleep 3600")
    made = [
        stage.driver.instance(
            [app(server, "app"), job(template, "a"), job(template, "b")], [("app", "a"), ("app", "b")]
        )
        for _ in range(3)
    ]

    with stage.plan.rules(Rule((*SERVER_ERRORS, RESET, LOST_ANSWER, TRUNCATED), rate=0.2)):
        stage.start(*made)
        ended = [stage.driver.wait_for(one, "succeeded", "failed") for one in made]

    assert [one["status"] for one in ended] == ["succeeded"] * 3, ended
    assert {*stage.made().values(), *stage.made("deployments").values()} == {1}
    stage.check_invariants()


def test_f21_nodes_end_while_the_cluster_cannot_be_reached(stage: Stage) -> None:
    """Fault: no way to the API server while jobs end and an app gets ready. Criterion: that is known soon after the
    return, with the cluster's times."""
    kinds = {"good": "Job", "bad": "Job", "site": "Deployment"}
    probe = {"type": "exec", "command": ["cat", "/tmp/ready"], "period_seconds": 1, "initial_delay_seconds": 1}
    # Long enough that all of them are still at work when the outage begins.
    nodes = [
        job(stage.driver.job_template("sleep 10"), "good"),
        job(stage.driver.job_template("sleep 10; exit 3", backoff_limit=0), "bad"),
        app(
            stage.driver.app_template("sleep 10; touch /tmp/ready; sleep 3600", container={"readiness_probe": probe}),
            "site",
        ),
    ]
    one = stage.driver.instance(nodes)
    stage.start(one)
    names = {name: stage.wait_for_object(kind, one, name)["metadata"]["name"] for name, kind in kinds.items()}
    stage.driver.wait(one, lambda found: all(node["status"] == "running" for node in found["nodes"]))

    with stage.proxy.outage():
        eventually(lambda: all(_ended(stage, kinds[name], names[name]) for name in names), what="the ends of all")
        # Of what is heard of within a few seconds our own clock tells the time.
        since = time.monotonic()
        eventually(lambda: time.monotonic() > since + 10, what="the end of the outage")
        before = stage.driver.read(one)
    ended = stage.driver.wait(one, lambda found: found["status"] in ("succeeded", "failed"), seconds=20)

    assert before["status"] == "running"
    assert statuses(ended) == {"good": "succeeded", "bad": "failed", "site": "succeeded"}
    for name, node in nodes_by_name(ended).items():
        assert at(node["finished_at"]) in _told(stage, kinds[name], names[name]), (name, node)
    stage.check_invariants()


def _told(stage: Stage, kind: str, name: str) -> set[datetime]:
    """The times at which the cluster says that something came to an end or got ready: of the object, and of its pods."""
    status = (stage.read(kind, name) or {})["status"]
    texts = {
        condition.get(key) for condition in status["conditions"] for key in ("lastTransitionTime", "lastUpdateTime")
    }
    pods = [pod for pod in stage.list("Pod") if pod["metadata"]["name"].startswith(f"{name}-")]
    for container in (one for pod in pods for one in pod["status"].get("containerStatuses") or ()):
        texts.add((container["state"].get("terminated") or {}).get("finishedAt"))
    return {at(text) for text in texts if text}


def _ended(stage: Stage, kind: str, name: str) -> str:
    """When the cluster says that the Job came to its end or that the app got ready; empty while it has not."""
    found = stage.read(kind, name) or {}
    conditions = (found.get("status") or {}).get("conditions") or ()
    words = ("Complete", "Failed", "Available")
    ends = [one for one in conditions if one["type"] in words and one["status"] == "True"]
    return str(ends[0]["lastTransitionTime"]) if ends else ""


def test_f27_a_quota_is_used_up_and_freed_later(
    stage: Stage, quota: Callable[[Stage], AbstractContextManager[None]]
) -> None:
    """Fault: 403 "exceeded quota". Criterion: the node waits and says so, at most one call in 5 s, then it runs."""
    one = stage.driver.instance([job(stage.driver.job_template("true"), "work")])
    began = time.monotonic()
    with quota(stage):
        stage.start(one)
        found = stage.wait_for_words(one, "work", "quota")
        assert found["status"] == "running"
        eventually(lambda: time.monotonic() > began + 11, what="some more tries")
        tries = stage.proxy.requests("create", "jobs", within=stage.namespace, since=began)
        seconds = time.monotonic() - began

    assert 1 <= len(tries) <= 1 + seconds / 5
    assert stage.driver.wait_for(one, "succeeded", "failed")["status"] == "succeeded"
    stage.check_invariants()


def test_f33_an_admission_rule_refuses_the_object(stage: Stage) -> None:
    """Fault: an admission webhook denies the Job. Criterion: the node fails at once and shows the rule's own words."""
    words = 'admission webhook "images.example.org" denied the request: image busybox is not signed by us'
    one = stage.driver.instance([job(stage.driver.job_template("true"), "work")])

    with stage.plan.rules(stage.rule(forbidden(words), verbs=("create",), resources=("jobs",))):
        is_refused(stage, one, words)


def is_refused(stage: Stage, instance_id: str, words: str) -> None:
    """The run fails by the words of whoever refused its Job, which was tried once."""
    stage.start(instance_id)
    ended = stage.driver.wait_for(instance_id, "succeeded", "failed")

    assert ended["status"] == "failed"
    assert words in nodes_by_name(ended)["work"]["message"]
    assert len(stage.proxy.requests("create", "jobs", within=stage.namespace)) == 1
    stage.check_invariants()


@real_cluster_only
def test_f33_a_policy_of_the_cluster_refuses_the_object(stage: Stage) -> None:
    """Fault: a ValidatingAdmissionPolicy denies the Job. Criterion: the node fails at once and shows the words of a real
    API server.
    """
    words = "images must come from our own registry"
    one = stage.driver.instance([job(stage.driver.job_template("true"), "work")])

    with denying_jobs(stage, words):
        is_refused(stage, one, words)


@contextmanager
def denying_jobs(stage: Stage, words: str) -> Iterator[None]:
    """A policy in force that lets no Job into the namespace."""
    root, name = "/apis/admissionregistration.k8s.io/v1", stage.namespace
    scope = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}}}
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    specs = {
        "validatingadmissionpolicies": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule], **scope},
            "validations": [{"expression": "false", "message": words}],
        },
        "validatingadmissionpolicybindings": {"policyName": name, "validationActions": ["Deny"]},
    }
    try:
        for resource, spec in specs.items():
            stage.cluster.request("POST", f"{root}/{resource}", body={"metadata": {"name": name}, "spec": spec})
        eventually(lambda: _is_denied(stage, words), what="a policy in force")
        yield
    finally:
        for resource in reversed(specs):
            with suppress(NotFound):
                stage.cluster.request("DELETE", f"{root}/{resource}/{name}")


def _is_denied(stage: Stage, words: str) -> bool:
    try:
        stage.make_foreign("Job", "probe", dry_run=True)
    except ClusterError as err:
        return words in err.message
    return False


def test_f34_a_right_is_missing(stage: Stage) -> None:
    """Fault: 403 of the authorizer. Criterion: no further try; the message names the verb and the resource."""
    words = (
        'jobs.batch is forbidden: User "system:serviceaccount:secflow:secflow" cannot create resource "jobs" '
        f'in API group "batch" in the namespace "{stage.namespace}"'
    )
    one = stage.driver.instance([job(stage.driver.job_template("true"), "work")])

    with stage.plan.rules(stage.rule(forbidden(words), verbs=("create",), resources=("jobs",))):
        stage.start(one)
        ended = stage.driver.wait_for(one, "succeeded", "failed")

    message = nodes_by_name(ended)["work"]["message"]
    assert ended["status"] == "failed"
    assert "create" in message
    assert "jobs" in message
    assert len(stage.proxy.requests("create", "jobs", within=stage.namespace)) == 1
    stage.check_invariants()
