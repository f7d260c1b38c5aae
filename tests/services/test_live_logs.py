"""A log while it is written: every line once, over breaks, and the same text when the pod is gone (contract C.11)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from k8s_bridge.names import namespace_of
from tests.admin.conftest import signed_in
from tests.engine import BUSYBOX, eventually, job, node, workflow
from tests.factories import UserFactory
from workflows.admin import node_logs
from workflows.admin.node_facts import newest_record
from workflows.admin.node_plan import plan_of
from workflows.admin.recipes import recipes_for
from workflows.domain.actors import Actor
from workflows.models import NodeLog, WorkflowInstance, WorkflowNode
from workflows.services import lifecycle
from workflows.services.cluster import gateway
from workflows.services.live_logs import CONTINUES, ENDED, HEARTBEAT, LogFollower, Place

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("engine")]
ME = Actor(id="1", name="me")
KUBECTL = Path(__file__).resolve().parents[2] / ".venv/bin/kubectl"
STAYS = "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); done; echo last; sleep 600"


def started(command: str) -> tuple[WorkflowInstance, WorkflowNode]:
    """A workflow whose only node runs `command` and has written something."""
    instance = workflow({"a": job(command)})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: bool(node(instance, "a").k8s_resource_name), what="the job")
    found = node(instance, "a")

    def has_begun() -> bool:
        pods = gateway().pods_of(namespace_of(instance.project_id), found.k8s_resource_name or "")
        return any((pod.get("status") or {}).get("phase") not in (None, "Pending") for pod in pods)

    eventually(has_begun, what="the pod")
    return instance, WorkflowNode.objects.select_related("instance").get(pk=found.pk)


def following(of: WorkflowNode, *, tail_lines: int = 1000, after: Place | None = None, **limits: Any) -> LogFollower:
    namespace = namespace_of(of.instance.project_id)
    pod, container = gateway().log_place(namespace, of.k8s_resource_name or "")
    return LogFollower(gateway(), namespace, pod, container, tail_lines=tail_lines, after=after, **limits)


def until(lines: Iterator[bytes], word: bytes) -> list[bytes]:
    """The lines up to the first that ends with `word`; remarks are left out."""
    found = []
    for line in lines:
        if not line.startswith(b":"):
            found.append(line)
        if line.rstrip().endswith(word):
            return found
    raise AssertionError(f"the log ended before {word!r}: {found}")


def texts(lines: list[bytes]) -> list[str]:
    return [line.decode().partition(" ")[2].rstrip("\n") for line in lines]


WHOLE = [*(f"line {number}" for number in range(40)), "last"]


def test_the_console_shows_lines_while_the_job_runs_and_the_same_text_afterwards() -> None:
    instance, found = started(STAYS)
    browser: Client = signed_in(UserFactory(is_staff=True, is_superuser=True))
    address = reverse("admin:workflows_workflownode_logs", args=[found.pk])

    live = browser.get(f"{address}?follow=1")
    with closing(live):
        read = texts(until(iter(live.streaming_content), b"last"))

    assert node(instance, "a").status == "running"
    assert (live.status_code, live["X-Log-State"], live["Content-Type"]) == (200, "live", "text/plain; charset=utf-8")
    assert read == WHOLE
    assert browser.get(address).content.decode().splitlines() == WHOLE

    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)
    eventually(lambda: NodeLog.objects.filter(fetched_at__isnull=False).exists(), what="the kept text")
    eventually(lambda: not node(instance, "a").k8s_resource_name, what="the end of the job")

    kept = browser.get(f"{address}?follow=1")
    assert kept["X-Log-State"] == "kept"
    note, text = kept.content.decode().split("\n\n", 1)
    assert note.startswith("[The pod is gone. run #1, pod wf-")
    assert text.splitlines() == WHOLE


def test_a_reader_that_comes_back_gets_every_line_once() -> None:
    _, found = started(STAYS)
    with closing(following(found)) as first:
        until(iter(first), b"last")
        place = first.place

    with closing(following(found, after=place, seconds=0.1, silence=2)) as second:
        assert list(second) == [CONTINUES]
    # All lines of the time where the last lines began count as read: nobody knows how many there were before.
    with closing(following(found, tail_lines=3)) as tail:
        assert texts(until(iter(tail), b"last")) == WHOLE[-3:]
        place = tail.place
    with closing(following(found, after=place, seconds=0.1, silence=2)) as rest:
        assert list(rest) == [CONTINUES]


def test_lines_of_one_time_are_told_apart_by_their_number() -> None:
    _, found = started(STAYS)
    with closing(following(found)) as whole:
        lines = until(iter(whole), b"last")
    when = lines[20].split(b" ")[0].decode()
    before = sum(line.startswith(f"{when} ".encode()) for line in lines[:20])

    with closing(following(found, after=Place(when, before + 1))) as rest:
        assert texts(until(iter(rest), b"last")) == WHOLE[21:]


def test_a_silent_log_shows_that_somebody_is_there_and_goes_on() -> None:
    _, found = started("while :; do echo tick; sleep 6; done")

    with closing(following(found, silence=2)) as log:
        assert HEARTBEAT in iter(log)
        assert texts([next(line for line in log if line != HEARTBEAT)]) == ["tick"]


def test_the_end_of_the_container_and_of_the_readers_time_are_told_apart() -> None:
    _, found = started("echo one")
    with closing(following(found)) as log:
        lines = list(log)
    assert lines[-1] == ENDED
    assert texts(lines[:-1]) == ["one"]

    _, found = started(STAYS)
    with closing(following(found)) as log:
        until(iter(log), b"last")
    with closing(following(found, tail_lines=1, seconds=0.1, silence=2)) as log:
        lines = list(log)
    assert lines[-1] == CONTINUES
    assert texts(lines[:-1]) == ["last"]


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    _, found = started("head -c 300000 /dev/zero | tr '\\0' x; echo; echo last; sleep 600")

    with closing(following(found)) as log:
        lines = until(iter(log), b"last")

    assert max(map(len, lines)) <= 64 * 1024 + 1
    assert texts(lines)[-1] == "last"


def test_only_some_logs_are_followed_at_once_and_places_are_given_back() -> None:
    _, found = started(STAYS)
    browser: Client = signed_in(UserFactory(is_staff=True, is_superuser=True))
    address = f"{reverse('admin:workflows_workflownode_logs', args=[found.pk])}?follow=1"
    slots = node_logs._slots()._initial_value  # type: ignore[attr-defined]

    open_ones = [browser.get(address) for _ in range(slots)]
    refused = browser.get(address)
    for one in open_ones:
        one.close()
    again = browser.get(address)
    again.close()

    assert {one["X-Log-State"] for one in open_ones} == {"live"}
    assert (refused.status_code, refused["X-Log-State"], refused["Retry-After"]) == (503, "busy", "5")
    assert again["X-Log-State"] == "live"


@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl comes with the developer's environment only")
def test_the_recipes_are_commands_that_work_and_the_manifest_is_what_was_made(cluster_kubeconfig: Path) -> None:
    _, found = started(STAYS)
    record = newest_record(found)
    plan = plan_of(found, record)

    answers = {}
    for recipe in recipes_for(found, record, plan.containers[0]):
        words = recipe.command.split(" ")
        assert words[0] == "kubectl"
        words = [word for word in words[1:] if word != "--follow"]
        done = subprocess.run(
            [str(KUBECTL), "--kubeconfig", str(cluster_kubeconfig), *words], capture_output=True, text=True, timeout=30
        )
        answers[recipe.title] = (done.returncode, done.stdout + done.stderr)

    failed = {title: text for title, (code, text) in answers.items() if code}
    assert set(failed) == {"The log before the last restart"}
    assert "previous terminated container" in failed["The log before the last restart"]
    assert f"job.batch/{found.k8s_resource_name}" in answers["Everything of this node"][1]
    assert re.search(r"^\S+Z last$", answers["Its log, as it is written"][1], re.MULTILINE)
    [manifest] = plan.manifests
    made = subprocess.run(
        [str(KUBECTL), "--kubeconfig", str(cluster_kubeconfig), "diff", "-f", "-"],
        input=manifest.text, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (made.returncode, made.stdout) == (0, ""), made.stderr
    assert BUSYBOX in manifest.text
