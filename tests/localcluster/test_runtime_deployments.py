"""Deployments and the Services before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from k8s_bridge.localcluster.deployments import plan, share
from k8s_bridge.localcluster.sandbox import Mode
from tests.localcluster.runtimestand import MODES, PRIVATE, Stand, conditions, deployment, is_ready, pod, running

pytestmark = pytest.mark.asyncio

SERVER = """
import http.server, os, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (os.environ.get("ANSWER", "") + os.environ["HOSTNAME"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("", PORT), Handler).serve_forever()
"""


def server(name: str, port: int = 8080, *, fixed: bool = True, replicas: int = 1, answer: str = "", **spec: Any) -> Any:
    """An app that listens on a fixed port, or on the one that PORT names."""
    code = SERVER.replace("PORT", str(port) if fixed else 'int(os.environ["PORT"])', 1)
    container = {
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
        "env": [{"name": "ANSWER", "value": answer}],
    }
    return deployment(name, ["python3", "-c", code], container=container, replicas=replicas, **spec)


def service(name: str, port: int = 8080, **spec: Any) -> Any:
    ports = [{"port": port, "targetPort": "http"}]
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports, **spec}}


async def ask(address: str, port: int) -> str:
    """The body of the answer, or the name of the error."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except OSError as error:
        return type(error).__name__
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return text.partition("\r\n\r\n")[2]


async def serves(stand: Stand, address: str, port: int) -> str:
    async with asyncio.timeout(15):
        while True:
            text = await ask(address, port)
            if text and not text.endswith("Error"):
                return text
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home") as found:
        yield found


def available(count: int) -> Any:
    return lambda d: d["status"].get("availableReplicas") == count and d["status"].get("updatedReplicas") == count


def made(name: str) -> dict[str, Any]:
    return {"metadata": {"uid": name, "name": name, "creationTimestamp": f"2030-01-01T00:00:0{name[-1]}Z"}}


@pytest.mark.parametrize(
    ("desired", "surge", "missing", "new", "old", "ready", "create", "remove"),
    [
        (2, 1, 0, [], [], [], 2, []),
        (2, 1, 0, [], ["o1", "o2"], ["o1", "o2"], 1, []),
        (2, 1, 0, ["n1"], ["o1", "o2"], ["o1", "o2", "n1"], 0, ["o1"]),
        (2, 1, 0, ["n1"], ["o1", "o2"], ["o1", "n1"], 0, ["o2"]),
        (1, 0, 0, [], ["o1"], ["o1"], 0, ["o1"]),
        (1, 1, 0, ["n1"], ["o1"], ["o1"], 0, []),
        (0, 1, 0, [], ["o1"], ["o1"], 0, ["o1"]),
        (1, 1, 0, ["n1", "n2"], [], ["n2"], 0, ["n1"]),
        (3, 0, 1, [], ["o1", "o2", "o3"], ["o1", "o2", "o3"], 0, ["o1"]),
    ],
)
async def test_one_step_of_a_rollout(
    desired: int,
    surge: int,
    missing: int,
    new: list[str],
    old: list[str],
    ready: list[str],
    create: int,
    remove: list[str],
) -> None:
    step = plan(desired, surge, missing, [made(n) for n in new], [made(n) for n in old], set(ready))

    assert (step.create, sorted(item["metadata"]["name"] for item in step.remove)) == (create, remove)


@pytest.mark.parametrize(
    ("value", "total", "up", "result"),
    [
        ("25%", 1, True, 1),
        ("25%", 1, False, 0),
        ("25%", 10, True, 3),
        ("25%", 10, False, 2),
        (2, 5, True, 2),
        (0, 5, True, 0),
    ],
)
async def test_surge_and_unavailable_as_numbers(value: Any, total: int, up: bool, result: int) -> None:
    assert share(value, total, round_up=up) == result


async def test_a_deployment_becomes_available(stand: Stand) -> None:
    stand.store.create("Deployment", server("web", replicas=2))

    found = await stand.until("Deployment", "web", available(2))

    status = {key: value for key, value in found["status"].items() if key != "conditions"}
    assert status == {
        "observedGeneration": 1,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    assert conditions(found) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    pods = stand.pods_of("web")
    (hash,) = {item["metadata"]["labels"]["pod-template-hash"] for item in pods}
    assert all(item["metadata"]["name"].startswith(f"web-{hash}-") for item in pods)
    assert (await stand.event("web", "ScalingReplicaSet"))["message"] == f"Scaled up web-{hash} from 0 to 2"


async def test_scaling_up_and_down(stand: Stand) -> None:
    stand.store.create("Deployment", server("web"))
    found = await stand.until("Deployment", "web", available(1))

    found = stand.store.update("Deployment", {**found, "spec": {**found["spec"], "replicas": 3}})
    found = await stand.until("Deployment", "web", available(3))
    stand.store.update("Deployment", {**found, "spec": {**found["spec"], "replicas": 0}})

    await stand.until_state(lambda: not stand.pods_of("web"), "Pod")
    found = await stand.until("Deployment", "web", lambda d: "replicas" not in d["status"])
    assert found["status"]["observedGeneration"] == 3


async def test_a_new_template_rolls_out_without_a_gap(stand: Stand) -> None:
    stand.store.create("Service", service("web"))
    stand.store.create("Deployment", server("web", replicas=2, answer="old "))
    found = await stand.until("Deployment", "web", available(2))
    address = (await stand.until("Service", "web", lambda s: s["spec"].get("clusterIP")))["spec"]["clusterIP"]
    await serves(stand, address, 8080)
    old = {item["metadata"]["uid"] for item in stand.pods_of("web")}
    fewest = 9
    queue = stand.store.subscribe("Pod")

    template = server("web", answer="new ")["spec"]["template"]
    stand.store.update("Deployment", {**found, "spec": {**found["spec"], "template": template}})
    async with asyncio.timeout(30):
        while old & {item["metadata"]["uid"] for item in stand.pods_of("web")}:
            await queue.get()
            serving = [
                item for item in stand.pods_of("web") if is_ready(item) and "deletionTimestamp" not in item["metadata"]
            ]
            fewest = min(fewest, len(serving))

    assert fewest == 2
    await stand.until("Deployment", "web", available(2))
    assert (await serves(stand, address, 8080)).startswith("new ")


async def test_recreate_stops_the_old_pods_first(stand: Stand) -> None:
    stand.store.create("Deployment", server("web", strategy={"type": "Recreate"}))
    found = await stand.until("Deployment", "web", available(1))
    queue = stand.store.subscribe("Pod")

    template = server("web", answer="new")["spec"]["template"]
    stand.store.update("Deployment", {**found, "spec": {**found["spec"], "template": template}})
    await stand.until("Deployment", "web", lambda d: d["status"]["observedGeneration"] == 2 and available(1)(d))

    seen = [queue.get_nowait() for _ in range(queue.qsize())]
    ended = next(number for number, (_, _, item) in enumerate(seen) if item["status"]["phase"] == "Failed")
    added = next(number for number, (type, _, _) in enumerate(seen) if type == "ADDED")
    assert ended < added


async def test_a_deleted_pod_is_replaced(stand: Stand) -> None:
    stand.store.create("Deployment", server("web"))
    await stand.until("Deployment", "web", available(1))
    first = stand.pods_of("web")[0]["metadata"]

    stand.store.delete("Pod", "default", first["name"])

    await stand.until_gone("Pod", first["name"])
    await stand.until("Deployment", "web", available(1))
    assert stand.pods_of("web")[0]["metadata"]["uid"] != first["uid"]


async def test_a_rollout_that_gets_nowhere_is_reported(stand: Stand) -> None:
    container = {"readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1}}
    spec = deployment("web", ["sleep", "60"], container=container, progressDeadlineSeconds=1)

    stand.store.create("Deployment", spec)

    found = await stand.until("Deployment", "web", lambda d: "ProgressDeadlineExceeded" in str(d["status"]))
    assert conditions(found) == {
        "Available": ("False", "MinimumReplicasUnavailable"),
        "Progressing": ("False", "ProgressDeadlineExceeded"),
    }
    assert found["status"]["unavailableReplicas"] == 1


async def test_deleting_a_deployment_removes_its_pods(stand: Stand) -> None:
    stand.store.create("Deployment", server("web", replicas=2))
    await stand.until("Deployment", "web", available(2))

    stand.store.delete("Deployment", "default", "web")

    await stand.until_state(lambda: not stand.store.list("Pod")[0], "Pod")


async def test_two_apps_with_the_same_fixed_port_do_not_meet(stand: Stand) -> None:
    for name in ("one", "two"):
        stand.store.create("Service", service(name))
        stand.store.create("Deployment", server(name, replicas=2, answer=f"{name} "))
    for name in ("one", "two"):
        await stand.until("Deployment", name, available(2))

    answers = {}
    for name in ("one", "two"):
        address = stand.store.get("Service", "default", name)["spec"]["clusterIP"]
        await serves(stand, address, 8080)
        answers[name] = {await ask(address, 8080) for _ in range(6)}

    for name in ("one", "two"):
        assert answers[name] == {f"{name} {item['metadata']['name']}" for item in stand.pods_of(name)}


async def test_without_own_addresses_apps_get_their_port_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k8s_bridge.localcluster.addressing.supported", lambda: False)
    async with running(tmp_path / "home") as stand:
        stand.store.create("Service", service("web", 18080))
        stand.store.create("Deployment", server("web", fixed=False, replicas=2))
        await stand.until("Deployment", "web", available(2))
        address = stand.store.get("Service", "default", "web")["spec"]["clusterIP"]

        await serves(stand, address, 18080)

        answers = {await ask(address, 18080) for _ in range(6)}
        assert answers == {item["metadata"]["name"] for item in stand.pods_of("web")}
        assert {item["status"]["podIP"] for item in stand.pods_of("web")} == {"127.0.0.1"}
        ports = {item["metadata"]["annotations"]["local-cluster/ports"] for item in stand.pods_of("web")}
        assert len(ports) == 2


async def test_a_service_without_a_ready_pod_refuses(stand: Stand) -> None:
    stand.store.create("Service", service("web"))
    address = (await stand.until("Service", "web", lambda s: s["spec"].get("clusterIP")))["spec"]["clusterIP"]
    before = await ask(address, 8080)
    stand.store.create("Deployment", server("web"))
    await serves(stand, address, 8080)

    found = stand.store.get("Deployment", "default", "web")
    stand.store.update("Deployment", {**found, "spec": {**found["spec"], "replicas": 0}})
    await stand.until_state(lambda: not stand.pods_of("web"), "Pod")

    assert before == "ConnectionRefusedError"
    assert await ask(address, 8080) == "ConnectionRefusedError"


@pytest.mark.parametrize("mode", PRIVATE, ids=str)
async def test_a_running_pod_finds_a_later_service_by_name(tmp_path: Path, mode: Mode) -> None:
    async with running(tmp_path / "home", mode) as stand:
        script = (
            "import time, urllib.request as u\n"
            "while True:\n"
            "  try: print(u.urlopen('http://web.default.svc.cluster.local:8080').read().decode(),"
            " u.urlopen('http://web:8080').status); break\n"
            "  except OSError: time.sleep(0.05)\n"
        )
        stand.store.create("Pod", pod("client", ["python3", "-c", script], image="python"))
        await stand.ready("client")

        stand.store.create("Service", service("web"))
        stand.store.create("Deployment", server("web"))

        await stand.ended("client")
        name = stand.pods_of("web")[0]["metadata"]["name"]
        assert await stand.log("client") == f"{name} 200\n"


@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_a_service_is_in_the_environment(tmp_path: Path, mode: Mode) -> None:
    async with running(tmp_path / "home", mode) as stand:
        stand.store.create("Service", service("my-web", 81))
        address = (await stand.until("Service", "my-web", lambda s: s["spec"].get("clusterIP")))["spec"]["clusterIP"]
        container = {"env": [{"name": "TARGET", "value": "my-web"}]}

        text = await stand.output("p", "echo $MY_WEB_SERVICE_HOST $MY_WEB_SERVICE_PORT $TARGET", container=container)

        shown = address if mode is Mode.LIMITED else "my-web"
        assert text == f"{address} 81 {shown}\n"


async def test_two_clusters_on_one_machine_never_share_an_address(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as first, running(tmp_path / "b") as second:
        first.store.create("Service", service("web"))
        first.store.create("Deployment", server("web"))
        second.store.create("Service", service("web"))
        has_address = lambda s: s["spec"].get("clusterIP")  # noqa: E731
        here = (await first.until("Service", "web", has_address))["spec"]["clusterIP"]
        there = (await second.until("Service", "web", has_address))["spec"]["clusterIP"]

        await serves(first, here, 8080)
        second.store.create("Pod", pod("p", ["sleep", "60"]))
        other = (await second.ready("p"))["status"]["podIP"]

        assert here != there
        assert other not in {item["status"]["podIP"] for item in first.pods_of("web")}
        assert await ask(there, 8080) == "ConnectionRefusedError"


async def test_the_address_of_a_service_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as stand:
        stand.store.create("Service", service("web"))
        before = (await stand.until("Service", "web", lambda s: s["spec"].get("clusterIP")))["spec"]["clusterIP"]

    async with running(tmp_path / "home") as stand:
        stand.store.create("Service", service("other"))
        other = (await stand.until("Service", "other", lambda s: s["spec"].get("clusterIP")))["spec"]["clusterIP"]
        assert stand.store.get("Service", "default", "web")["spec"]["clusterIP"] == before
        assert other != before
