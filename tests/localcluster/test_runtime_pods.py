"""Pods as processes: start, end, environment, restarts, deletion; in every sandbox mode where the mode matters."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from k8s_bridge.localcluster import podlogs
from tests.localcluster.runtimestand import MODES, Stand, claim, conditions, container_of, pod, running

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(params=MODES, ids=str)
async def each(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home", request.param) as stand:
        yield stand


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with running(tmp_path / "home") as found:
        yield found


@pytest.mark.parametrize(
    ("command", "phase", "code", "reason"),
    [
        (["true"], "Succeeded", 0, "Completed"),
        (["sh", "-c", "exit 7"], "Failed", 7, "Error"),
        (["no-such-command"], "Failed", 128, "StartError"),
        (["/no/such/file"], "Failed", 128, "StartError"),
        (["python3", "-c", "import ctypes; ctypes.string_at(0)"], "Failed", 139, "Error"),
    ],
)
async def test_a_pod_ends_as_its_process_does(
    each: Stand, command: list[str], phase: str, code: int, reason: str
) -> None:
    each.store.create("Pod", pod("p", command, image="python:3.11"))

    ended = await each.ended("p")

    state = container_of(ended)["state"]["terminated"]
    assert (ended["status"]["phase"], state["exitCode"], state["reason"]) == (phase, code, reason)
    assert conditions(ended)["Ready"][0] == "False"


async def test_the_status_is_whole_while_a_pod_runs(each: Stand) -> None:
    each.store.create("Pod", pod("p", ["sleep", "60"]))

    found = await each.ready("p")

    status = found["status"]
    assert found["spec"]["nodeName"] == "local"
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("127.")
    assert status["hostIP"] == "127.0.0.1"
    assert {key: value[0] for key, value in conditions(found).items()} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    main = container_of(found)
    assert (main["ready"], main["started"], main["restartCount"], main["imageID"]) == (
        True,
        True,
        0,
        "process://busybox",
    )
    assert "running" in main["state"]


async def test_a_process_gets_a_small_environment_and_no_input(each: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "of the server")

    text = await each.output("p", "env; umask; cat; ps -o sid= -p $$ 2>/dev/null || true")

    names = {line.partition("=")[0] for line in text.splitlines() if "=" in line}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} <= {"PATH", "HOME", "HOSTNAME", "TMPDIR"}
    assert "of the server" not in text
    assert "0077" in text


async def test_command_args_and_variables_are_expanded(each: Stand) -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-$(NONE)-$$(A)"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    made = pod("p", ["echo", "$(B)"], container={"args": ["$(NAME)", "$(SPACE)", "$(IP)", "$(HOSTNAME)"], "env": env})

    each.store.create("Pod", made)

    ended = await each.ended("p")
    assert await each.log("p") == f"1-$(NONE)-$(A) p default {ended['status']['podIP']} p\n"


async def test_configuration_reaches_the_environment_and_files(stand: Stand) -> None:
    stand.store.create("ConfigMap", {"metadata": {"name": "c"}, "data": {"K": "one", "app.ini": "x=1"}})
    stand.store.create("Secret", {"metadata": {"name": "s"}, "stringData": {"token": "t0p"}})
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "C_"}],
        "env": [
            {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
            {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "K"}}},
            {"name": "NO", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "no", "optional": True}}},
        ],
        "volumeMounts": [
            {"name": "conf", "mountPath": "/etc/app"},
            {"name": "conf", "mountPath": "/usr/share/app/x.ini", "subPath": "x.ini"},
            {"name": "keys", "mountPath": "/keys", "readOnly": True},
        ],
    }
    volumes = [
        {"name": "conf", "configMap": {"name": "c", "items": [{"key": "app.ini", "path": "x.ini"}]}},
        {"name": "keys", "secret": {"secretName": "s", "defaultMode": 0o400}},
    ]
    script = (
        'echo $K $C_K $T "${NO-unset}"; cat /etc/app/x.ini /usr/share/app/x.ini /keys/token; echo;'
        "test -e /etc/passwd && test -d /usr/bin && echo host; touch /keys/new 2>/dev/null || echo read-only"
    )

    text = await stand.output("p", script, container=container, volumes=volumes)

    assert text == "one one t0p unset\nx=1x=1t0p\nhost\nread-only\n"


async def test_a_missing_configmap_is_waited_for(stand: Stand) -> None:
    env = [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "K"}}}]
    stand.store.create("Pod", pod("p", ["sh", "-c", "echo $K"], container={"env": env}))
    waiting = await stand.until("Pod", "p", lambda p: "CreateContainerConfigError" in str(p["status"]))

    stand.store.create("ConfigMap", {"metadata": {"name": "late"}, "data": {"K": "here"}})

    assert container_of(waiting)["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'configmap "late" not found',
    }
    await stand.ended("p", seconds=5)
    assert await stand.log("p") == "here\n"


async def test_an_unmapped_image_is_never_run(stand: Stand) -> None:
    stand.store.create("Pod", pod("p", ["true"], image="registry.example/app:1"))

    await stand.until("Pod", "p", lambda p: "ImagePullBackOff" in str(p["status"]))

    told = [event["message"] for event in stand.store.list("Event")[0] if event["reason"] == "Failed"]
    assert any('"image": "registry.example/app"' in text and "image map" in text for text in told)
    assert stand.store.get("Pod", "default", "p")["status"]["phase"] == "Pending"


async def test_an_unmapped_image_with_policy_never_says_so(stand: Stand) -> None:
    stand.store.create("Pod", pod("p", ["true"], image="nope", container={"imagePullPolicy": "Never"}))

    await stand.until("Pod", "p", lambda p: "ErrImageNeverPull" in str(p["status"]))

    assert (await stand.event("p", "ErrImageNeverPull"))["type"] == "Warning"


async def test_a_user_map_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text("- {image: 'acme/*', command_prefix: [echo, mapped], env: {A: b}, default_command: [default]}\n")

    async with running(tmp_path / "home", image_map=file) as stand:
        stand.store.create("Pod", pod("given", ["x"], image="docker.io/acme/tool:2"))
        stand.store.create("Pod", pod("default", [], image="acme/tool"))
        await stand.ended("given")
        await stand.ended("default")

        assert await stand.log("given") == "mapped x\n"
        assert await stand.log("default") == "mapped default\n"


async def test_init_containers_run_first_and_in_order(stand: Stand) -> None:
    shared = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    init = [
        {"name": "one", "image": "busybox", "command": ["sh", "-c", "echo one >> /w/f"], **shared},
        {"name": "two", "image": "busybox", "command": ["sh", "-c", "echo two >> /w/f"], **shared},
    ]

    text = await stand.output(
        "p", "cat /w/f", initContainers=init, container=shared, volumes=[{"name": "w", "emptyDir": {}}]
    )

    assert text == "one\ntwo\n"


async def test_a_failed_init_container_fails_the_pod(stand: Stand) -> None:
    init = [{"name": "bad", "image": "busybox", "command": ["false"]}]
    stand.store.create("Pod", pod("p", ["true"], initContainers=init))

    ended = await stand.ended("p")

    assert ended["status"]["phase"] == "Failed"
    assert ended["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
    assert container_of(ended)["state"] == {"waiting": {"reason": "PodInitializing"}}


async def test_containers_of_a_pod_run_side_by_side(each: Stand) -> None:
    both = [
        {"name": name, "image": "busybox", "command": ["sh", "-c", f"echo {name}; exit {code}"]}
        for name, code in (("a", 0), ("b", 4))
    ]
    each.store.create("Pod", pod("p", [], containers=both))

    ended = await each.ended("p")

    assert ended["status"]["phase"] == "Failed"
    assert [item["state"]["terminated"]["exitCode"] for item in ended["status"]["containerStatuses"]] == [0, 4]
    assert await each.log("p", container="b") == "b\n"


async def test_always_restarts_with_a_growing_back_off(stand: Stand) -> None:
    stand.store.create("Pod", pod("p", ["sh", "-c", "echo run; exit 1"], restartPolicy="Always"))

    found = await stand.until("Pod", "p", lambda p: "CrashLoopBackOff" in str(p["status"]))
    later = await stand.until("Pod", "p", lambda p: container_of(p)["restartCount"] >= 3)

    main = container_of(found)
    assert found["status"]["phase"] == "Running"
    assert main["restartCount"] == 1
    assert main["lastState"]["terminated"]["exitCode"] == 1
    assert "back-off 0.1s restarting failed container=main" in main["state"]["waiting"]["message"]
    assert container_of(later)["lastState"]["terminated"]["exitCode"] == 1
    assert (await stand.event("p", "BackOff"))["count"] >= 2
    assert await stand.log("p", previous=True) == "run\n"


async def test_on_failure_restarts_until_it_succeeds(stand: Stand) -> None:
    made = pod(
        "p",
        ["sh", "-c", "test -e /w/done && exit 0; touch /w/done; exit 1"],
        restartPolicy="OnFailure",
        volumes=[{"name": "w", "emptyDir": {}}],
        container={"volumeMounts": [{"name": "w", "mountPath": "/w"}]},
    )

    stand.store.create("Pod", made)

    ended = await stand.ended("p")
    assert ended["status"]["phase"] == "Succeeded"
    assert container_of(ended)["restartCount"] == 1


@pytest.mark.parametrize(
    ("script", "grace", "code"),
    [
        ("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done", 20, 3),
        ("echo up; exec sleep 60", 20, 143),
        ("trap '' TERM; echo up; while :; do sleep 0.05; done", 1, 137),
        ("trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done", 0, 137),
    ],
    ids=["handled", "default", "ignored", "no grace"],
)
async def test_deletion_sends_sigterm_then_sigkill(each: Stand, script: str, grace: int, code: int) -> None:
    each.store.create("Pod", pod("p", ["sh", "-c", script]))
    started = await each.ready("p")
    await _first_line(each, "p")
    queue = each.store.subscribe("Pod")

    each.store.delete("Pod", "default", "p", grace_seconds=grace)

    await each.until_gone("Pod", "p", seconds=10)
    seen = [queue.get_nowait()[2] for _ in range(queue.qsize())]
    ends = [container_of(obj)["state"].get("terminated", {}).get("exitCode") for obj in seen]
    assert code in ends
    assert not (each.home / "logs" / started["metadata"]["uid"]).exists()


async def _first_line(stand: Stand, name: str) -> None:
    async with asyncio.timeout(10):
        blocks = podlogs.stream(stand.home, stand.store.get("Pod", "default", name), follow=True)
        async for _ in blocks:
            break
        await blocks.aclose()  # type: ignore[attr-defined]


async def test_a_deleted_pod_takes_its_whole_family_along(each: Stand) -> None:
    mark = f"54321.{secrets.randbelow(10**9):09}"  # no other test of this machine has it
    script = f"sleep {mark} & (sleep {mark} &) ; echo up; wait"
    each.store.create("Pod", pod("p", ["sh", "-c", script]))
    await each.ready("p")
    await _first_line(each, "p")

    def family() -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", mark]]

    async def family_is(size: int) -> None:
        async with asyncio.timeout(10):
            while len(family()) != size:  # noqa: ASYNC110  the system tells nobody
                await asyncio.sleep(0.01)

    await family_is(2)
    each.store.delete("Pod", "default", "p", grace_seconds=1)
    await each.until_gone("Pod", "p")

    # They were killed by then; the system may need a moment until it does not show them any more.
    await family_is(0)


async def test_a_pod_waits_for_its_claim(stand: Stand) -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "late"}}]
    stand.store.create("Pod", pod("p", ["true"], volumes=volumes))
    pending = await stand.until("Pod", "p", lambda p: p["status"].get("conditions"))
    event = await stand.event("p", "FailedScheduling")

    stand.store.create("PersistentVolumeClaim", claim("late"))

    assert conditions(pending) == {"PodScheduled": ("False", "Unschedulable")}
    assert event["message"] == 'persistentvolumeclaim "late" not found'
    assert (await stand.ended("p"))["status"]["phase"] == "Succeeded"


async def test_no_more_pods_than_allowed_run_at_a_time(tmp_path: Path) -> None:
    async with running(tmp_path / "home", max_pods=2) as stand:
        for number in range(3):
            stand.store.create("Pod", pod(f"p{number}", ["sleep", "60"]))
        await stand.ready("p0")
        await stand.ready("p1")
        waiting = await stand.until("Pod", "p2", lambda p: p["status"].get("conditions"))

        stand.store.delete("Pod", "default", "p0", grace_seconds=0)

        assert conditions(waiting) == {"PodScheduled": ("False", "Unschedulable")}
        await stand.ready("p2")


async def test_an_active_deadline_fails_the_pod(stand: Stand) -> None:
    stand.store.create("Pod", pod("p", ["sleep", "60"], activeDeadlineSeconds=1))

    ended = await stand.ended("p")

    assert (ended["status"]["phase"], ended["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert container_of(ended)["state"]["terminated"]["exitCode"] == 143


async def test_an_unknown_volume_type_is_refused_with_a_reason(stand: Stand) -> None:
    container = {"volumeMounts": [{"name": "h", "mountPath": "/h"}]}
    stand.store.create(
        "Pod", pod("p", ["true"], volumes=[{"name": "h", "hostPath": {"path": "/"}}], container=container)
    )

    event = await stand.event("p", "FailedMount")

    assert "hostPath" in event["message"]
    assert stand.store.get("Pod", "default", "p")["status"]["phase"] == "Pending"


async def test_the_events_a_user_looks_for_are_there(stand: Stand) -> None:
    stand.store.create("Pod", pod("p", ["true"]))
    await stand.ended("p")

    found = {event["reason"]: event["message"] for event in stand.store.list("Event")[0]}

    assert found == {
        "Scheduled": "Successfully assigned default/p to local",
        "LocalProcess": 'image "busybox" is not used: the pod runs as a local process',
        "Pulled": 'Container image "busybox" already present on machine',
        "Created": "Created container: main",
        "Started": "Started container main",
    }
