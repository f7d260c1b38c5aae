"""Watchers side by side: a lease for each shard, and nobody's objects go unseen when it changes hands."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
from django.db import connections

from k8s_bridge import names
from k8s_bridge.client import ClusterClient
from k8s_bridge.names import SHARDS, shard_of
from k8s_bridge.specs import Owner
from tests.engine import ends, eventually, job, running_watcher, running_worker, web_app, workflow
from tests.race.together import together
from workflows import clock
from workflows.domain.actors import Actor
from workflows.models import ClusterWatcher, Event, ShardLease, WorkflowInstance, Workload
from workflows.services import lifecycle
from workflows.services.following import Pipeline
from workflows.services.sharding import Membership, Replaced, followed
from workflows.services.watching import SharedWatch

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]
ME = Actor(id="1", name="me")
PROJECT = f"shards-{secrets.token_hex(4)}"


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays(cluster_kubeconfig: str) -> Iterator[None]:
    yield
    client = ClusterClient(str(cluster_kubeconfig))
    client.request("DELETE", f"/api/v1/namespaces/{names.namespace_of(PROJECT)}")
    client.close()


def shares() -> Counter[str]:
    return Counter(followed().values())


def dies(name: str) -> None:
    """The watcher said nothing for longer than its lease."""
    past = clock.now() - timedelta(seconds=1)
    ShardLease.objects.filter(holder=name).update(until=past)
    ClusterWatcher.objects.filter(name=name).update(until=past)


def test_one_that_joins_takes_its_part_and_one_that_leaves_gives_it_back() -> None:
    a, b = Membership("a"), Membership("b")
    alone = a.renew()
    others = b.renew()
    rest = a.renew()

    b.leave()
    unfollowed = SHARDS - len(followed())
    again = a.renew()

    assert set(alone) == set(range(SHARDS))
    assert (len(others), set(others) | set(rest), set(others) & set(rest)) == (SHARDS // 2, set(alone), set())
    assert unfollowed == SHARDS // 2
    assert set(again) == set(alone)
    assert {shard for shard in again if again[shard] != alone[shard]} == set(others)


def test_what_a_dead_one_held_is_taken_when_its_lease_is_over() -> None:
    a, b = Membership("a"), Membership("b")
    a.renew()
    b.renew()
    a.renew()
    during = b.renew()
    dies("a")

    after = b.renew()

    assert (len(during), len(after)) == (SHARDS // 2, SHARDS)
    assert [row.name for row in ClusterWatcher.objects.all()] == ["b"]


def test_one_that_was_only_slow_loses_nothing_that_nobody_took() -> None:
    a = Membership("a")
    before = a.renew()
    dies("a")

    assert a.renew() == before


def test_one_that_was_taken_for_dead_gets_its_part_of_the_living() -> None:
    a, b = Membership("a"), Membership("b")
    before = a.renew()
    dies("a")
    b.renew()

    back = a.renew()

    assert len(back) == SHARDS // 2
    assert all(back[shard] > before[shard] for shard in back)


def test_a_restarted_one_has_its_shards_back_at_once_and_its_predecessor_ends() -> None:
    old, new, other = Membership("a"), Membership("a"), Membership("b")
    old.renew()
    other.renew()
    held = old.renew()

    taken_over = new.renew()

    assert set(taken_over) == set(held)
    assert all(taken_over[shard] == held[shard] + 1 for shard in held)
    with pytest.raises(Replaced, match="give each one a name of its own"):
        old.renew()
    old.leave()
    assert shares() == {"a": SHARDS // 2, "b": SHARDS // 2}


def test_many_at_the_same_moment_end_in_a_fair_division() -> None:
    watchers = [Membership(f"w{number}") for number in range(6)]

    for _ in range(3):
        held = together(*(watcher.renew for watcher in watchers))

    assert sorted(map(len, held)) == [2, 2, 3, 3, 3, 3]
    assert sorted(shard for part in held for shard in part) == list(range(SHARDS))


@contextmanager
def sharing(name: str) -> Iterator[SharedWatch]:
    """A watcher that takes part, with its consumer, in threads of this process."""
    stop = threading.Event()
    pipeline = Pipeline()
    watch = SharedWatch(name, pipeline, renewal=0.1)

    def here(run: object) -> threading.Thread:
        def call() -> None:
            try:
                run(stop)  # type: ignore[operator]
            finally:
                connections.close_all()

        thread = threading.Thread(target=call, name=f"{name} {run}")
        thread.start()
        return thread

    threads = [here(watch.run), here(pipeline.run)]
    try:
        eventually(lambda: bool(watch.shards) and watch.watcher.is_synced, what=f"the shards of {name}")
        yield watch
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def chain(length: int) -> WorkflowInstance:
    steps = {f"s{number}": job("true") for number in range(length)}
    edges = [(f"s{number}", f"s{number + 1}") for number in range(length - 1)]
    return workflow(steps, edges, project_id=PROJECT)


def doubles() -> list[tuple[str, str]]:
    """Transitions that the journal has twice."""
    moves = Event.objects.filter(kind__in=("node.running", "node.succeeded")).values_list("node_id", "kind")
    return [move for move, count in Counter(moves).items() if count > 1]


def test_runs_go_on_while_watchers_come_and_go() -> None:
    with ExitStack() as first, running_worker():
        first.enter_context(sharing("a"))
        instances = [chain(4) for _ in range(4)]
        for instance in instances:
            lifecycle.start_instance(instance_id=instance.pk, actor=ME)
        with sharing("b") as b:
            first.close()
            eventually(lambda: len(b.shards) == SHARDS, what="the shards of the one that left")
            with sharing("c"):
                found = {ends(instance) for instance in instances}

    assert found == {"succeeded"}
    assert doubles() == []
    assert shares() == {}


def test_two_that_see_the_same_objects_move_each_node_once() -> None:
    with running_worker(), running_watcher(), running_watcher():
        instances = [chain(4) for _ in range(4)]
        for instance in instances:
            lifecycle.start_instance(instance_id=instance.pk, actor=ME)
        found = {ends(instance) for instance in instances}

    assert found == {"succeeded"}
    assert doubles() == []
    assert Workload.objects.count() == 16


@pytest.mark.usefixtures("unhurried")
def test_what_happened_while_another_one_had_the_shard_is_seen_on_return() -> None:
    """The first watcher remembers what it saw last: that must not hide what it has to see now."""
    sleeper = web_app(image="busybox:latest", command=["sh", "-c", "sleep 300"], readiness_probe=None)
    other = Membership("other")
    with sharing("a") as a, running_worker():
        made = iter(lambda: workflow({"app": sleeper}, project_id=PROJECT), None)
        instance = next(one for one in made if shard_of(one.pk) >= SHARDS // 2)
        lifecycle.start_instance(instance_id=instance.pk, actor=ME)
        assert ends(instance) == "succeeded"
        app = Workload.objects.filter(instance=instance)
        eventually(lambda: app.get().is_ready, what="the sight of the Deployment")

        other.renew()
        eventually(lambda: shard_of(instance.pk) not in a.shards, what="the loss of the shard")
        app.update(is_ready=False)  # the other one saw that, and not that it was ready again
        other.leave()

        eventually(lambda: app.get().is_ready, what="the sight of the Deployment")
        lifecycle.delete_instance(instance_id=instance.pk, actor=ME)


def test_objects_of_a_release_without_shards_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = names.labels

    def older(owner: Owner) -> dict[str, str]:
        return {key: value for key, value in labels(owner).items() if key != names.SHARD}

    monkeypatch.setattr(names, "labels", older)
    with sharing("a"), sharing("b"), running_worker():
        eventually(lambda: len(shares()) == 2, what="the division")
        instances = [chain(2) for _ in range(2)]
        for instance in instances:
            lifecycle.start_instance(instance_id=instance.pk, actor=ME)
        found = {ends(instance) for instance in instances}

    assert found == {"succeeded"}
