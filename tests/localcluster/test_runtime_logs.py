"""Logs on disk and as `pods/log` gives them."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from k8s_bridge.localcluster import podlogs
from k8s_bridge.localcluster.podlogs import MAX_LINE, LogWriter, container_id, log_path
from k8s_bridge.localcluster.store import StoreError
from tests.localcluster.runtimestand import Stand, pod, running

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home") as found:
        yield found


def running_pod(uid: str = "u") -> dict[str, Any]:
    state = {"running": {"startedAt": "2030-01-01T00:00:00Z"}}
    status = {"name": "main", "state": state, "lastState": {}, "containerID": container_id(uid, "main", 0)}
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": uid},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"containerStatuses": [status]},
    }


async def read(home: Path, pod: dict[str, Any], **more: Any) -> bytes:
    return b"".join([block async for block in podlogs.stream(home, pod, **more)])


async def write(home: Path, *parts: bytes) -> Path:
    """Write through a pipe as a container does; one part at a time, each taken before the next."""
    path = log_path(home, "u", "main", 0)
    writer = LogWriter(path)
    out = writer.pipe("stdout")
    for part in parts:
        changed = asyncio.create_task(writer.changed())
        await asyncio.sleep(0)
        os.write(out, part)
        await asyncio.wait_for(changed, 5)
    os.close(out)
    writer.finish()
    return path


async def test_a_line_on_disk_has_the_cri_format(tmp_path: Path) -> None:
    path = await write(tmp_path, b"one\ntw", b"o\n\nend")

    lines = path.read_bytes().splitlines()
    assert [re.sub(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", b"", line) for line in lines] == [
        b"stdout F one",
        b"stdout F two",
        b"stdout F ",
        b"stdout F end",
    ]
    assert all(len(line) >= podlogs._HEADER for line in lines)


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE, 3 * MAX_LINE + 5])
async def test_a_long_line_is_cut_and_given_back_whole(tmp_path: Path, length: int) -> None:
    text = b"x" * length + b"\nafter\n"

    path = await write(tmp_path, text[: len(text) // 2], text[len(text) // 2 :])

    assert max(len(line) for line in path.read_bytes().splitlines()) <= podlogs._HEADER + MAX_LINE
    assert await read(tmp_path, running_pod()) == text
    assert await read(tmp_path, running_pod(), tail_lines=2) == text
    assert await read(tmp_path, running_pod(), tail_lines=1) == b"after\n"


@pytest.mark.parametrize(
    ("lines", "tail", "first"),
    [
        (10, 0, 10),
        (10, 1, 9),
        (10, 9, 1),
        (10, 10, 0),
        (10, 11, 0),
        (9000, 100, 8900),
        (9000, 5000, 4000),
        (9000, 8999, 1),
    ],
)
async def test_tail_counts_lines_from_the_end(tmp_path: Path, lines: int, tail: int, first: int) -> None:
    all_lines = [b"line %d\n" % number for number in range(lines)]
    await write(tmp_path, *(b"".join(all_lines[at : at + 1000]) for at in range(0, lines, 1000)))

    assert await read(tmp_path, running_pod(), tail_lines=tail) == b"".join(all_lines[first:])


async def test_lines_of_the_time_that_is_asked_for_are_there(tmp_path: Path) -> None:
    path = log_path(tmp_path, "u", "main", 0)
    path.parent.mkdir(parents=True)
    stamps = [f"2026-11-29T23:09:{number % 60:02}.{number * 2_713_001 % 10**9:09}Z" for number in range(500)]

    for stamp in stamps:
        path.write_text(f"{stamp} stdout F one\n{stamp} stdout F two\n")
        # As a request has it: a datetime holds microseconds only.
        moment = datetime.fromisoformat(stamp)
        assert await read(tmp_path, running_pod(), since_time=moment) == b"one\ntwo\n", stamp


async def test_time_stamps_limits_and_since(tmp_path: Path) -> None:
    path = await write(tmp_path, b"old\n")
    with path.open("ab") as file:
        file.write(b"2999-01-01T00:00:00.000000000Z stdout F new\r\n")

    assert await read(tmp_path, running_pod(), limit_bytes=6) == b"old\nne"
    assert await read(tmp_path, running_pod(), since_seconds=-1000) == b"new\r\n"
    stamped = await read(tmp_path, running_pod(), timestamps=True, tail_lines=1)
    assert stamped == b"2999-01-01T00:00:00.000000000Z new\r\n"


async def test_the_writer_keeps_up_with_ten_megabytes_a_second(stand: Stand) -> None:
    script = "import sys\nfor _ in range(400): sys.stdout.write(('y' * 99 + '\\n') * 1000)"
    began = time.process_time()  # what it costs this process, the writer: others may be using the machine as well
    stand.store.create("Pod", pod("p", ["python3", "-c", script], image="python"))

    await stand.ended("p")

    seconds = time.process_time() - began
    text = await stand.log("p")
    assert len(text) == 40_000_000
    assert 40 / seconds > 10


async def test_follow_sees_lines_as_they_come_and_ends_with_the_container(stand: Stand) -> None:
    script = "echo one; while ! test -e /w/go; do sleep 0.02; done; echo two"
    mounts = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    spec = pod("p", ["sh", "-c", script], container=mounts, volumes=[{"name": "w", "emptyDir": {}}])
    uid = stand.store.create("Pod", spec)["metadata"]["uid"]
    found = await stand.ready("p")
    seen: list[bytes] = []

    async with asyncio.timeout(10):
        async for block in podlogs.stream(stand.home, found, follow=True, store=stand.store):
            seen.append(block)
            (stand.home / "pods" / uid / "volumes" / "w" / "go").touch()

    assert seen == [b"one\n", b"two\n"]


async def test_both_streams_of_a_container_are_kept(stand: Stand) -> None:
    text = await stand.output("p", "echo out; sleep 0.2; echo err >&2")

    assert text == "out\nerr\n"


@pytest.mark.parametrize(
    ("spec", "asked", "message"),
    [
        (
            {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]},
            {},
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]",
        ),
        ({"containers": [{"name": "a"}, {"name": "b"}]}, {"container": "c"}, "container c is not valid for pod p"),
        ({}, {"previous": True}, 'previous terminated container "main" in pod "p" not found'),
    ],
)
async def test_requests_that_cannot_be_met_are_400(
    tmp_path: Path, spec: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    found = running_pod()
    found["spec"] |= spec

    with pytest.raises(StoreError) as caught:
        await read(tmp_path, found, **asked)

    assert (caught.value.status, caught.value.reason, caught.value.message) == (400, "BadRequest", message)


async def test_a_waiting_container_has_no_log_yet(stand: Stand) -> None:
    stand.store.create("Pod", pod("p", ["true"], image="unknown"))
    await stand.until("Pod", "p", lambda p: "ImagePullBackOff" in str(p["status"]))

    with pytest.raises(StoreError) as caught:
        await stand.log("p")

    assert caught.value.message == 'container "main" in pod "p" is waiting to start: trying and failing to pull image'


async def test_logs_survive_a_restart_of_the_cluster_and_go_with_the_pod(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as stand:
        await stand.output("p", "echo kept")

    async with running(tmp_path / "home") as stand:
        assert await stand.log("p") == "kept\n"
        stand.store.delete("Pod", "default", "p")
        await stand.until_gone("Pod", "p")
        assert list((tmp_path / "home" / "logs").glob("*/*")) == []
