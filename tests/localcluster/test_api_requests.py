"""Requests over TLS: verbs, options and errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from k8s_bridge.localcluster.errors import bad_request
from k8s_bridge.localcluster.events import drop_old_events
from k8s_bridge.localcluster.logs import LogOptions
from tests.localcluster.apistand import Api, config_map, deployment, job, pod, running_api

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


_closed = threading.Event()


async def _echo(pod: dict[str, Any], options: LogOptions) -> AsyncIterator[bytes]:
    if options.container == "nobody":
        raise bad_request("container nobody is not valid for pod p")
    if pod["metadata"]["name"] == "silent":
        try:
            await asyncio.Event().wait()
        finally:
            _closed.set()
    yield f"{pod['metadata']['name']} {options.tail_lines} {options.follow} {options.since_time}\n".encode()
    yield b"end\n"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api"), logs=_echo) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(api: Api) -> Iterator[None]:
    yield

    def clear() -> None:
        for kind in ("ConfigMap", "Event", "Job", "Deployment", "Service", "Secret", "PersistentVolumeClaim"):
            for obj in api.store.list(kind)[0]:
                api.store.delete(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
        for obj in api.store.list("Pod")[0]:
            api.store.remove("Pod", obj["metadata"]["namespace"], obj["metadata"]["name"])

    api.call(clear)


def test_the_official_client_makes_reads_changes_and_deletes(api: Api) -> None:
    core = client.CoreV1Api(api.client())
    made = core.create_namespaced_config_map("default", config_map("a", key="one"))

    core.patch_namespaced_config_map("a", "default", {"data": {"more": "two"}})
    read = core.read_namespaced_config_map("a", "default")
    read.data = {"only": "three"}
    written = core.replace_namespaced_config_map("a", "default", read)
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("a", "default", made)
    gone = core.delete_namespaced_config_map("a", "default")

    assert written.data == {"only": "three"}
    assert stale.value.status == 409
    assert gone["status"] == "Success"


@pytest.mark.parametrize(
    ("media", "body", "data"),
    [
        ("application/merge-patch+json", {"data": {"a": None, "c": "3"}}, {"b": "2", "c": "3"}),
        ("application/strategic-merge-patch+json", {"data": {"a": "9"}}, {"a": "9", "b": "2"}),
        ("application/json-patch+json", [{"op": "remove", "path": "/data/b"}], {"a": "1"}),
    ],
)
def test_each_patch_format_is_chosen_by_its_media_type(api: Api, media: str, body: Any, data: dict[str, str]) -> None:
    api.send("POST", MAPS, config_map("a", a="1", b="2"))

    answer = api.send("PATCH", f"{MAPS}/a", body, headers={"Content-Type": media})

    assert answer.status_code == 200
    assert answer.json()["data"] == data


def test_bodies_may_be_json_without_a_type_or_yaml(api: Api) -> None:
    text = "metadata:\n  name: b\n  annotations: {day: 2030-01-31}\ndata: {k: v}\n"

    plain = api.send("POST", MAPS, config_map("a"))
    yaml = api.send("POST", MAPS, text, headers={"Content-Type": "application/yaml"})

    assert plain.status_code == 201
    assert yaml.json()["metadata"]["annotations"] == {"day": "2030-01-31"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "reason"),
    [
        ("GET", f"{PODS}/no", None, {}, 404, "NotFound"),
        ("GET", "/api/v1/replicationcontrollers", None, {}, 404, "NotFound"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/roles", None, {}, 404, "NotFound"),
        ("GET", "/nowhere", None, {}, 404, "NotFound"),
        ("GET", "/api/v1/pods/a", None, {}, 404, "NotFound"),
        ("POST", f"{PODS}/a/exec", None, {}, 404, "NotFound"),
        ("GET", f"{PODS}/a/portforward", None, {}, 404, "NotFound"),
        ("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("a"), {}, 404, "NotFound"),
        ("POST", "/api/v1/pods", pod("a"), {}, 405, "MethodNotAllowed"),
        ("PUT", PODS, pod("a"), {}, 405, "MethodNotAllowed"),
        ("POST", f"{PODS}/a", pod("a"), {}, 405, "MethodNotAllowed"),
        ("POST", "/version", {}, {}, 405, "MethodNotAllowed"),
        ("DELETE", "/api/v1/namespaces", None, {}, 405, "MethodNotAllowed"),
        ("GET", PODS, None, {"Accept": "application/vnd.kubernetes.protobuf"}, 406, "NotAcceptable"),
        ("POST", PODS, "x", {"Content-Type": "application/vnd.kubernetes.protobuf"}, 415, "UnsupportedMediaType"),
        ("PATCH", f"{PODS}/a", {}, {"Content-Type": "application/apply-patch+yaml"}, 415, "UnsupportedMediaType"),
        ("PATCH", f"{PODS}/a", {}, {}, 415, "UnsupportedMediaType"),
        ("POST", PODS, "{", {}, 400, "BadRequest"),
        ("POST", PODS, "[" * 100_000, {}, 400, "BadRequest"),
        ("POST", PODS, "a: [", {"Content-Type": "application/yaml"}, 400, "BadRequest"),
        ("POST", PODS, '{"a": NaN}', {}, 400, "BadRequest"),
        ("POST", PODS, "[]", {}, 400, "BadRequest"),
        ("POST", PODS, None, {}, 400, "BadRequest"),
        ("POST", PODS, config_map("a"), {}, 400, "BadRequest"),
        ("POST", PODS, {**pod("a"), "apiVersion": "v2"}, {}, 400, "BadRequest"),
        ("POST", MAPS, {"metadata": {"name": "a", "namespace": "other"}}, {}, 400, "BadRequest"),
        ("POST", MAPS, {"metadata": {"name": "a", "resourceVersion": "1"}}, {}, 400, "BadRequest"),
        ("POST", f"{MAPS}?dryRun=Some", config_map("a"), {}, 400, "BadRequest"),
        ("POST", f"{MAPS}?fieldValidation=Odd", config_map("a"), {}, 400, "BadRequest"),
        ("POST", MAPS, "x" * (3 * 1024 * 1024 + 1), {}, 413, "RequestEntityTooLarge"),
        ("POST", MAPS, {"metadata": {"name": "A"}}, {}, 422, "Invalid"),
        ("GET", f"{PODS}?limit=-1", None, {}, 400, "BadRequest"),
        ("GET", f"{PODS}?labelSelector=a+in+b", None, {}, 400, "BadRequest"),
        ("GET", f"{PODS}?fieldSelector=spec.x%3D1", None, {}, 400, "BadRequest"),
        ("GET", f"{PODS}?continue=old", None, {}, 410, "Expired"),
        ("GET", f"{PODS}?resourceVersion=999999999", None, {}, 504, "Timeout"),
        ("GET", f"{PODS}?resourceVersion=1&resourceVersionMatch=Exact", None, {}, 410, "Expired"),
        ("GET", f"{PODS}?watch=true&sendInitialEvents=true", None, {}, 422, "Invalid"),
        ("DELETE", "/api/v1/namespaces/default", None, {}, 403, "Forbidden"),
        ("DELETE", f"{MAPS}/no", None, {}, 404, "NotFound"),
    ],
)
def test_errors_are_status_objects(
    api: Api, method: str, path: str, body: Any, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = api.send(method, path, body, headers=headers)

    found = answer.json()
    assert (answer.status_code, found["kind"], found["status"]) == (status, "Status", "Failure")
    assert (found["code"], found["reason"]) == (status, reason)
    assert found["message"]


def test_a_rehearsal_changes_nothing(api: Api) -> None:
    api.send("POST", MAPS, config_map("kept", a="1"))
    before = api.send("GET", MAPS).json()

    made = api.send("POST", f"{MAPS}?dryRun=All", config_map("new"))
    twice = api.send("POST", f"{MAPS}?dryRun=All", config_map("kept"))
    put = api.send("PUT", f"{MAPS}/kept?dryRun=All", config_map("kept", a="2"))
    gone = api.send("DELETE", f"{MAPS}/kept?dryRun=All")
    all_gone = api.send("DELETE", f"{MAPS}?dryRun=All")

    assert [made.status_code, twice.status_code, gone.status_code, all_gone.status_code] == [201, 409, 200, 200]
    assert put.json()["data"] == {"a": "2"}
    assert api.send("GET", MAPS).json() == before


def test_a_put_checks_the_name_and_needs_the_object(api: Api) -> None:
    api.send("POST", MAPS, config_map("a"))

    assert api.send("PUT", f"{MAPS}/a", config_map("b")).status_code == 400
    assert api.send("PUT", f"{MAPS}/b", config_map("b")).status_code == 404


def test_status_is_a_part_of_its_own(api: Api) -> None:
    made = api.send("POST", JOBS, {**job("a"), "status": {"active": 5}}).json()

    spec = api.send("PUT", f"{JOBS}/a", {**made, "status": {"active": 6}}).json()
    status = api.send("PUT", f"{JOBS}/a/status", {**made, "spec": {}, "status": {"active": 7}}).json()
    patched = api.send(
        "PATCH",
        f"{JOBS}/a/status",
        {"status": {"succeeded": 1}},
        headers={"Content-Type": "application/merge-patch+json"},
    ).json()

    assert made["status"] == {}
    assert spec["status"] == {}
    assert status["status"] == {"active": 7}
    assert status["spec"] == made["spec"]
    assert patched["status"] == {"active": 7, "succeeded": 1}
    assert api.send("GET", f"{JOBS}/a/status").json() == patched


def test_a_deployment_is_scaled_through_its_part(api: Api) -> None:
    api.send("POST", DEPLOYMENTS, deployment("a"))
    apps = client.AppsV1Api(api.client())

    apps.patch_namespaced_deployment_scale("a", "default", {"spec": {"replicas": 4}})
    scale = apps.read_namespaced_deployment_scale("a", "default")
    scale.spec.replicas = 2
    scaled = apps.replace_namespaced_deployment_scale("a", "default", scale)

    assert scaled.spec.replicas == 2
    assert scaled.status.selector == "app=a"
    assert apps.read_namespaced_deployment("a", "default").metadata.generation == 3


@pytest.mark.parametrize(
    ("query", "body", "left", "warned"),
    [
        ("", None, ["orphan"], True),
        ("?propagationPolicy=Background", None, None, False),
        ("?propagationPolicy=Foreground", None, ["foregroundDeletion"], False),
        ("", {"propagationPolicy": "Foreground"}, ["foregroundDeletion"], False),
        ("?propagationPolicy=Foreground", {"propagationPolicy": "Background"}, None, False),
        ("?orphanDependents=false", None, None, False),
    ],
)
def test_how_a_job_is_deleted(api: Api, query: str, body: Any, left: list[str] | None, warned: bool) -> None:
    made = api.send("POST", JOBS, job("a")).json()

    answer = api.send("DELETE", f"{JOBS}/a{query}", body)

    found = api.call(lambda: api.store.find("Job", "default", "a"))
    assert answer.status_code == 200
    assert (found["metadata"]["finalizers"] if found else None) == left
    assert answer.json()["kind"] == ("Status" if left is None else "Job")
    assert ("child pods are preserved" in answer.headers.get("Warning", "")) is warned
    if found:
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
        api.call(lambda: api.store.update("Job", {**found, "metadata": {**found["metadata"], "finalizers": []}}))


def test_a_delete_obeys_its_preconditions(api: Api) -> None:
    made = api.send("POST", MAPS, config_map("a")).json()["metadata"]

    wrong = api.send("DELETE", f"{MAPS}/a", {"preconditions": {"uid": "another"}})
    stale = api.send("DELETE", f"{MAPS}/a", {"preconditions": {"resourceVersion": "1"}})
    right = api.send("DELETE", f"{MAPS}/a", {"preconditions": {"uid": made["uid"]}})

    assert [wrong.status_code, stale.status_code, right.status_code] == [409, 409, 200]


def test_a_deleted_pod_is_returned_with_the_time_it_has(api: Api) -> None:
    api.send("POST", PODS, pod("a"))

    answer = api.send("DELETE", f"{PODS}/a?gracePeriodSeconds=7").json()

    assert answer["kind"] == "Pod"
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 7
    assert answer["metadata"]["deletionTimestamp"]


def test_nothing_new_enters_a_terminating_namespace(api: Api) -> None:
    core = client.CoreV1Api(api.client())
    core.create_namespace({"metadata": {"name": "going"}})

    answer = core.delete_namespace("going")
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_config_map("going", config_map("a"))
    api.call(lambda: api.store.remove("Namespace", None, "going"))

    assert answer["status"] == {"phase": "Terminating"}
    assert refused.value.status == 403
    assert "because it is being terminated" in refused.value.body


def test_a_collection_is_deleted_by_selector_and_returned(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.send("POST", JOBS, job(name))
    batch = client.BatchV1Api(api.client())

    answer = api.send("DELETE", f"{JOBS}?labelSelector=app%3Da&propagationPolicy=Background").json()
    batch.delete_collection_namespaced_job("default", label_selector="app=b", propagation_policy="Background")
    left = batch.list_namespaced_job("default")

    assert (answer["kind"], [item["metadata"]["name"] for item in answer["items"]]) == ("JobList", ["a"])
    assert [item.metadata.name for item in left.items] == ["c"]


def test_a_paged_list_is_one_state(api: Api) -> None:
    for number in range(5):
        api.send("POST", MAPS, config_map(f"m{number}"))

    first = api.send("GET", f"{MAPS}?limit=2").json()
    api.send("DELETE", f"{MAPS}/m3")
    second = api.send("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}").json()
    third = api.send("GET", f"{MAPS}?limit=2&continue={second['metadata']['continue']}").json()

    names = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert names == ["m0", "m1", "m2", "m3", "m4"]
    assert first["metadata"]["remainingItemCount"] == 3
    assert "continue" not in third["metadata"]
    assert len({page["metadata"]["resourceVersion"] for page in (first, second, third)}) == 1


def test_an_empty_list_has_items_and_a_version(api: Api) -> None:
    answer = api.send("GET", "/api/v1/secrets").json()

    assert (answer["kind"], answer["apiVersion"], answer["items"]) == ("SecretList", "v1", [])
    assert answer["metadata"]["resourceVersion"].isdecimal()


def test_tables_and_metadata_are_given_to_who_asks(api: Api) -> None:
    api.send("POST", MAPS, config_map("a", x="1", y="2"))

    table = api.send("GET", MAPS, headers={"Accept": TABLE}).json()
    one = api.send("GET", f"{MAPS}/a", headers={"Accept": TABLE}).json()
    partial = api.send(
        "GET", MAPS, headers={"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    ).json()

    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 2]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert one["rows"][0]["cells"][0] == "a"
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}


def test_warnings_name_unknown_fields(api: Api) -> None:
    answer = api.send("POST", f"{MAPS}?fieldValidation=Warn", {**config_map("a"), "dta": {}})
    strict = api.send("POST", f"{MAPS}?fieldValidation=Strict", {**config_map("b"), "dta": {}})

    assert answer.headers["Warning"] == '299 - "unknown field \\"dta\\""'
    assert strict.status_code == 400


def test_logs_are_streamed_with_their_options(api: Api) -> None:
    core = client.CoreV1Api(api.client())
    core.create_namespaced_pod("default", pod("p"))

    text = core.read_namespaced_pod_log("p", "default", tail_lines=3)
    raw = api.send("GET", f"{PODS}/p/log?sinceTime=2030-01-01T00:00:00Z&follow=true")
    unknown = api.send("GET", f"{PODS}/p/log?container=nobody")
    missing = api.send("GET", f"{PODS}/no/log")
    both = api.send("GET", f"{PODS}/p/log?sinceTime=2030-01-01T00:00:00Z&sinceSeconds=1")

    assert text == "p 3 False None\nend\n"
    assert raw.text == "p None True 2030-01-01 00:00:00+00:00\nend\n"
    assert raw.headers["Content-Type"] == "text/plain"
    assert [unknown.status_code, missing.status_code, both.status_code] == [400, 404, 422]


def test_a_log_that_nobody_reads_any_more_is_closed(api: Api) -> None:
    core = client.CoreV1Api(api.client())
    core.create_namespaced_pod("default", pod("silent"))

    with api.session.get(f"{api.url}{PODS}/silent/log?follow=true", stream=True, timeout=10) as answer:
        assert answer.status_code == 200

    assert _closed.wait(5)


def test_the_service_keeps_the_address_it_was_given(api: Api) -> None:
    path = "/api/v1/namespaces/default/services"
    spec = {"ports": [{"port": 80}], "selector": {"a": "b"}}
    api.send("POST", path, {"metadata": {"name": "s"}, "spec": {**spec, "clusterIP": "127.1.2.3"}})

    kept = api.send("PUT", f"{path}/s", {"metadata": {"name": "s"}, "spec": spec})
    moved = api.send("PUT", f"{path}/s", {"metadata": {"name": "s"}, "spec": {**spec, "clusterIP": "127.9.9.9"}})

    assert kept.json()["spec"]["clusterIP"] == "127.1.2.3"
    assert moved.status_code == 422


def test_old_events_are_dropped(api: Api) -> None:
    about = {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}}
    events = "/api/v1/namespaces/default/events"
    api.send("POST", events, {"metadata": {"name": "old"}, "lastTimestamp": "2020-01-01T00:00:00Z", **about})
    soon = datetime.now(UTC) + timedelta(hours=1)
    api.send("POST", events, {"metadata": {"name": "new"}, "lastTimestamp": soon.isoformat(), **about})

    api.call(lambda: drop_old_events(api.store, datetime.now(UTC)))

    found = api.send("GET", f"{events}?fieldSelector=involvedObject.name%3Dp,involvedObject.kind%3DPod").json()
    assert [item["metadata"]["name"] for item in found["items"]] == ["new"]
