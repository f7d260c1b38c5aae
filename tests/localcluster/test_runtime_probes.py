"""Readiness, liveness and startup probes by http, tcp and exec."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.localcluster.runtimestand import MODES, Stand, conditions, container_of, pod, running

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(params=MODES, ids=str)
async def each(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home", request.param) as stand:
        yield stand


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home") as found:
        yield found


def http_probe(**numbers: int) -> dict[str, Any]:
    return {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1, **numbers}


SERVER = ["python3", "-m", "http.server", "8099"]
WEB = {"ports": [{"name": "web", "containerPort": 8099}]}


@pytest.mark.parametrize(
    "probe",
    [
        {"httpGet": {"path": "/", "port": 8099}},
        {"tcpSocket": {"port": "web"}},
        {"exec": {"command": ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8099))"]}},
    ],
    ids=["http", "tcp", "exec"],
)
async def test_readiness_follows_the_probe(each: Stand, probe: dict[str, Any]) -> None:
    container = {**WEB, "readinessProbe": {**probe, "periodSeconds": 1, "timeoutSeconds": 5}}
    each.store.create("Pod", pod("p", SERVER, image="python:3.11", container=container))
    first = await each.until("Pod", "p", lambda p: p["status"]["phase"] == "Running")

    await each.ready("p")

    assert conditions(first)["Ready"] == ("False", "ContainersNotReady")


async def test_a_failed_readiness_probe_takes_the_pod_out(stand: Stand) -> None:
    container = {
        "volumeMounts": [{"name": "w", "mountPath": "/w"}],
        "readinessProbe": {
            "exec": {"command": ["test", "!", "-e", "/w/sick"]},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": 1,
        },
    }
    spec = pod("p", ["sleep", "60"], container=container, volumes=[{"name": "w", "emptyDir": {}}])
    uid = stand.store.create("Pod", spec)["metadata"]["uid"]
    await stand.ready("p")

    (stand.home / "pods" / uid / "volumes" / "w" / "sick").touch()
    await stand.until("Pod", "p", lambda p: conditions(p)["Ready"][0] == "False")

    event = await stand.event("p", "Unhealthy")
    assert event["message"].startswith("Readiness probe failed:")
    assert container_of(stand.store.get("Pod", "default", "p"))["restartCount"] == 0


async def test_a_failed_liveness_probe_restarts(stand: Stand) -> None:
    liveness = {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1}
    stand.store.create("Pod", pod("p", ["sleep", "60"], restartPolicy="Always", container={"livenessProbe": liveness}))

    found = await stand.until(
        "Pod", "p", lambda p: "containerStatuses" in p["status"] and container_of(p)["restartCount"]
    )

    assert container_of(found)["lastState"]["terminated"]["exitCode"] == 143
    assert (await stand.event("p", "Killing"))["message"] == "Container main failed liveness probe, will be restarted"


async def test_a_startup_probe_holds_the_others_back(stand: Stand) -> None:
    container = {
        "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 10},
        "livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1},
    }
    stand.store.create("Pod", pod("p", ["sh", "-c", "sleep 2; touch /tmp/up; sleep 60"], container=container))
    first = await stand.until("Pod", "p", lambda p: p["status"]["phase"] == "Running")

    found = await stand.ready("p")

    assert container_of(first)["started"] is False
    assert (container_of(found)["started"], container_of(found)["restartCount"]) == (True, 0)
