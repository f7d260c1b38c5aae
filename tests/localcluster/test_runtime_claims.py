"""Claims, namespaces, the node, and the sandbox that is chosen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from k8s_bridge.localcluster.controller import RuntimeOptions
from k8s_bridge.localcluster.runtime import Runtime
from k8s_bridge.localcluster.sandbox import Mode, SandboxError
from k8s_bridge.localcluster.store import Store
from tests.localcluster.runtimestand import MODES, PRIVATE, Stand, claim, claim_volume, deployment, job, pod, running

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home") as found:
        yield found


async def test_a_claim_is_bound_at_once(stand: Stand) -> None:
    stand.store.create("PersistentVolumeClaim", claim("c"))

    found = await stand.until("PersistentVolumeClaim", "c", lambda c: c["status"]["phase"] == "Bound")

    assert found["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    assert found["spec"]["volumeName"] == f"pvc-{found['metadata']['uid']}"


@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_pods_share_what_they_write_to_a_claim(tmp_path: Path, mode: Mode) -> None:
    # Without a private root the mount path itself is made on the host, so it must be one of the test's own.
    path = str(tmp_path / "made" / "data")
    async with running(tmp_path / "home", mode) as stand:
        stand.store.create("PersistentVolumeClaim", claim("c"))

        await stand.output("one", f"echo hello > {path}/f", **claim_volume("c", path))
        text = await stand.output("two", f"cat {path}/f", **claim_volume("c", path))

        assert text == "hello\n"
    assert not await asyncio.to_thread(os.path.lexists, path)


@pytest.mark.parametrize("mode", PRIVATE, ids=str)
@pytest.mark.parametrize("path", ["/data", "/var/lib/app/data", "/usr/share/app", "/etc/app/conf.d", "/bin/app"])
async def test_a_claim_may_be_mounted_anywhere(tmp_path: Path, mode: Mode, path: str) -> None:
    async with running(tmp_path / "home", mode) as stand:
        stand.store.create("PersistentVolumeClaim", claim("c"))

        text = await stand.output("p", f"echo x > {path}/f; cat {path}/f", **claim_volume("c", path))

        assert text == "x\n"
    assert not await asyncio.to_thread(os.path.lexists, path)


@pytest.mark.parametrize("mode", PRIVATE, ids=str)
async def test_sub_paths_and_read_only_mounts(tmp_path: Path, mode: Mode) -> None:
    async with running(tmp_path / "home", mode) as stand:
        stand.store.create("PersistentVolumeClaim", claim("c"))

        await stand.output("one", "echo x > /d/f", **claim_volume("c", "/d", subPath="a/b"))
        text = await stand.output(
            "two", "cat /d/a/b/f; touch /d/new 2>/dev/null || echo no", **claim_volume("c", "/d", readOnly=True)
        )

        assert text == "x\nno\n"


@pytest.mark.parametrize("sub_path", ["../x", "/etc", "a/../../b"])
async def test_a_sub_path_cannot_leave_the_claim(stand: Stand, sub_path: str) -> None:
    stand.store.create("PersistentVolumeClaim", claim("c"))
    stand.store.create("Pod", pod("p", ["true"], **claim_volume("c", "/d", subPath=sub_path)))

    event = await stand.event("p", "FailedMount")

    assert sub_path in event["message"]


async def test_a_link_in_a_claim_cannot_lead_a_sub_path_out(stand: Stand) -> None:
    stand.store.create("PersistentVolumeClaim", claim("c"))
    await stand.output("one", "ln -s /etc /d/out", **claim_volume("c", "/d"))
    stand.store.create("Pod", pod("p", ["true"], **claim_volume("c", "/d", subPath="out")))

    event = await stand.event("p", "FailedMount")

    assert "leads out of the volume" in event["message"]


async def test_a_sub_path_through_a_link_makes_nothing_outside(stand: Stand, tmp_path: Path) -> None:
    made = stand.store.create("PersistentVolumeClaim", claim("c"))
    await stand.output("one", "true", **claim_volume("c", "/d"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (stand.home / "claims" / made["metadata"]["uid"] / "out").symlink_to(outside)

    stand.store.create("Pod", pod("p", ["true"], **claim_volume("c", "/d", subPath="out/a/b")))

    assert "leads out of the volume" in (await stand.event("p", "FailedMount"))["message"]
    assert list(outside.iterdir()) == []


async def test_a_claim_lives_until_its_last_pod_has_ended(stand: Stand) -> None:
    made = stand.store.create("PersistentVolumeClaim", claim("c"))
    folder = stand.home / "claims" / made["metadata"]["uid"]
    stand.store.create("Pod", pod("p", ["sleep", "60"], **claim_volume("c", "/d")))
    await stand.ready("p")

    stand.store.delete("PersistentVolumeClaim", "default", "c")
    await stand.output("other", "true")
    assert "deletionTimestamp" in stand.store.get("PersistentVolumeClaim", "default", "c")["metadata"]
    assert folder.is_dir()
    stand.store.delete("Pod", "default", "p")

    await stand.until_gone("PersistentVolumeClaim", "c")
    await stand.output("last", "true")
    assert not folder.exists()


async def test_a_namespace_goes_with_all_that_is_in_it(stand: Stand) -> None:
    stand.store.create("Namespace", {"metadata": {"name": "n"}})
    for kind, obj in (
        ("PersistentVolumeClaim", claim("c")),
        ("ConfigMap", {"metadata": {"name": "m"}, "data": {}}),
        ("Service", {"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}),
        ("Job", job("j", ["sleep", "60"])),
        ("Deployment", deployment("d", ["sleep", "60"])),
        ("Pod", pod("p", ["sleep", "60"], **claim_volume("c", "/d"))),
    ):
        obj["metadata"]["namespace"] = "n"
        stand.store.create(kind, obj)
    await stand.ready("p", namespace="n")
    await stand.until("Job", "j", lambda j: j["status"].get("ready"), namespace="n")

    stand.store.delete("Namespace", None, "n")

    await stand.until_gone("Namespace", "n", namespace=None)
    kinds = ("Pod", "Job", "Deployment", "Service", "PersistentVolumeClaim", "ConfigMap", "Event")
    assert [kind for kind in kinds if stand.store.list(kind, "n")[0]] == []


@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_the_node_shows_the_mode(tmp_path: Path, mode: Mode) -> None:
    async with running(tmp_path / "home", mode) as stand:
        node = stand.store.get("Node", None, "local")

        assert stand.runtime.mode is mode
        assert node["metadata"]["labels"]["local-cluster/sandbox"] == str(mode)
        (ready,) = node["status"]["conditions"]
        assert (ready["type"], ready["status"]) == ("Ready", "True")
        assert f"sandbox mode {mode}" in ready["message"]
        assert ("install bubblewrap" in ready["message"]) == (mode is Mode.LIMITED)


async def test_without_bubblewrap_the_next_mode_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if Mode.UNSHARE not in MODES:
        pytest.skip("this host lets nobody make namespaces")
    monkeypatch.setenv("PATH", str(tmp_path))

    async with running(tmp_path / "home") as stand:
        assert stand.runtime.mode is Mode.UNSHARE
        assert await stand.output("p", "echo fine") == "fine\n"


async def test_a_forced_mode_that_does_not_work_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    runtime = Runtime(Store(None), tmp_path / "home", RuntimeOptions(sandbox=Mode.BUBBLEWRAP))

    with pytest.raises(SandboxError, match="bwrap is not installed"):
        await runtime.start()


async def test_limited_mode_refuses_a_path_of_the_host(tmp_path: Path) -> None:
    async with running(tmp_path / "home", Mode.LIMITED) as stand:
        stand.store.create("PersistentVolumeClaim", claim("c"))
        stand.store.create("Pod", pod("p", ["true"], **claim_volume("c", "/usr")))

        event = await stand.event("p", "FailedMount")

        assert "install bubblewrap" in event["message"]


async def test_limited_mode_removes_the_links_that_a_crash_left(tmp_path: Path) -> None:
    path = tmp_path / "made"
    home = tmp_path / "home"
    home.mkdir()
    path.symlink_to("/the/claim")
    (home / "links.json").write_text(f'{{"{path}": "/the/claim"}}')

    async with running(home, Mode.LIMITED):
        assert not path.is_symlink()
