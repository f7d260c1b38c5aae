"""Watch streams, read raw and with the official client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, watch

from k8s_bridge.localcluster.store import clone
from tests.localcluster.apistand import Api, config_map, running_api

MAPS = "/api/v1/namespaces/default/configmaps"
INITIAL = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


@pytest.fixture
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api")) as running:
        yield running


def _labelled(name: str, **labels: str) -> dict[str, Any]:
    return {**config_map(name), "metadata": {"name": name, "labels": labels}}


def _relabel(api: Api, name: str, **labels: str) -> None:
    def change() -> None:
        obj = clone(api.store.get("ConfigMap", "default", name))
        obj["metadata"]["labels"] = labels
        api.store.update("ConfigMap", obj)

    api.call(change)


def test_a_watch_goes_on_where_a_list_ended(api: Api) -> None:
    core = client.CoreV1Api(api.client())
    core.create_namespaced_config_map("default", config_map("before"))
    version = core.list_namespaced_config_map("default").metadata.resource_version
    core.create_namespaced_config_map("default", config_map("a"))
    core.patch_namespaced_config_map("a", "default", {"data": {"k": "v"}})
    core.delete_namespaced_config_map("a", "default")

    seen = [
        (event["type"], event["object"].metadata.name)
        for event in watch.Watch().stream(
            core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=1
        )
    ]

    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


@pytest.mark.parametrize("version", ["", "0"])
def test_a_watch_without_a_version_starts_with_what_is_there(api: Api, version: str) -> None:
    api.send("POST", MAPS, config_map("a"))

    lines = api.lines(f"{MAPS}?watch=true&timeoutSeconds=1&resourceVersion={version}", 1)

    assert [(line["type"], line["object"]["metadata"]["name"]) for line in lines] == [("ADDED", "a")]


def test_events_arrive_while_the_watch_is_open(api: Api) -> None:
    timer = threading.Timer(0.3, lambda: api.call(lambda: api.store.create("ConfigMap", config_map("late"))))
    timer.start()

    lines = api.lines(f"{MAPS}?watch=true&timeoutSeconds=5", 1)

    timer.join()
    assert lines[0]["object"]["metadata"]["name"] == "late"


def test_a_selector_turns_changes_into_coming_and_going(api: Api) -> None:
    start = api.send("POST", MAPS, _labelled("a", app="x")).json()["metadata"]["resourceVersion"]
    _relabel(api, "a", app="x", more="1")
    _relabel(api, "a", app="y")
    _relabel(api, "a", app="z")
    _relabel(api, "a", app="x")
    api.call(lambda: api.store.delete("ConfigMap", "default", "a"))

    lines = api.lines(f"{MAPS}?watch=true&timeoutSeconds=1&labelSelector=app%3Dx&resourceVersion={start}", 4)

    assert [line["type"] for line in lines] == ["MODIFIED", "DELETED", "ADDED", "DELETED"]


def test_a_watch_sees_only_its_namespace_and_name(api: Api) -> None:
    start = api.send("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}}).json()["metadata"][
        "resourceVersion"
    ]
    api.send("POST", "/api/v1/namespaces/other/configmaps", config_map("a"))
    api.send("POST", MAPS, config_map("b"))
    api.send("POST", MAPS, config_map("a"))

    both = api.lines(f"/api/v1/configmaps?watch=true&resourceVersion={start}", 3)
    one = api.lines(f"{MAPS}?watch=true&resourceVersion={start}&fieldSelector=metadata.name%3Da", 1)

    assert [line["object"]["metadata"]["namespace"] for line in both] == ["other", "default", "default"]
    assert one[0]["object"]["metadata"] == both[2]["object"]["metadata"]


@pytest.mark.parametrize("version", ["0001", "999999999"])
def test_an_unknown_version_is_an_error_event_410(api: Api, version: str) -> None:
    # The store keeps at least 2000 events of a kind.
    def many() -> None:
        for number in range(4100):
            api.store.create("ConfigMap", config_map(f"m{number}"))

    api.call(many)

    lines = api.lines(f"{MAPS}?watch=true&resourceVersion={version}", 1)

    assert lines[0]["type"] == "ERROR"
    assert (lines[0]["object"]["code"], lines[0]["object"]["reason"]) == (410, "Expired")


def test_the_initial_events_end_with_a_marked_bookmark(api: Api) -> None:
    api.send("POST", MAPS, config_map("a"))
    api.send("POST", MAPS, config_map("b"))

    lines = api.lines(f"{MAPS}?{INITIAL}&timeoutSeconds=3", 3)

    assert [line["type"] for line in lines] == ["ADDED", "ADDED", "BOOKMARK"]
    mark = lines[2]["object"]
    assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark["kind"] == "ConfigMap"
    later = api.send("POST", MAPS, config_map("c")).json()
    follow = api.lines(f"{MAPS}?watch=true&resourceVersion={mark['metadata']['resourceVersion']}", 1)
    assert follow[0]["object"] == later


def test_a_watch_that_times_out_leaves_a_bookmark(api: Api) -> None:
    api.send("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})

    lines = api.lines(f"{MAPS}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true", 5)

    assert [line["type"] for line in lines] == ["BOOKMARK"]
    assert lines[0]["object"]["metadata"]["resourceVersion"] == str(api.call(lambda: api.store.resource_version))


def test_a_table_watch_names_its_columns_once(api: Api) -> None:
    api.send("POST", MAPS, config_map("a"))
    api.send("POST", MAPS, config_map("b"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"

    lines = api.lines(f"{MAPS}?watch=true", 2, headers={"Accept": accept})

    assert [line["object"]["rows"][0]["cells"][0] for line in lines] == ["a", "b"]
    assert [len(line["object"]["columnDefinitions"]) for line in lines] == [3, 0]


def test_many_watchers_see_every_event_in_order(api: Api) -> None:
    start = api.call(lambda: api.store.resource_version)
    results: list[list[str]] = []

    def follow() -> None:
        session_lines = api.lines(f"{MAPS}?watch=true&resourceVersion={start}", 100)
        results.append([line["object"]["metadata"]["name"] for line in session_lines])

    threads = [threading.Thread(target=follow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(100):
        api.call(lambda number=number: api.store.create("ConfigMap", config_map(f"m{number:03}")))  # type: ignore[misc]
    for thread in threads:
        thread.join(10)

    assert results == [[f"m{number:03}" for number in range(100)]] * 8
