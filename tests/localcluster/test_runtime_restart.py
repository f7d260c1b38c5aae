"""The cluster's own end and next start: nothing outlives it, controllers go on."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from k8s_bridge.localcluster.leftovers import Leftovers
from k8s_bridge.localcluster.sandbox import Mode
from tests.localcluster.runtimestand import MODES, conditions, container_of, deployment, job, pod, running

ROOT = Path(__file__).resolve().parents[2]
_numbers = itertools.count(20_000 + os.getpid() % 10_000 * 1000)

CLUSTER = """
import asyncio, sys
from pathlib import Path
from k8s_bridge.localcluster.sandbox import Mode
from tests.localcluster.runtimestand import pod, running

async def main():
    async with running(Path(sys.argv[1]), Mode(sys.argv[2])) as stand:
        script = f"sleep {sys.argv[3]} & exec sleep {sys.argv[3]}"
        stand.store.create("Pod", pod("p", ["sh", "-c", script]))
        await stand.ready("p")
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def mark() -> str:
    """A number of seconds that no other test sleeps for: what one test loses does not disturb the next."""
    return str(next(_numbers))


def sleepers(mark: str) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline", "status"])
    return [p for p in found if p.info["cmdline"] == ["sleep", mark] and p.info["status"] != psutil.STATUS_ZOMBIE]


def _two_sleepers(mark: str) -> list[psutil.Process]:
    """The shell in the pod takes a moment to become the second one."""
    deadline = time.monotonic() + 10
    while len(found := sleepers(mark)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_no_pod_outlives_a_killed_cluster(tmp_path: Path, mode: Mode, mark: str) -> None:
    home = tmp_path / "home"
    cluster = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(home), str(mode), mark], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert cluster.stdout is not None
    assert cluster.stdout.readline() == "ready\n"
    before = _two_sleepers(mark)

    cluster.kill()
    cluster.wait()
    cluster.stdout.close()

    _, alive = psutil.wait_procs(before, timeout=10)
    assert len(before) == 2
    assert alive == []


def test_leftovers_kills_only_what_was_noted(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "60"], start_new_session=True)
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    reused = subprocess.Popen(["sleep", "60"], start_new_session=True)
    leftovers = Leftovers(tmp_path)
    leftovers.note(ours.pid)
    with (tmp_path / "processes").open("a") as file:
        file.write(f"{reused.pid} 12345.0\n{other.pid}")

    killed = Leftovers(tmp_path).kill()

    assert killed == 1
    assert ours.wait(20) == -signal.SIGKILL
    for process in (other, reused):
        assert process.poll() is None
        process.kill()
        process.wait()


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_stopping_ends_every_process(tmp_path: Path, mode: Mode, mark: str) -> None:
    async with running(tmp_path / "home", mode) as stand:
        for number in range(3):
            stand.store.create("Pod", pod(f"p{number}", ["sh", "-c", f"trap '' TERM; sleep {mark} & wait; wait"]))
        for number in range(3):
            await stand.ready(f"p{number}")

    psutil.wait_procs(sleepers(mark), timeout=20)
    assert sleepers(mark) == []


@pytest.mark.asyncio
async def test_a_pod_that_ran_is_failed_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as stand:
        stand.store.create("Pod", pod("p", ["sleep", "60"]))
        await stand.ready("p")

    async with running(tmp_path / "home") as stand:
        found = stand.store.get("Pod", "default", "p")

    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "NodeLost")
    assert conditions(found)["Ready"][0] == "False"
    ended = container_of(found)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")


@pytest.mark.asyncio
async def test_a_pod_that_waited_goes_on_waiting(tmp_path: Path) -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "late"}}]
    async with running(tmp_path / "home") as stand:
        stand.store.create("Pod", pod("p", ["true"], volumes=volumes))
        await stand.event("p", "FailedScheduling")

    async with running(tmp_path / "home") as stand:
        spec = {"accessModes": ["ReadWriteOnce"]}
        stand.store.create("PersistentVolumeClaim", {"metadata": {"name": "late"}, "spec": spec})
        assert (await stand.ended("p"))["status"]["phase"] == "Succeeded"


@pytest.mark.asyncio
async def test_a_job_tries_again_at_once_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as stand:
        stand.store.create("Job", job("j", ["sleep", "60"], backoffLimit=1))
        await stand.until("Job", "j", lambda j: j["status"].get("ready"))

    async with running(tmp_path / "home", job_backoff=60.0) as stand:
        found = await stand.until("Job", "j", lambda j: j["status"].get("ready") and j["status"].get("failed"))
        assert (found["status"]["failed"], found["status"]["active"]) == (1, 1)

    async with running(tmp_path / "home", job_backoff=60.0) as stand:
        found = await stand.until("Job", "j", lambda j: "Failed" in conditions(j))
        assert found["status"]["failed"] == 2


@pytest.mark.asyncio
async def test_a_restart_uses_up_no_retry_of_a_job_that_leaves_disruptions_out(tmp_path: Path) -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    async with running(tmp_path / "home") as stand:
        stand.store.create("Job", job("j", ["sleep", "60"], backoffLimit=0, podFailurePolicy={"rules": rules}))
        await stand.until("Job", "j", lambda j: j["status"].get("ready"))

    async with running(tmp_path / "home", job_backoff=60.0) as stand:
        found = await stand.until("Job", "j", lambda j: j["status"].get("ready") and len(stand.pods_of("j")) == 2)
        assert found["status"].get("failed") is None


@pytest.mark.asyncio
async def test_a_finished_job_is_left_alone_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as stand:
        stand.store.create("Job", job("j", ["true"]))
        before = await stand.until("Job", "j", lambda j: "Complete" in conditions(j))

    async with running(tmp_path / "home") as stand:
        await stand.output("p", "true")
        assert stand.store.get("Job", "default", "j")["status"] == before["status"]
        assert len(stand.pods_of("j")) == 1


@pytest.mark.asyncio
async def test_a_deployment_replaces_its_lost_pods(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as stand:
        stand.store.create("Deployment", deployment("web", ["sleep", "60"], replicas=2))
        await stand.until("Deployment", "web", lambda d: d["status"].get("availableReplicas") == 2)
        before = {item["metadata"]["uid"] for item in stand.pods_of("web")}

    async with running(tmp_path / "home") as stand:
        await stand.until_state(lambda: not before & {i["metadata"]["uid"] for i in stand.pods_of("web")}, "Pod")
        await stand.until("Deployment", "web", lambda d: d["status"].get("availableReplicas") == 2)
        assert len(stand.pods_of("web")) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_pods_end_and_a_new_launcher_comes_when_the_launcher_dies(tmp_path: Path, mode: Mode, mark: str) -> None:
    async with running(tmp_path / "home", mode) as stand:
        stand.store.create("Pod", pod("p", ["sleep", mark]))
        await stand.ready("p")
        shared = stand.runtime._shared
        assert shared is not None
        assert shared.launcher.pid is not None

        os.kill(shared.launcher.pid, signal.SIGKILL)

        ended = await stand.ended("p")
        assert container_of(ended)["state"]["terminated"]["exitCode"] == 137
        psutil.wait_procs(sleepers(mark), timeout=20)
        assert sleepers(mark) == []
        assert await stand.output("next", "echo fine") == "fine\n"
