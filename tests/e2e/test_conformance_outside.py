"""Objects that people delete or edit by hand, and how workflows take it (contract E.6, E.7, H.5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from k8s_bridge.errors import NotFound
from tests.e2e.driver import PORTS, TRIGGERABLE, Json, app, job, nodes_by_name
from tests.e2e.project import STAY, Project, mount, opened
from tests.stack import Stack, eventually, objects_of

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


# A job that was told to end and answers with success has not done its work. The other one says that it was killed.
POLITE = "trap 'exit 0' TERM; echo ready; sleep 3600 & wait"
KILLED = "trap 'exit 143' TERM; sleep 3600 & wait"
# Only the first try stays: what comes after it ends at once.
ONLY_ONCE = "test -e /data/begun && exit 0; trap 'exit 143' TERM; touch /data/begun; echo begun; sleep 3600 & wait"


def running(project: Project, one: str) -> Json:
    """The first node, once a pod of it is at work."""
    project.act(one, "start").ok()

    def is_at_work(found: Json) -> bool:
        return any(pod["status"].get("phase") == "Running" for pod in project.pods(found["nodes"][0]))

    return dict(project.wait(one, is_at_work)["nodes"][0])


def running_politely(project: Project, one: str) -> Json:
    """The first node, a job of POLITE, once it would take its end well: before its trap it would die of it."""
    work = running(project, one)
    eventually(lambda: project.logs(one, work) == "ready\n", what="the trap")
    return work


def synced_until(project: Project, one: str, *, has_warning: bool) -> Json:
    """The answer of the first sync that warns, or does not."""
    found: Json = {}

    def is_so() -> bool:
        found.update(project.act(one, "sync-status").ok())
        return bool(found["has_warning"]) == has_warning

    eventually(is_so, what="the warning" if has_warning else "the end of the warning")
    return found


def has_namespace(project: Project) -> bool:
    try:
        project.client.request("GET", f"/api/v1/namespaces/{project.namespace}")
    except NotFound:
        return False
    return True


def uid_of(found: Json | None) -> str:
    assert found is not None
    return str(found["metadata"]["uid"])


def test_a_pod_that_somebody_deletes_is_made_again_and_its_app_stays(project: Project) -> None:
    one = project.instance([app(project.app_template(STAY), "site")])
    (site,) = project.run(one)["nodes"]
    (first,) = project.pods(site)

    project.delete("Pod", first["metadata"]["name"])

    def is_back() -> bool:
        pods = project.pods(site)
        return (
            bool(pods) and uid_of(pods[0]) != uid_of(first) and project.object(site)["status"].get("readyReplicas") == 1
        )

    eventually(is_back, what="another pod")
    # The cluster may still count the old pod as the ready one.
    synced = synced_until(project, one, has_warning=False)
    assert (synced["status"], synced["nodes"][0]["status"]) == ("succeeded", "succeeded")


def test_a_pod_of_a_job_that_somebody_deletes_is_tried_again(project: Project) -> None:
    claim = project.claim("taken")
    template = project.job_template(ONLY_ONCE, container={"volume_mounts": [mount(claim)]}, backoff_limit=3)
    one = project.instance([job(template, "work")])
    work = running(project, one)
    eventually(lambda: project.logs(one, work) == "begun\n", what="the first try")
    made = uid_of(project.object(work))

    project.delete("Pod", project.pods(work)[0]["metadata"]["name"])

    ended = project.ended(one)
    assert ended["status"] == "succeeded", ended
    assert uid_of(project.object(work)) == made


def test_a_job_that_is_deleted_fails_also_when_its_process_ends_without_an_error(project: Project) -> None:
    after = project.job_template("true")
    one = project.instance([job(project.job_template(POLITE), "work"), job(after, "after")], [("work", "after")])
    work = running_politely(project, one)

    project.delete("Job", work["k8s_resource_name"])

    ended = project.ended(one)
    assert {name: node["status"] for name, node in nodes_by_name(ended).items()} == {
        "work": "failed",
        "after": "pending",
    }
    message = nodes_by_name(ended)["work"]["message"]
    assert f"Job {work['k8s_resource_name']} was deleted from outside" in message


def test_an_app_whose_deployment_is_deleted_during_the_run_fails(project: Project) -> None:
    slow = {"readiness_probe": {"type": "exec", "command": ["false"]}}
    one = project.instance([app(project.app_template(STAY, container=slow), "site")], **TRIGGERABLE)
    site = running(project, one)

    project.delete("Deployment", site["k8s_resource_name"])

    ended = project.ended(one)
    assert ended["status"] == "failed"
    assert f"Deployment {site['k8s_resource_name']} was deleted from outside" in ended["nodes"][0]["message"]


def test_an_app_that_is_deleted_at_rest_warns_and_the_next_run_makes_it_again(project: Project) -> None:
    template = project.app_template(STAY, service_ports=PORTS)
    one = project.instance(
        [app(template, "site"), job(project.job_template("true"), "work")], [("site", "work")], **TRIGGERABLE
    )
    site = nodes_by_name(project.run(one))["site"]
    before = uid_of(project.object(site))

    project.delete("Deployment", site["k8s_resource_name"])

    warned = project.wait(one, lambda found: found["has_warning"])
    assert warned["status"] == "succeeded"
    assert "was deleted from outside; the next run makes it again" in warned["message"]
    assert project.run(one, "trigger")["status"] == "succeeded"
    assert uid_of(project.object(site)) != before
    agreed = project.act(one, "sync-status").ok()
    assert (agreed["has_warning"], agreed["message"]) == (False, None)


def test_a_finished_job_that_is_deleted_stays_succeeded(project: Project) -> None:
    one = project.instance([job(project.job_template("echo done"), "work")], **TRIGGERABLE)
    (work,) = project.run(one)["nodes"]
    record = project.record(one, work)

    project.delete("Job", work["k8s_resource_name"])

    eventually(lambda: project.look("Job", work["k8s_resource_name"]) is None, what="the end of the Job")
    synced = project.act(one, "sync-status").ok()
    assert (synced["status"], synced["has_warning"], synced["nodes"][0]["status"]) == ("succeeded", False, "succeeded")
    assert record["execution_logs"]["logs"] == "done\n"
    assert project.run(one, "trigger")["run_count"] == 2


def test_a_job_that_somebody_ends_by_a_deadline_fails_with_that_reason(project: Project) -> None:
    one = project.instance([job(project.job_template(POLITE), "work")])
    work = running_politely(project, one)

    def hurry(found: Json) -> None:
        found["spec"]["activeDeadlineSeconds"] = 1

    project.edit("Job", work["k8s_resource_name"], hurry)

    ended = project.ended(one)
    assert ended["status"] == "failed"
    assert "DeadlineExceeded" in ended["nodes"][0]["message"]


def test_a_job_that_somebody_suspends_goes_on_when_it_is_resumed(project: Project) -> None:
    claim = project.claim("suspended")
    template = project.job_template(ONLY_ONCE, container={"volume_mounts": [mount(claim)]})
    one = project.instance([job(template, "work")])
    work = running(project, one)
    eventually(lambda: project.logs(one, work) == "begun\n", what="the first try")
    name = work["k8s_resource_name"]

    def suspended(is_so: bool) -> Callable[[Json], None]:
        def change(found: Json) -> None:
            found["spec"]["suspend"] = is_so

        return change

    project.edit("Job", name, suspended(True))
    eventually(lambda: project.pods(work) == [], what="the end of the pod")
    assert project.read(one)["status"] == "running"
    project.edit("Job", name, suspended(False))

    ended = project.ended(one)
    assert ended["status"] == "succeeded", ended


def test_an_app_that_somebody_scales_is_taken_as_it_is_and_made_right_by_the_next_template(project: Project) -> None:
    template = project.app_template(STAY)
    one = project.instance([app(template, "site")], **TRIGGERABLE)
    (site,) = project.run(one)["nodes"]
    name = site["k8s_resource_name"]

    def scaled(replicas: int) -> Callable[[Json], None]:
        def change(found: Json) -> None:
            found["spec"]["replicas"] = replicas

        return change

    project.edit("Deployment", name, scaled(0))
    eventually(lambda: project.pods(site) == [], what="no pod")
    warned = synced_until(project, one, has_warning=True)
    assert (warned["status"], warned["nodes"][0]["status"]) == ("succeeded", "succeeded")
    assert "site: the app is no longer ready" in warned["message"]

    project.edit("Deployment", name, scaled(2))
    eventually(lambda: project.object(site)["status"].get("readyReplicas") == 2, what="two pods")
    agreed = synced_until(project, one, has_warning=False)
    assert agreed["message"] is None
    project.call("PUT", f"/app-templates/{template}", {"replicas": 3}).ok()
    assert project.run(one, "trigger")["status"] == "succeeded"
    assert project.object(site)["spec"]["replicas"] == 3


def test_labels_and_notes_that_others_add_are_left_alone(project: Project, stack: Stack) -> None:
    one = project.instance([app(project.app_template(STAY, service_ports=PORTS), "site")], **TRIGGERABLE)
    (site,) = project.run(one)["nodes"]
    before = uid_of(project.object(site))

    def note(found: Json) -> None:
        found["metadata"]["labels"]["team"] = "blue"
        found["metadata"].setdefault("annotations", {})["example.com/note"] = "ours"

    for kind, name in (("Deployment", site["k8s_resource_name"]), ("Service", site["service_name"])):
        project.edit(kind, name, note)
    assert project.run(one, "trigger")["status"] == "succeeded"

    found = project.object(site)
    assert (uid_of(found), found["metadata"]["labels"]["team"]) == (before, "blue")
    assert found["metadata"]["annotations"]["example.com/note"] == "ours"
    agreed = project.act(one, "sync-status").ok()
    assert (agreed["has_warning"], agreed["message"]) == (False, None)
    project.act(one, "uninitialize").ok()
    eventually(lambda: objects_of(stack.kubeconfig, one) == [], what="an empty cluster")


def test_an_object_that_loses_our_labels_is_nobodys_and_is_not_removed(project: Project) -> None:
    one = project.instance([job(project.job_template(POLITE), "work")])
    work = running_politely(project, one)
    name = work["k8s_resource_name"]

    def disown(found: Json) -> None:
        labels = found["metadata"]["labels"]
        found["metadata"]["labels"] = {key: value for key, value in labels.items() if "secflow" not in f"{key} {value}"}

    project.edit("Job", name, disown)
    kept = uid_of(project.look("Job", name))
    # For SecFlow it is gone, as if it had been deleted.
    assert project.ended(one)["status"] == "failed"
    project.act(one, "uninitialize").ok()

    assert uid_of(project.look("Job", name)) == kept
    project.delete("Job", name)


def test_a_copy_with_our_labels_and_without_a_record_is_removed(project: Project, stack: Stack) -> None:
    one = project.instance([job(project.job_template("true"), "work")])
    (work,) = project.run(one)["nodes"]
    found = project.object(work)
    labels = {
        key: value for key, value in found["metadata"]["labels"].items() if key.startswith(("secflow", "managed"))
    }
    labels["secflow.io/attempt"] = "0"
    spec = {"selector": {"app": "x"}, "ports": [{"port": 80}]}
    path = f"/api/v1/namespaces/{project.namespace}/services"
    metadata = {"name": "copied", "labels": labels}
    project.client.request(
        "POST", path, body={"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    )

    warned = project.act(one, "sync-status").ok()

    if project.look("Service", "copied") is not None:
        assert warned["has_warning"] is True
        assert "is in the cluster without a record" in warned["message"]
    project.act(one, "uninitialize").ok()
    eventually(lambda: objects_of(stack.kubeconfig, one) == [], what="an empty cluster")


def test_a_namespace_that_is_deleted_ends_the_run_and_the_next_one_makes_it_again(stack: Stack) -> None:
    with opened(stack) as gone:
        one = gone.instance([job(gone.job_template(KILLED), "work")], **TRIGGERABLE)
        running(gone, one)

        gone.client.request("DELETE", f"/api/v1/namespaces/{gone.namespace}")

        ended = gone.ended(one)
        assert ended["status"] == "failed"
        assert "was deleted from outside" in ended["nodes"][0]["message"]
        gone.act(one, "uninitialize").ok()
        # As long as it is on its way out, a namespace takes nothing, and a run would fail with that reason.
        eventually(lambda: not has_namespace(gone), what="the end of the namespace")
        work = running(gone, one)
        assert work["status"] == "running"
        assert gone.act(one, "stop").ok()["status"] == "stopped"
