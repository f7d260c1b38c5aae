"""Following the journal: portions for those who ask, and streams (docs/events.md)."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from secflow.projects.models import ProjectMember
from tests.api.conftest import BASE, Api
from tests.engine import eventually
from tests.factories import InstanceFactory, ProjectMemberFactory, UserFactory
from tests.following import PATIENCE, Stream, following
from workflows.feed import answers, streams
from workflows.feed.reader import reader
from workflows.feed.streams import has_left
from workflows.models import WorkflowInstance
from workflows.services.journal import Entry, append

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_streams_left")]
KEYS = {
    *("cursor", "instance_id", "sequence", "project_id", "kind", "node_id", "run_number", "actor", "message", "data"),
    "created_at",
}


def happens(instance: WorkflowInstance, *kinds: str, **fields: Any) -> None:
    """The journal gets these entries."""
    with transaction.atomic():
        append(instance, *[Entry(kind, "1", **fields) for kind in kinds])


def kinds(answer: Any) -> list[str]:
    return [item["kind"] for item in answer["items"]]


@pytest.fixture
def instance(transactional_db: None) -> WorkflowInstance:
    return InstanceFactory()


def test_who_starts_now_is_given_a_cursor_and_then_what_happens(member: Api, instance: WorkflowInstance) -> None:
    happens(instance, "instance.created")

    start = member.read("/events")
    happens(instance, "run.accepted", "node.succeeded", message="<b>", run_number=4, data={"a": 1})
    answer = member.read(f"/events?after={start['cursor']}")
    end = member.read(f"/events?after={answer['cursor']}")

    assert start["items"] == []
    assert kinds(answer) == ["run.accepted", "node.succeeded"]
    assert end["items"] == []
    event = answer["items"][1]
    assert set(event) == KEYS
    assert event | {"cursor": "", "created_at": ""} == {
        "cursor": "",
        "instance_id": instance.pk,
        "sequence": 3,
        "project_id": "p1",
        "kind": "node.succeeded",
        "node_id": None,
        "run_number": 4,
        "actor": "1",
        "message": "<b>",
        "data": {"a": 1},
        "created_at": "",
    }


def test_the_beginning_is_zero_and_portions_follow_each_other(member: Api, instance: WorkflowInstance) -> None:
    happens(instance, *[f"test.number_{number}" for number in range(5)])

    cursor, seen = "0", []
    for _ in range(3):
        answer = member.read(f"/events?after={cursor}&limit=2")
        cursor = answer["cursor"]
        seen += kinds(answer)

    assert seen == [f"test.number_{number}" for number in range(5)]
    assert member.call("GET", "/events?limit=1", **{"Last-Event-ID": "0"}).json()["items"]


def test_only_what_the_caller_may_read_is_shown(
    member: Api, stranger: Api, admin: Api, instance: WorkflowInstance
) -> None:
    own = InstanceFactory(project_id="p3", created_by=stranger.user_id)
    happens(instance, "test.p1")
    happens(InstanceFactory(project_id="p2"), "test.p2")
    happens(own, "test.own")

    assert kinds(member.read("/events?after=0")) == ["test.p1"]
    assert kinds(stranger.read("/events?after=0")) == ["test.p2", "test.own"]
    assert kinds(admin.read("/events?after=0")) == ["test.p1", "test.p2", "test.own"]


def test_the_creator_still_sees_the_end_of_what_is_gone(stranger: Api, member: Api) -> None:
    gone = InstanceFactory(project_id="p3", created_by=stranger.user_id)
    with transaction.atomic():
        append(gone, Entry("instance.created", str(stranger.user_id)), Entry("instance.deleted", "2"))
    gone.delete()

    assert kinds(stranger.read("/events?after=0")) == ["instance.created", "instance.deleted"]
    assert member.read("/events?after=0")["items"] == []


def test_filters(admin: Api, instance: WorkflowInstance) -> None:
    happens(instance, "test.first")
    happens(InstanceFactory(), "test.same_project")
    happens(InstanceFactory(project_id="p2"), "test.other_project")

    assert kinds(admin.read("/events?after=0&project_id=p2")) == ["test.other_project"]
    assert kinds(admin.read("/events?after=0&project_id=p1")) == ["test.first", "test.same_project"]
    assert kinds(admin.read(f"/events?after=0&instance_id={instance.pk}")) == ["test.first"]
    assert len(admin.read("/events?after=0&project_id=all")["items"]) == 3


def test_far_away_events_are_found_in_bounded_portions(
    member: Api, instance: WorkflowInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PORTIONS", 1)
    happens(InstanceFactory(project_id="p2"), *["test.other"] * 1000)
    happens(instance, "test.mine")

    first = member.read("/events?after=0")
    second = member.read(f"/events?after={first['cursor']}")

    assert (kinds(first), kinds(second)) == ([], ["test.mine"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=x", "after"),
        ("after=1", "after"),
        ("after=1-", "after"),
        ("after=1-9999999999999999999", "after"),
        ("after=-1-0", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("wait=21", "wait"),
        ("wait=-1", "wait"),
    ],
)
def test_bad_parameters_are_refused(member: Api, query: str, field: str) -> None:
    refusal = member.refused("GET", f"/events?{query}", status=400)

    assert [item["field"] for item in refusal["details"]["fields"]] == [field]


def test_a_cursor_from_before_a_restore_is_refused(member: Api) -> None:
    for headers in ({}, {"Accept": "text/event-stream"}):
        response = member.call("GET", "/events?after=900000000000000-1", **headers)
        assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")


def test_nobody_follows_without_a_token(anonymous: Api) -> None:
    anonymous.refused("GET", "/events", status=401)
    assert anonymous.call("GET", "/events", Accept="text/event-stream").status_code == 401


def test_asking_costs_few_queries_however_many_events(member: Api, instance: WorkflowInstance) -> None:
    happens(instance, *["test.event"] * 3)
    with CaptureQueriesContext(connection) as few:
        member.read("/events?after=0")
    happens(instance, *["test.event"] * 300)
    with CaptureQueriesContext(connection) as many:
        member.read("/events?after=0")

    assert len(many) == len(few) <= 5


def test_a_portion_is_waited_for(member: Api, instance: WorkflowInstance) -> None:
    cursor = member.read("/events")["cursor"]
    found: list[Any] = []

    def ask() -> None:
        found.append(member.read(f"/events?after={cursor}&wait=20"))
        connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: reader.listeners == 1)
    happens(InstanceFactory(project_id="p2"), "test.not_for_the_member")
    happens(instance, "test.waited_for")
    asking.join(PATIENCE)

    assert kinds(found[0]) == ["test.waited_for"]


def test_waiting_ends_without_an_event(member: Api) -> None:
    cursor = member.read("/events")["cursor"]

    assert member.read(f"/events?after={cursor}&wait=1")["items"] == []


def test_a_stream_brings_what_happens_as_it_happens(member: Api, instance: WorkflowInstance) -> None:
    happens(instance, "test.before")
    with following(member) as stream:
        happens(instance, "test.first", message="two\nlines \u2028 and ü")
        happens(InstanceFactory(project_id="p2"), "test.not_for_the_member")
        stream.until(lambda stream: len(stream.events) == 1)
        happens(instance, "test.second")
        stream.until(lambda stream: len(stream.events) == 2)

    assert [event["kind"] for event in stream.events] == ["test.first", "test.second"]
    assert stream.events[0]["message"] == "two\nlines \u2028 and ü"
    assert set(stream.events[0]) == KEYS
    assert stream.response["Content-Type"] == "text/event-stream"
    assert stream.response["X-Accel-Buffering"] == "no"
    assert "no-cache" in stream.response["Cache-Control"]
    assert stream.blocks[0] == "retry: 1000"


def test_a_stream_goes_on_where_the_last_one_was_cut(member: Api, instance: WorkflowInstance) -> None:
    happens(instance, *[f"test.number_{number}" for number in range(4)])
    with following(member, f"{BASE}/events?after=0") as first:
        first.until(lambda stream: len(stream.events) == 4)
    cursor = first.events[1]["cursor"]

    with following(member, f"{BASE}/events?after=0", **{"Last-Event-ID": cursor}) as second:
        happens(instance, "test.number_4")
        second.until(lambda stream: len(stream.events) == 3)

    assert [event["sequence"] for event in first.events[:2] + second.events] == [1, 2, 3, 4, 5]


def test_a_stream_far_behind_catches_up_without_a_gap(member: Api, instance: WorkflowInstance) -> None:
    for _ in range(3):
        happens(instance, *["test.event"] * 900)

    with following(member, f"{BASE}/events?after=0") as stream:
        stream.until(lambda stream: len(stream.events) == 2700)
        happens(instance, "test.last")
        stream.until(lambda stream: len(stream.events) == 2701)

    assert [event["sequence"] for event in stream.events] == list(range(1, 2702))


def test_a_stream_takes_the_filters(admin: Api, instance: WorkflowInstance) -> None:
    other = InstanceFactory()
    with following(admin, f"{BASE}/events?instance_id={instance.pk}") as stream:
        happens(other, "test.other")
        happens(instance, "test.wanted")
        stream.until(lambda stream: len(stream.events) == 1)

    assert [event["kind"] for event in stream.events] == ["test.wanted"]


def test_who_left_the_project_sees_no_more_of_it(
    member: Api, instance: WorkflowInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SCOPE_KEPT", 0.0)
    own = InstanceFactory(project_id="p3", created_by=member.user_id)
    ProjectMemberFactory(user_id="0")
    with following(member) as stream:
        happens(instance, "test.member")
        stream.until(lambda stream: len(stream.events) == 1)
        ProjectMember.objects.filter(user_id=member.user_id).delete()
        happens(instance, "test.not_any_more")
        happens(own, "test.own")
        stream.until(lambda stream: len(stream.events) == 2)

    assert [event["kind"] for event in stream.events] == ["test.member", "test.own"]


def test_a_token_that_is_worth_nothing_any_more_ends_the_stream(
    instance: WorkflowInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SCOPE_KEPT", 0.0)
    user = UserFactory(is_superuser=True)
    with following(Api(user)) as stream:
        user.is_active = False
        user.save()
        happens(instance, "test.not_for_it")
        stream.ended()

    assert stream.events == []


def test_a_quiet_stream_shows_that_it_is_alive_and_asks_for_the_token_again(
    member: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    monkeypatch.setattr(streams, "LOOK", 0.05)
    with following(member) as stream:
        stream.until(lambda stream: stream.blocks.count(": heartbeat") >= 2)
        monkeypatch.setattr(streams, "SCOPE_KEPT", 0.0)
        member_user = ProjectMember.objects.get(user_id=member.user_id).user_id
        UserFactory._meta.model.objects.filter(pk=member_user).update(is_active=False)
        stream.ended()


def test_a_stream_ends_by_itself_and_says_where_to_go_on(
    stranger: Api, instance: WorkflowInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    happens(instance, "test.not_for_the_stranger")
    monkeypatch.setattr(streams, "LIFE", 0.5)
    monkeypatch.setattr(streams, "LOOK", 0.05)

    stream = Stream(stranger, f"{BASE}/events?after=0").ended()

    last = stream.blocks[-1]
    assert last.startswith("id: ")
    assert stranger.call("GET", f"/events?after={last[4:]}").json()["items"] == []


def test_streams_are_limited_and_the_rest_may_still_ask(member: Api, instance: WorkflowInstance, settings: Any) -> None:
    settings.SECFLOW = replace(settings.SECFLOW, event_streams=1)
    with following(member) as stream:
        refused = member.call("GET", "/events", Accept="text/event-stream")
        cursor = member.read("/events")["cursor"]
        happens(instance, "test.event")
        stream.until(lambda stream: len(stream.events) == 1)
        # It answers at once: a caller who waits takes a place as well, and there is none.
        assert member.read(f"/events?after={cursor}&wait=20")["items"]

    assert (refused.status_code, refused["Retry-After"], refused.json()["code"]) == (503, "5", "TOO_MANY_STREAMS")
    with following(member):
        assert reader.listeners == 1


@pytest.mark.parametrize(("threads", "given", "places"), [(32, None, 16), (1, None, 0), (8, 3, 3), (8, 0, 0)])
def test_half_of_the_threads_may_stream_unless_the_operator_says_otherwise(
    settings: Any, threads: int, given: int | None, places: int
) -> None:
    settings.SECFLOW = replace(settings.SECFLOW, web_threads=threads, event_streams=given)

    assert answers.places() == places


def test_a_stream_that_nobody_ever_read_gives_its_place_back(member: Api) -> None:
    response: Any = member.get(BASE + "/events", headers=member.extra_headers | {"Accept": "text/event-stream"})
    assert reader.listeners == 1

    response.close()


def test_head_asks_for_no_stream(member: Api) -> None:
    response = member.head(BASE + "/events", headers=member.extra_headers | {"Accept": "text/event-stream"})

    assert (response.status_code, reader.listeners) == (200, 0)


def test_a_client_that_closed_the_connection_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    assert not has_left(ours)
    theirs.sendall(b"x")
    assert not has_left(ours)
    ours.recv(1)
    theirs.close()
    assert has_left(ours)
    ours.close()
    assert has_left(ours)
    assert not has_left(None)
