"""The gateway's lists, watches, logs and warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8s_bridge import errors
from k8s_bridge.gateway import Gateway
from k8s_bridge.log_verbs import MOST_READ
from k8s_bridge.results import WarningEvent
from k8s_bridge.specs import Owner
from tests.unit.k8s_bridge.scripts import (
    OURS,
    PODS,
    Json,
    listing,
    owned,
    shows,
)

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call, ScriptedCluster


def test_a_long_listing_is_read_page_by_page(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    cluster.script(
        "GET /apis/batch/v1/jobs", listing(owned("a", "a", owner), token="t1"), listing(owned("b", "b", owner))
    )

    found = [item["metadata"]["name"] for item in gateway.list_owned("Job")]

    assert found == ["a", "b"]
    assert [call.query.get("continue") for call in cluster.calls] == [None, "t1"]
    assert {(call.query["limit"], call.query["labelSelector"]) for call in cluster.calls} == {("500", OURS)}


def test_a_listing_starts_over_when_its_token_expired(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    cluster.script(
        "GET /apis/batch/v1/jobs",
        listing(owned("gone", "gone", owner), owned("a", "a", owner), token="t1", version="5"),
        lambda call: call.refuse(410, "Expired"),
        listing(owned("a", "a", owner), owned("b", "b", owner), version="7"),
    )

    items, version = gateway.list_for_watch("Job")

    assert [item["metadata"]["name"] for item in items] == ["a", "b"]  # what was deleted in between is not among them
    assert version == "7"


def test_a_listing_that_always_expires_ends_in_an_error(
    cluster: ScriptedCluster, gateway: Gateway, owner: Owner
) -> None:
    def step(call: Call) -> None:
        if "continue" in call.query:
            call.refuse(410, "Expired")
        else:
            call.answer(200, {"metadata": {"continue": "t"}, "items": []})

    cluster.script("GET /apis/batch/v1/jobs", step)

    with pytest.raises(errors.Expired):
        list(gateway.list_owned("Job"))


def test_a_watch_asks_for_bookmarks_from_a_version(cluster: ScriptedCluster, gateway: Gateway) -> None:
    def events(call: Call) -> None:
        call.start_stream()
        call.event("ADDED", {"metadata": {"name": "a"}})
        call.event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})

    cluster.script("GET /apis/batch/v1/jobs?watch", events)

    with gateway.watch("Job", "42", 240) as watch:
        first = next(watch)
        with pytest.raises(errors.Expired, match="too old"):
            next(watch)

    assert first == ("ADDED", {"metadata": {"name": "a"}})
    assert cluster.calls[0].query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "labelSelector": OURS,
        "resourceVersion": "42",
        "timeoutSeconds": "240",
    }


@pytest.mark.parametrize("line", [b"nonsense\n", b"{}\n", b'{"type": "ADDED"}\n', b"[]\n"])
def test_a_watch_that_sends_nonsense_is_in_trouble(cluster: ScriptedCluster, gateway: Gateway, line: bytes) -> None:
    def events(call: Call) -> None:
        call.start_stream()
        call.chunk(line)
        call.end_stream()

    cluster.script("GET /api/v1/pods?watch", events)

    with gateway.watch("Pod", "1", 5) as watch, pytest.raises(errors.ServerTrouble, match="what is no event"):
        next(watch)


def test_logs_are_asked_for_as_the_caller_wants(cluster: ScriptedCluster, gateway: Gateway, owner: Owner) -> None:
    pod = owned("a.1", "p1", owner, creationTimestamp="2026-03-01T09:00:00Z")
    pod |= {"spec": {"containers": [{"name": "main-app"}]}, "status": {"phase": "Running"}}
    cluster.script(f"GET {PODS}", listing(pod))
    cluster.script(f"GET {PODS}/a.1/log", lambda call: call.answer(200, "é\n".encode() + b"\xff"))

    plain = gateway.pod_logs("secflow-p1", "a")
    full = gateway.pod_logs(
        "secflow-p1", "a", container="Main App", tail_lines=5, previous=True, timestamps=True, limit_bytes=9
    )

    assert (plain.pod_name, plain.container, plain.text) == ("a.1", "main-app", "é\n\ufffd")
    assert full == plain
    assert cluster.calls[0].query["labelSelector"] == f"app=a,{OURS}"
    assert [call.query for call in cluster.calls if call.path.endswith("/log")] == [
        {"container": "main-app", "limitBytes": str(MOST_READ)},
        {
            "container": "main-app",
            "tailLines": "5",
            "previous": "true",
            "timestamps": "true",
            "limitBytes": str(MOST_READ),
        },
    ]


def test_no_pod_means_no_logs(cluster: ScriptedCluster, gateway: Gateway) -> None:
    cluster.script(f"GET {PODS}", listing())

    with pytest.raises(errors.NotFound, match="There is no pod of a in secflow-p1"):
        gateway.pod_logs("secflow-p1", "a")


def test_a_log_that_the_node_lost_is_not_taken_for_text(
    cluster: ScriptedCluster, gateway: Gateway, owner: Owner
) -> None:
    pod = owned("a.1", "p1", owner) | {"spec": {"containers": [{"name": "main"}]}, "status": {"phase": "Failed"}}
    cluster.script(f"GET {PODS}", listing(pod))
    said = b"unable to retrieve container logs for containerd://465492"
    cluster.script(f"GET {PODS}/a.1/log", lambda call: call.answer(200, said))

    with pytest.raises(errors.NotFound, match="is gone"):
        gateway.pod_logs("secflow-p1", "a")


def test_warnings_come_oldest_first(cluster: ScriptedCluster, gateway: Gateway) -> None:
    def event(at: str | None, reason: str, **more: Any) -> Json:
        return {
            "metadata": {"creationTimestamp": "2026-03-01T08:00:00Z"},
            "involvedObject": {"kind": "Pod", "name": "p"},
            "reason": reason,
            "message": "m",
            "lastTimestamp": at,
            **more,
        }

    cluster.script(
        "GET /api/v1/namespaces/n/events", listing(event("2026-03-01T09:00:00Z", "B", count=3), event(None, "A"))
    )

    found = gateway.warning_events("n", "p")

    assert found == (
        WarningEvent("Pod", "p", "A", "m", 1, "2026-03-01T08:00:00Z"),
        WarningEvent("Pod", "p", "B", "m", 3, "2026-03-01T09:00:00Z"),
    )
    assert cluster.calls[0].query["fieldSelector"] == "involvedObject.name=p,type=Warning"


def test_warnings_about_all_objects_of_a_kind_are_one_list(cluster: ScriptedCluster, gateway: Gateway) -> None:
    def event(name: str, at: str) -> Json:
        involved = {"kind": "Job", "name": name}
        return {
            "metadata": {},
            "involvedObject": involved,
            "reason": "FailedCreate",
            "message": at,
            "lastTimestamp": at,
        }

    cluster.script("GET /api/v1/namespaces/n/events", listing(event("a", "2"), event("b", "1"), event("a", "1")))

    found = gateway.warnings_about("n", "Job")

    assert {name: [warning.message for warning in told] for name, told in found.items()} == {
        "a": ["1", "2"],
        "b": ["1"],
    }
    assert [call.query["fieldSelector"] for call in cluster.calls] == ["involvedObject.kind=Job,type=Warning"]


def test_check_names_version_and_server(cluster: ScriptedCluster, gateway: Gateway) -> None:
    cluster.script("GET /version", shows({"gitVersion": "v1.34.4"}))

    version = gateway.check()

    assert (version.version, version.server) == ("v1.34.4", cluster.url)


@pytest.mark.parametrize(
    ("text", "most", "end"),
    [
        (b"one\ntwo\n", 8, "one\ntwo\n"),
        (b"one\ntwo\n", 7, "two\n"),
        (b"one\ntwo\n", 5, "two\n"),
        (b"one\ntwo\n", 4, "two\n"),  # the cut is between two lines
        (b"one\ntwo\n", 3, "wo\n"),  # not even one whole line
        (b"one\nlast", 5, "last"),
        (b"x" * 300_000 + b"\n" + b"y" * 300_000 + b"\nlast\n", 1000, "y" * 994 + "\nlast\n"),
        (b"".join(b"%06d\n" % number for number in range(100_000)), 20, "099998\n099999\n"),
    ],
    ids=["whole", "cut", "further", "between", "inside", "open", "long-line", "long"],
)
def test_of_a_long_log_the_end_is_given(
    cluster: ScriptedCluster, gateway: Gateway, text: bytes, most: int, end: str
) -> None:
    cluster.script(f"GET {PODS}/a/log", lambda call: call.answer(200, text))

    assert gateway.read_log("secflow-p1", "a", "main", limit_bytes=most).text == end
