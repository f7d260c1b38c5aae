"""A run followed from outside by server-sent events, with the connection cut in between."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.driver import BASE, SECONDS, Driver, job
from tests.stack import eventually

PLACES = 16  # half of the threads of a web process, unless the operator says otherwise
pytestmark = [pytest.mark.e2e, pytest.mark.cluster]


def opened(
    driver: Driver, query: str = "after=0", **headers: str
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """The connection and the answer of a request for a stream."""
    connection = http.client.HTTPConnection("127.0.0.1", driver.stack.port, timeout=SECONDS)
    connection.request(
        "GET", f"{BASE}/events?{query}", headers=driver.token() | {"Accept": "text/event-stream", **headers}
    )
    return connection, connection.getresponse()


def messages(driver: Driver, query: str, **headers: str) -> Iterator[dict[str, Any]]:
    """The events of a stream as they come. Closing the iterator cuts the connection."""
    connection, answer = opened(driver, query, **headers)
    with closing(connection), closing(answer):
        assert (answer.status, answer.getheader("Content-Type")) == (200, "text/event-stream")
        fields: dict[str, str] = {}
        for raw in answer:
            line = raw.decode().rstrip("\n")
            if not line and "data" in fields:
                event = json.loads(fields["data"])
                assert (fields["id"], fields["event"]) == (event["cursor"], event["kind"])
                yield event
            if not line:
                fields = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value


def test_a_run_is_followed_to_its_end_with_cuts_and_no_event_is_missed(driver: Driver) -> None:
    template = driver.job_template("true")
    names = ["a", "b", "c"]
    one = driver.instance([job(template, name) for name in names], [("a", "b"), ("b", "c")])
    driver.act(one, "start").ok()

    seen: list[dict[str, Any]] = []
    # Each stream is cut after three events, wherever the run is; the last one is followed to the end.
    while not (seen and seen[-1]["kind"] == "run.succeeded"):
        resume = {"Last-Event-ID": seen[-1]["cursor"]} if seen else {}
        with closing(messages(driver, f"after=0&instance_id={one}", **resume)) as stream:
            for count, event in enumerate(stream, start=1):
                seen.append(event)
                if count == 3 or event["kind"] == "run.succeeded":
                    break

    assert [event["sequence"] for event in seen] == list(range(1, len(seen) + 1))
    assert {event["instance_id"] for event in seen} == {one}
    ended = [event for event in seen if event["kind"] == "node.succeeded"]
    assert len(ended) == len(names)
    by_asking = driver.call("GET", f"/events?after=0&limit=1000&instance_id={one}").ok()["items"]
    assert by_asking[: len(seen)] == seen


def test_streams_have_places_and_those_of_clients_that_left_are_free_again(driver: Driver) -> None:
    held = []

    def has_all_places() -> bool:
        """Streams of other tests give their places back a moment after their clients left."""
        connection, answer = opened(driver)
        if answer.status == 200:
            held.append((connection, answer))
        else:
            connection.close()
        return len(held) == PLACES

    eventually(has_all_places, seconds=30, what="all places")
    too_many = opened(driver)
    body = json.loads(too_many[1].read())

    assert [answer.status for _, answer in held] == [200] * PLACES
    assert (too_many[1].status, too_many[1].getheader("Retry-After"), body["code"]) == (503, "5", "TOO_MANY_STREAMS")
    assert driver.call("GET", "/events?after=0&limit=1&wait=20").status == 200
    for connection, answer in [*held, too_many]:
        answer.close()
        connection.close()

    def is_free_again() -> bool:
        connection, answer = opened(driver)
        answer.close()
        connection.close()
        return answer.status == 200

    eventually(is_free_again, seconds=30, what="a free place")
