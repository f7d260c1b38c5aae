"""What people type: the real kubectl against a server without a runtime."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from k8s_bridge.localcluster.logs import LogOptions
from k8s_bridge.localcluster.store import clone
from tests.localcluster.apistand import Api, config_map, deployment, job, pod, running_api

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}


async def _log(pod: dict[str, Any], options: LogOptions) -> AsyncIterator[bytes]:
    yield b"hello\n"


@pytest.fixture
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api"), logs=_log) as running:
        yield running


def _manifest(*objects: dict[str, Any]) -> str:
    return "\n---\n".join(json.dumps(obj) for obj in objects)


def test_apply_makes_then_changes_then_leaves_alone(api: Api) -> None:
    first = _manifest(deployment("web"), SERVICE)
    second = _manifest(deployment("web", replicas=3), SERVICE)

    made = api.kubectl("apply", "-f", "-", stdin=first)
    again = api.kubectl("apply", "-f", "-", stdin=first)
    difference = api.kubectl("diff", "-f", "-", stdin=second, code=1)
    changed = api.kubectl("apply", "-f", "-", stdin=second)

    assert made == "deployment.apps/web created\nservice/web created\n"
    assert again == "deployment.apps/web unchanged\nservice/web unchanged\n"
    assert "+  replicas: 3" in difference
    assert changed == "deployment.apps/web configured\nservice/web unchanged\n"


def test_apply_names_what_is_wrong(api: Api) -> None:
    wrong = job("a")
    wrong["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    unknown = {**config_map("a"), "dta": {}}

    invalid = api.kubectl("apply", "-f", "-", stdin=json.dumps(wrong), code=1)
    strict = api.kubectl("apply", "-f", "-", stdin=json.dumps(unknown), code=1)

    assert 'valid values: "OnFailure", "Never"' in invalid
    assert 'unknown field "dta"' in strict


def test_get_prints_the_columns_of_every_kind(api: Api) -> None:
    api.kubectl(
        "create", "-f", "-", stdin=_manifest(pod("p"), job("j"), deployment("web"), SERVICE, config_map("c", a="1"))
    )

    together = api.kubectl("get", "pods,jobs,deployments,services,cm", "-A")
    wide = api.kubectl("get", "all", "-o", "wide")

    rows = {line.split()[1]: line.split()[2:-1] for line in together.splitlines() if line.startswith("default")}
    assert rows == {
        "pod/p": ["0/1", "Pending", "0"],
        "job.batch/j": ["Running", "0/1"],
        "deployment.apps/web": ["0/1", "0", "0"],
        "service/web": ["ClusterIP", "<none>", "<none>", "80/TCP"],
        "configmap/c": ["1"],
    }
    assert "busybox:1" in wide


def test_short_names_names_and_templates(api: Api) -> None:
    api.kubectl("create", "-f", "-", stdin=_manifest(deployment("web"), config_map("c")))

    assert api.kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.strategy.type}") == "RollingUpdate"
    assert api.kubectl("get", "cm", "-o", "name") == "configmap/c\n"
    assert "not found" in api.kubectl("get", "svc", "nothing", code=1)


def test_describe_shows_the_object_and_its_events(api: Api) -> None:
    api.kubectl("create", "-f", "-", stdin=json.dumps(pod("p")))
    made = api.send("GET", "/api/v1/namespaces/default/pods/p").json()
    about = {"kind": "Pod", "apiVersion": "v1", "name": "p", "namespace": "default", "uid": made["metadata"]["uid"]}
    event = {
        "metadata": {"name": "p.1"},
        "involvedObject": about,
        "reason": "Pulled",
        "message": "mapped to a local command",
        "type": "Normal",
        "firstTimestamp": "2030-01-01T00:00:00Z",
        "lastTimestamp": "2030-01-01T00:00:00Z",
        "count": 1,
    }
    api.send("POST", "/api/v1/namespaces/default/events", event)

    text = api.kubectl("describe", "pod", "p")
    events = api.kubectl("get", "events")

    assert "busybox:1" in text
    assert "mapped to a local command" in text
    assert "pod/p" in events


def test_wait_returns_when_the_condition_comes(api: Api) -> None:
    api.kubectl("create", "-f", "-", stdin=json.dumps(job("j")))

    def complete() -> None:
        obj = clone(api.store.get("Job", "default", "j"))
        obj["status"] = {"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}
        api.store.update("Job", obj, subresource="status")

    timer = threading.Timer(0.4, lambda: api.call(complete))
    timer.start()
    text = api.kubectl("wait", "--for=condition=complete", "job/j", "--timeout=10s")
    timer.join()

    assert text == "job.batch/j condition met\n"
    assert "Complete" in api.kubectl("get", "job", "j")


def test_delete_waits_until_the_pod_is_gone(api: Api) -> None:
    api.kubectl("create", "-f", "-", stdin=_manifest(pod("p"), config_map("c")))

    def kubelet() -> None:
        """Removes the pod after it was told to end, as a node does."""
        end = time.monotonic() + 30
        while not api.call(lambda: api.store.get("Pod", "default", "p"))["metadata"].get("deletionTimestamp"):
            assert time.monotonic() < end, "the pod was not deleted"
            time.sleep(0.01)
        api.call(lambda: api.store.remove("Pod", "default", "p"))

    node = threading.Thread(target=kubelet)
    node.start()

    text = api.kubectl("delete", "pod/p", "configmap/c", "--timeout=25s")
    node.join()

    assert 'pod "p" deleted' in text
    assert api.kubectl("get", "pods") == "No resources found in default namespace.\n"


def test_a_watched_get_prints_changes(api: Api) -> None:
    api.kubectl("create", "-f", "-", stdin=json.dumps(deployment("web")))

    with api.watching_kubectl("get", "deploy", "-w", "--request-timeout=60s") as lines:
        before = [lines.readline().split()[:2] for _ in range(2)]
        # The list is printed, so this one comes by the watch.
        api.call(lambda: api.store.create("Deployment", deployment("late")))
        after = lines.readline().split()[:2]

    assert [*before, after] == [["NAME", "READY"], ["web", "0/1"], ["late", "0/1"]]


def test_logs_patch_scale_label_explain_and_rollout(api: Api) -> None:
    api.kubectl("create", "-f", "-", stdin=_manifest(pod("p"), deployment("web")))

    assert api.kubectl("logs", "-f", "p") == "hello\n"
    assert "patched" in api.kubectl("patch", "deploy", "web", "-p", '{"spec":{"paused":true}}')
    assert "scaled" in api.kubectl("scale", "deploy", "web", "--replicas=2")
    assert "labeled" in api.kubectl("label", "pod", "p", "a=b")
    assert api.kubectl("get", "pods", "-l", "a=b", "-o", "name") == "pod/p\n"
    assert "image updated" in api.kubectl("set", "image", "deploy/web", "main=busybox:2")
    assert "backoffLimit <integer>" in api.kubectl("explain", "job.spec.backoffLimit")
    assert api.kubectl("get", "deploy", "web", "-o", "jsonpath={.metadata.generation}") == "4"


def test_what_is_not_there_is_said_clearly(api: Api) -> None:
    api.kubectl("create", "-f", "-", stdin=json.dumps(pod("p")))

    assert "protobuf is not part of the local cluster" in api.kubectl("create", "namespace", "n", code=1)
    applied = api.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(config_map("c")), code=1)
    assert "apply without --server-side" in applied
    assert "resource type" in api.kubectl("get", "roles", code=1)
