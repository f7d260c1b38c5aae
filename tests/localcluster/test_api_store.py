"""The store by itself: versions, watches, deletion, owners, persistence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from k8s_bridge.localcluster.store import Store, StoreError, clone
from tests.localcluster.apistand import config_map, deployment, job, pod


def test_create_sets_what_only_the_server_may_set() -> None:
    store = Store(None)

    made = store.create("Job", {**job("a"), "metadata": {"generateName": "a-", "uid": "mine", "resourceVersion": "7"}})

    meta = made["metadata"]
    assert meta["name"].startswith("a-")
    assert len(meta["name"]) == 7
    assert meta["namespace"] == "default"
    assert meta["uid"] != "mine"
    assert meta["generation"] == 1
    assert int(meta["resourceVersion"]) == store.resource_version
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": meta["uid"]}}


def test_create_needs_an_open_namespace() -> None:
    store = Store(None)
    store.create("Namespace", {"metadata": {"name": "going"}})
    store.delete("Namespace", None, "going")

    with pytest.raises(StoreError) as missing:
        store.create("ConfigMap", {"metadata": {"name": "a", "namespace": "nowhere"}})
    with pytest.raises(StoreError) as closed:
        store.create("ConfigMap", {"metadata": {"name": "a", "namespace": "going"}})

    assert (missing.value.status, missing.value.message) == (404, 'namespaces "nowhere" not found')
    assert (closed.value.status, closed.value.reason) == (403, "Forbidden")
    assert closed.value.details is not None
    assert closed.value.details["causes"][0]["reason"] == "NamespaceTerminating"


def test_a_stored_object_never_changes() -> None:
    store = Store(None)
    given = config_map("a", key="one")
    first = store.create("ConfigMap", given)
    given["data"]["key"] = "changed by the caller"

    change = clone(first)
    change["data"]["key"] = "two"
    store.update("ConfigMap", change)

    assert first["data"]["key"] == "one"
    assert store.get("ConfigMap", "default", "a")["data"]["key"] == "two"


def test_spec_and_status_are_updated_apart() -> None:
    store = Store(None)
    both = clone(store.create("Deployment", deployment("a")))
    both["spec"]["replicas"] = 3
    both["status"] = {"replicas": 3}

    by_spec = store.update("Deployment", both)
    again = clone(by_spec)
    again["spec"]["replicas"] = 5
    again["status"] = {"replicas": 3}
    by_status = store.update("Deployment", again, subresource="status")

    assert (by_spec["spec"]["replicas"], by_spec["status"], by_spec["metadata"]["generation"]) == (3, {}, 2)
    assert by_status["spec"]["replicas"] == 3
    assert by_status["status"] == {"replicas": 3}
    assert by_status["metadata"]["generation"] == 2


def test_an_update_that_changes_nothing_makes_no_version() -> None:
    store = Store(None)
    made = store.create("ConfigMap", config_map("a", key="one"))
    before = store.resource_version

    again = store.update("ConfigMap", clone(made))

    assert again is made
    assert store.resource_version == before


def test_a_stale_or_foreign_update_conflicts_and_one_without_version_does_not() -> None:
    store = Store(None)
    stale = clone(store.create("ConfigMap", config_map("a", key="one")))
    store.update("ConfigMap", {**stale, "data": {"key": "two"}})
    foreign = clone(store.get("ConfigMap", "default", "a"))
    foreign["metadata"]["uid"] = "another"

    for refused in (stale, foreign):
        with pytest.raises(StoreError) as error:
            store.update("ConfigMap", refused)
        assert (error.value.status, error.value.reason) == (409, "Conflict")
    free = {"metadata": {"name": "a", "namespace": "default"}, "data": {"key": "three"}}

    assert store.update("ConfigMap", free)["data"] == {"key": "three"}


def test_a_pod_stays_until_it_is_removed() -> None:
    store = Store(None)
    store.create("Pod", pod("a"))

    marked = store.delete("Pod", "default", "a")
    longer = store.delete("Pod", "default", "a", grace_seconds=60)
    shorter = store.delete("Pod", "default", "a", grace_seconds=1)
    store.remove("Pod", "default", "a")
    store.remove("Pod", "default", "a")

    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert longer is marked
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 1
    assert store.find("Pod", "default", "a") is None


@pytest.mark.parametrize(
    ("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", None)]
)
def test_propagation_is_left_as_a_finalizer(propagation: str, finalizer: str | None) -> None:
    store = Store(None)
    store.create("Job", job("a"))

    store.delete("Job", "default", "a", propagation=propagation)

    left = store.find("Job", "default", "a")
    assert (left["metadata"]["finalizers"] if left else None) == ([finalizer] if finalizer else None)


def test_the_last_finalizer_lets_a_deleted_object_go() -> None:
    store = Store(None)
    made = store.create("ConfigMap", {**config_map("a"), "metadata": {"name": "a", "finalizers": ["x/1", "x/2"]}})
    store.delete("ConfigMap", "default", "a")
    half = clone(store.get("ConfigMap", "default", "a"))
    half["metadata"]["finalizers"] = ["x/2"]
    rest = clone(store.update("ConfigMap", half))
    del rest["metadata"]["finalizers"]

    store.update("ConfigMap", rest)

    assert store.find("ConfigMap", "default", "a") is None
    assert made["metadata"]["finalizers"] == ["x/1", "x/2"]


def test_a_removed_pod_waits_for_its_finalizers() -> None:
    store = Store(None)
    store.create("Pod", {**pod("a"), "metadata": {"name": "a", "finalizers": ["x/1"]}})
    store.delete("Pod", "default", "a", grace_seconds=5)

    store.remove("Pod", "default", "a")
    held = clone(store.get("Pod", "default", "a"))
    held["metadata"]["finalizers"] = []
    store.update("Pod", held)

    assert store.find("Pod", "default", "a") is None


def test_owners_are_indexed_through_change_and_removal() -> None:
    store = Store(None)
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u1"}
    store.create("Pod", {**pod("a"), "metadata": {"name": "a", "ownerReferences": [reference]}})
    owned = {"name": "c", "ownerReferences": [reference]}
    made = clone(store.create("ConfigMap", {**config_map("c"), "metadata": owned}))
    assert [(obj["kind"], obj["metadata"]["name"]) for obj in store.owned_by("u1")] == [
        ("ConfigMap", "c"),
        ("Pod", "a"),
    ]

    made["metadata"]["ownerReferences"] = [{**reference, "uid": "u2"}]
    store.update("ConfigMap", made)
    store.remove("Pod", "default", "a")

    assert store.owned_by("u1") == []
    assert [obj["kind"] for obj in store.owned_by("u2")] == ["ConfigMap"]


@pytest.mark.asyncio
async def test_a_watch_hands_out_each_event_once_and_shares_its_bytes() -> None:
    store = Store(None)
    made = store.create("ConfigMap", config_map("a"))
    since = int(made["metadata"]["resourceVersion"])
    one, two = store.watch("ConfigMap", since), store.watch("ConfigMap", None)
    store.update("ConfigMap", {**clone(made), "data": {"k": "v"}})
    store.delete("ConfigMap", "default", "a")

    first = await one.batch(1)
    snapshot = await two.batch(1)
    second = await two.batch(1)

    assert [event.type for event in first] == ["MODIFIED", "DELETED"]
    assert [event.type for event in snapshot] == ["ADDED"]
    assert [event.type for event in second] == ["MODIFIED", "DELETED"]
    assert first[0].line() is second[0].line()
    assert one.resource_version == store.resource_version
    assert await one.batch(0.01) == []


@pytest.mark.asyncio
async def test_a_watch_that_fell_behind_and_one_too_old_are_expired() -> None:
    store = Store(None, history=10)
    slow = store.watch("ConfigMap", store.resource_version)
    start = store.resource_version

    for number in range(30):
        store.create("ConfigMap", config_map(f"a{number}"))

    reads = (slow.ready, lambda: slow.resource_version, lambda: store.watch("ConfigMap", start))
    for read in (*reads, lambda: store.watch("ConfigMap", 10**9)):
        with pytest.raises(StoreError) as error:
            read()
        assert (error.value.status, error.value.reason) == (410, "Expired")
    recent = store.watch("ConfigMap", store.resource_version - 3)
    assert len(recent.ready()) == 3


@pytest.mark.asyncio
async def test_an_iterated_watch_ends_when_the_store_closes() -> None:
    store = Store(None)
    seen = []

    async def follow() -> None:
        seen.extend([event.type async for event in store.watch("ConfigMap", None)])

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    store.create("ConfigMap", config_map("a"))
    await asyncio.sleep(0)
    store.close()
    await asyncio.wait_for(task, 2)

    assert seen == ["ADDED"]


@pytest.mark.asyncio
async def test_a_subscription_gets_the_kinds_it_names_until_it_is_closed() -> None:
    store = Store(None)
    queue = store.subscribe("ConfigMap", "Secret")

    store.create("ConfigMap", config_map("a"))
    store.create("Pod", pod("p"))
    store.create("Secret", {"metadata": {"name": "s"}})
    queue.close()
    store.create("ConfigMap", config_map("b"))

    got = [queue.get_nowait() for _ in range(queue.qsize())]
    assert [(kind, what, obj["metadata"]["name"]) for kind, what, obj in got] == [
        ("ADDED", "ConfigMap", "a"),
        ("ADDED", "Secret", "s"),
    ]


@pytest.mark.parametrize(
    ("labels", "fields", "names"),
    [
        (None, None, ["a", "b", "c"]),
        ("app=a", None, ["a"]),
        ("app==a", None, ["a"]),
        ("app!=a", None, ["b", "c"]),
        ("app in (a, b)", None, ["a", "b"]),
        ("app notin (a,b)", None, ["c"]),
        ("app", None, ["a", "b"]),
        ("!app", None, ["c"]),
        ("app,tier=x", None, ["b"]),
        (None, "metadata.name=b", ["b"]),
        (None, "metadata.name!=b,metadata.namespace=default", ["a", "c"]),
        ("app", "metadata.name=c", []),
        (None, "status.phase=Pending", ["a", "b", "c"]),
        (None, "spec.nodeName=", ["a", "b", "c"]),
    ],
)
def test_selectors(labels: str | None, fields: str | None, names: list[str]) -> None:
    store = Store(None)
    for name, given in (("c", {}), ("b", {"app": "b", "tier": "x"}), ("a", {"app": "a"})):
        store.create("Pod", {**pod(name), "metadata": {"name": name, "labels": given}})

    found, version = store.list("Pod", "default", labels=labels, fields=fields)

    assert [obj["metadata"]["name"] for obj in found] == names
    assert version == store.resource_version


@pytest.mark.parametrize(("labels", "fields"), [("a in b", None), ("a=b=c", None), (None, "spec.x=1"), (None, "name")])
def test_malformed_selectors_are_refused(labels: str | None, fields: str | None) -> None:
    with pytest.raises(StoreError) as error:
        Store(None).list("Pod", labels=labels, fields=fields)

    assert (error.value.status, error.value.reason) == (400, "BadRequest")


def test_objects_survive_a_restart_and_older_watches_do_not(tmp_path: Path) -> None:
    before = Store(tmp_path / "state.db")
    kept = before.create("ConfigMap", config_map("a", key="one"))
    before.create("ConfigMap", config_map("b"))
    before.delete("ConfigMap", "default", "b")
    last = before.resource_version
    before.close()

    after = Store(tmp_path / "state.db")

    assert after.get("ConfigMap", "default", "a") == kept
    assert after.find("ConfigMap", "default", "b") is None
    assert after.resource_version > last
    with pytest.raises(StoreError) as error:
        after.watch("ConfigMap", last)
    assert error.value.status == 410
    after.close()


@pytest.mark.asyncio
async def test_writes_reach_the_disk_without_a_clean_end(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.create("ConfigMap", config_map("a", key="one"))

    await asyncio.sleep(0.3)

    other = Store(tmp_path / "state.db")
    assert other.get("ConfigMap", "default", "a")["data"] == {"key": "one"}
    other.close()
    store.close()
