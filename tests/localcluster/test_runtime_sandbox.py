"""What the sandbox of a pod keeps from the host, and the host from the pod."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from k8s_bridge.localcluster.sandbox import Mode
from tests.localcluster.runtimestand import MODES, Stand, pod, running

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home") as found:
        yield found


async def test_a_memory_limit_bounds_the_process(stand: Stand) -> None:
    made = pod(
        "p",
        ["python3", "-c", "bytearray(3 * 2**30)"],
        image="python:3.12",
        container={"resources": {"limits": {"memory": "128Mi"}}},
    )

    stand.store.create("Pod", made)

    assert (await stand.ended("p"))["status"]["phase"] == "Failed"
    assert "MemoryError" in await stand.log("p")


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode is not Mode.LIMITED], ids=str)
async def test_a_private_root_hides_the_host(tmp_path: Path, mode: Mode) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")

    async with running(tmp_path / "home", mode) as stand:
        text = await stand.output(
            "p",
            f"ls {secret} 2>&1 || true; touch /usr/x 2>/dev/null || echo no;"
            "cat /etc/shadow 2>/dev/null; echo a > /tmp/a; ls /tmp",
        )

    assert "of the host" not in text
    assert "No such file" in text
    assert text.endswith("no\na\n")
