"""What this machine refuses, fills or leaves behind: no pod is lost, nothing blocks, nothing goes on by itself."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from k8s_bridge.localcluster.podlogs import LogWriter, log_path
from k8s_bridge.localcluster.sandbox import Mode
from tests.localcluster.runtimestand import MODES, Stand, claim, claim_volume, container_of, pod, running

pytestmark = pytest.mark.asyncio
_numbers = itertools.count(30_000 + os.getpid() % 10_000 * 1000)


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home") as found:
        yield found


@pytest.fixture
def mark() -> str:
    """A number of seconds that no other test sleeps for."""
    return str(next(_numbers))


async def sleepers(mark: str) -> list[psutil.Process]:
    """The processes that sleep `mark` seconds, as soon as there is one."""
    async with asyncio.timeout(10):
        while True:
            found = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", mark]]
            if found:
                return found
            await asyncio.sleep(0.01)


async def alive(processes: list[psutil.Process], seconds: float = 10) -> list[psutil.Process]:
    """Those that have not ended in this time."""
    left: list[psutil.Process] = (await asyncio.to_thread(psutil.wait_procs, processes, timeout=seconds))[1]
    return left


async def test_a_volume_that_cannot_be_made_is_told_and_waited_for(stand: Stand) -> None:
    stand.store.create("PersistentVolumeClaim", claim("c"))
    await stand.output("one", "echo x > /d/file", **claim_volume("c", "/d"))
    stand.store.create("Pod", pod("p", ["true"], **claim_volume("c", "/d", subPath="file/below")))

    event = await stand.event("p", "FailedMount")
    await stand.output("two", "rm /d/file", **claim_volume("c", "/d"))

    assert "Not a directory" in event["message"]
    assert (await stand.ended("p"))["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_a_start_that_this_machine_refuses_is_a_failed_start(tmp_path: Path, mode: Mode) -> None:
    async with running(tmp_path / "home", mode) as stand:
        stand.store.create("Pod", pod("p", ["true"], container={"workingDir": f"/{'x' * 300}"}))

        ended = container_of(await stand.ended("p"))["state"]["terminated"]

        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
        assert "File name too long" in ended["message"]


async def test_an_unforeseen_error_fails_the_pod_and_ends_all_of_it(
    stand: Stand, mark: str, caplog: pytest.LogCaptureFixture
) -> None:
    mounts = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    script = "while ! test -e /w/go; do sleep 0.02; done; exit 1"
    both = [
        {"name": "steady", "image": "busybox", "command": ["sleep", mark]},
        {"name": "again", "image": "busybox", "command": ["sh", "-c", script], **mounts},
    ]
    spec = pod("p", [], restartPolicy="OnFailure", containers=both, volumes=[{"name": "w", "emptyDir": {}}])
    uid = stand.store.create("Pod", spec)["metadata"]["uid"]
    await stand.ready("p")
    before = await sleepers(mark)
    # The log of the next run cannot be opened.
    log_path(stand.home, uid, "again", 1).mkdir()

    (stand.home / "pods" / uid / "volumes/w/go").touch()

    status = (await stand.ended("p"))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "InternalError")
    assert "1.log" in status["message"]
    assert container_of({"status": status})["state"]["terminated"]["exitCode"] == 137
    assert await alive(before) == []
    assert (await stand.event("p", "Failed"))["message"].startswith("Error: IsADirectoryError")
    assert [record.exc_info is not None for record in caplog.records if "worker failed" in record.message] == [True]
    assert await stand.output("next", "echo fine") == "fine\n"


async def test_a_restart_leaves_the_files_and_logs_that_can_be_read(stand: Stand) -> None:
    script = "echo x >> /w/n; wc -l < /w/n; test $(wc -l < /w/n) -gt 3 && exec sleep 60; exit 1"
    mounts = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    spec = pod("p", ["sh", "-c", script], restartPolicy="OnFailure", container=mounts)
    spec["spec"]["volumes"] = [{"name": "w", "emptyDir": {}}]
    uid = stand.store.create("Pod", spec)["metadata"]["uid"]

    await stand.until("Pod", "p", lambda p: _is_up(p) and container_of(p)["restartCount"] == 3)

    assert [item.name for item in (stand.home / "pods" / uid / "main").iterdir()] == ["3"]
    assert {item.name for item in (stand.home / "logs" / uid / "main").iterdir()} == {"2.log", "3.log"}
    assert await stand.log("p", previous=True) == "3\n"


def _is_up(found: dict[str, object]) -> bool:
    return "running" in str(found["status"]) and "containerStatuses" in str(found["status"])


async def test_an_exec_probe_may_print_more_than_a_pipe_holds(stand: Stand) -> None:
    command = ["sh", "-c", "head -c 1000000 /dev/zero"]
    probe = {"exec": {"command": command}, "periodSeconds": 1, "timeoutSeconds": 5}
    stand.store.create("Pod", pod("p", ["sleep", "60"], container={"readinessProbe": probe}))

    await stand.ready("p")


@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_the_command_of_a_probe_ends_with_its_container(tmp_path: Path, mode: Mode, mark: str) -> None:
    async with running(tmp_path / "home", mode) as stand:
        probe = {"exec": {"command": ["sleep", mark]}, "timeoutSeconds": 3600}
        stand.store.create("Pod", pod("p", ["sleep", "60"], container={"readinessProbe": probe}))
        asked = await sleepers(mark)

        stand.store.delete("Pod", "default", "p", grace_seconds=0)

        await stand.until_gone("Pod", "p")
        assert await alive(asked) == []


async def test_a_log_ends_although_a_process_that_was_left_writes_on(tmp_path: Path) -> None:
    path = log_path(tmp_path, "u", "main", 0)
    writer = LogWriter(path)
    out = writer.pipe("stdout")
    # Its short lines take longer to note than to write: the pipe never gets empty.
    endless = await asyncio.create_subprocess_exec("yes", stdout=out)
    os.close(out)
    # The end of it would be the only one.
    stop = threading.Timer(2, os.kill, (endless.pid, signal.SIGKILL))
    stop.start()

    writer.finish()

    stop.cancel()
    endless.kill()
    await endless.wait()
    assert path.stat().st_size < 50 * 2**20


async def test_a_session_of_its_own_does_not_outlive_the_cluster(tmp_path: Path, mark: str) -> None:
    async with running(tmp_path / "home", Mode.LIMITED) as stand:
        stand.store.create("Pod", pod("p", ["sh", "-c", f"setsid sleep {mark} & exec sleep 60"]))
        before = await sleepers(mark)

    assert await alive(before) == []


async def test_threads_fit_into_a_small_memory_limit(stand: Stand) -> None:
    code = (
        "import threading; gate = threading.Barrier(51); "
        "[threading.Thread(target=gate.wait).start() for _ in range(50)]; gate.wait(); print('all')"
    )
    limit = {"resources": {"limits": {"memory": "64Mi"}}}
    stand.store.create("Pod", pod("p", ["python3", "-c", code], image="python:3.12", container=limit))

    await stand.ended("p", seconds=20)

    assert await stand.log("p") == "all\n"
