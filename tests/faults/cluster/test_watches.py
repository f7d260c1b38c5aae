"""Watches of the Kubernetes API that break, fall silent or tell nonsense. The list is the truth, so nothing depends on them."""

from __future__ import annotations

import queue
import time
from collections import Counter

import psutil
import pytest

from k8s_bridge.gateway import Gateway
from k8s_bridge.watcher import Change, Snapshot, Watcher
from secflow.runtime import heartbeat
from tests.e2e.driver import job, nodes_by_name
from tests.faults.cluster.stage import Stage, at
from tests.faults.watch_faults import WatchFault
from tests.stack import Stack, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

STALE_SECONDS = 35.0  # the promise without a working watch, and some time for a busy machine


def pods_of(stage: Stage, job_name: str) -> list[str]:
    names = [pod["metadata"]["name"] for pod in stage.list("Pod")]
    return [name for name in names if name.startswith(f"{job_name}-")]


def lag(stage: Stage, instance_id: str, name: str) -> float:
    """Seconds between the end of the node's Job in the cluster and the moment at which SecFlow shows it."""
    resource = stage.wait_for_object("Job", instance_id, name)["metadata"]["name"]
    eventually(
        lambda: "completionTime" in ((stage.read("Job", resource) or {}).get("status") or {}), what="the end of the job"
    )
    began = time.monotonic()
    stage.wait_for_node(instance_id, name, "succeeded")
    return time.monotonic() - began


def test_f16_watches_expire_again_and_again(stage: Stage, stack: Stack) -> None:
    """Fault: 410 on every watch after 2 s. Criterion: status stays fresh, lists are bounded, memory stays flat;
    the sign of life counts the restarts."""
    template = stage.driver.job_template("sleep 1")
    names = ["a", "b", "c", "d"]
    one = stage.driver.instance([job(template, name) for name in names], list(zip(names, names[1:], strict=False)))
    watchers = [psutil.Process(pid) for pid in stack.pids("watcher")]
    memory, began = [watcher.memory_info().rss for watcher in watchers], time.monotonic()
    counted = watch_restarts(stack)

    with stage.plan.watches(WatchFault(expired_after=2)):
        stage.start(one)
        assert [name for name in names if lag(stage, one, name) > STALE_SECONDS] == []
        assert stage.driver.wait_for(one, "succeeded", "failed")["status"] == "succeeded"
        # The watches of before are as good as ever: those after them expire.
        eventually(
            lambda: len(stage.proxy.requests("list", "jobs", since=began)) >= 2, what="lists after expired watches"
        )
        seconds = time.monotonic() - began
        lists = len(stage.proxy.requests("list", "jobs", since=began))

    # Each 410 leads to one list; reconcile, clean-ups and the like ask for some more.
    assert lists <= 10 + len(watchers) * 1.5 * seconds / 2
    grown = [watcher.memory_info().rss - before for watcher, before in zip(watchers, memory, strict=True)]
    assert max(grown) < 64 * 2**20
    eventually(lambda: watch_restarts(stack) > counted, seconds=30, what="a sign of life that counts the restarts")
    stage.check_invariants()


def watch_restarts(stack: Stack) -> int:
    """How often the watcher had to list again, as its newest sign of life says."""
    beats = heartbeat.read(stack.redis_url)
    return sum(beat.details.get("watch_restarts_total", 0) for beat in beats if beat.role == "watcher")


def test_f17_watches_fall_silent(stage: Stage) -> None:
    """Fault: no byte comes on any watch, the connections stay. Criterion: status is stale for at most 35 s."""
    one = stage.driver.instance([job(stage.driver.job_template("sleep 1"), "work")])

    with stage.plan.watches(WatchFault(silent_after=0)):
        stage.start(one)
        seconds = lag(stage, one, "work")

    assert seconds <= STALE_SECONDS
    assert stage.driver.wait_for(one, "succeeded", "failed")["status"] == "succeeded"
    # They stay silent until SecFlow gives them up, which takes a minute and a half: the scenarios after this one need not wait.
    stage.proxy.cut()
    stage.check_invariants()


@pytest.mark.parametrize(
    "fault", [WatchFault(("jobs",), silent_after=0), WatchFault(("jobs",), cut_after=0.3)], ids=["silent", "cut"]
)
def test_f17_a_watch_that_breaks_is_given_up(stage: Stage, fault: WatchFault) -> None:
    """Fault: a watch falls silent, or its connection is cut. Criterion: the watch ends, by the read timeout if need be, the restart
    is counted, and a new list comes."""
    gateway = Gateway.connect(str(stage.proxy.kubeconfig), installation="nobody")
    seen: queue.Queue[Snapshot | Change] = queue.Queue()
    watcher = Watcher(gateway, seen.put, kinds=("Job",), silence=1.0)
    try:
        with stage.plan.watches(fault):
            watcher.start()
            eventually(lambda: watcher.restarts["Job"] >= 1, what="a restart")
        before = seen.qsize()
        eventually(lambda: seen.qsize() > before, what="a new list")
    finally:
        watcher.stop()
        gateway.close()
    stage.proxy.cut()


def test_f18_events_come_twice_out_of_order_and_from_long_ago(stage: Stage) -> None:
    """Fault: duplicates, swapped events, first states replayed. Criterion: ended rows stay, nothing is made anew."""
    template = stage.driver.job_template("true")
    chains = [
        stage.driver.instance([job(template, name) for name in "abc"], [("a", "b"), ("b", "c")]) for _ in range(3)
    ]

    before = Counter(stage.proxy.history.disturbed)

    with stage.plan.watches(WatchFault(duplicate=0.5, reorder=0.5, stale=1.0)):
        stage.start(*chains)
        ended = [stage.driver.wait_for(one, "succeeded", "failed") for one in chains]
        # Later events make the proxy replay the beginnings of what has ended by now.
        later = stage.driver.instance([job(template, "later")])
        stage.start(later)
        assert stage.driver.wait_for(later, "succeeded", "failed")["status"] == "succeeded"

    assert set(stage.proxy.history.disturbed - before) == {"duplicate", "reorder", "stale"}
    assert [one["status"] for one in ended] == ["succeeded"] * 3, ended
    assert [stage.driver.read(one["id"])["nodes"] for one in ended] == [one["nodes"] for one in ended]
    assert sorted(stage.made().values()) == [1] * 10
    stage.check_invariants()


def test_f26_a_job_is_collected_in_the_moment_of_its_end(stage: Stage) -> None:
    """Fault: pod and Job are gone within a second of the end. Criterion: success is recorded, a missing log is no error."""
    template = stage.driver.job_template("echo done", ttl_seconds_after_finished=0)
    one = stage.driver.instance([job(template, "a"), job(template, "b")], [("a", "b")])
    stage.start(one)

    ended = stage.driver.wait_for(one, "succeeded", "failed")

    assert ended["status"] == "succeeded", ended
    for node in ended["nodes"]:
        assert at(node["started_at"]) <= at(node["finished_at"])
        assert stage.driver.call("GET", f"/workflow-instances/{one}/nodes/{node['id']}/logs").status in (200, 404)
    stage.check_invariants()


def test_f26_a_job_is_collected_before_anybody_saw_its_end(stage: Stage) -> None:
    """Fault: the Job ends and is collected while the cluster cannot be reached. Criterion: no hang and no silent success."""
    signs = {"volume_mounts": [{"pvc_name": "signs", "mount_path": "/data"}]}
    until = "until test -e /data/go; do sleep 0.1; done"
    template = stage.driver.job_template(until, container=signs, ttl_seconds_after_finished=0)
    stage.make_claim("signs")
    one = stage.driver.instance([job(template, "work")])
    stage.start(one)
    resource = stage.wait_for_object("Job", one, "work")["metadata"]["name"]
    stage.wait_for_node(one, "work", "running")

    with stage.proxy.outage():
        stage.run_foreign_pod("go", "touch /data/go", claim="signs")
        eventually(lambda: stage.read("Job", resource) is None, what="the end of the job and its removal")
        # A pod that is still listed afterwards would tell that its job succeeded, and rightly.
        eventually(lambda: not pods_of(stage, resource), what="the removal of its pod")
    stage.delete("Pod", "go")
    ended = stage.driver.wait_for(one, "succeeded", "failed")

    assert ended["status"] == "failed"
    assert "deleted" in nodes_by_name(ended)["work"]["message"]
    stage.check_invariants()
