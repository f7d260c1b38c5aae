"""Times, addresses, events of a stream, and lines that were seen already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from secflow.cli.errors import UsageProblem
from secflow.cli.feed import Message, parse_stream
from secflow.cli.routes import every_route
from secflow.cli.tailing import Line, lines_after
from secflow.cli.times import seconds_of, span
from secflow.cli.transport import server_url

OPENAPI = Path(__file__).resolve().parents[3] / "secflow" / "openapi.yaml"


def test_every_path_that_is_called_is_in_the_openapi_document() -> None:
    paths = yaml.safe_load(OPENAPI.read_text())["paths"]
    offered = {(method.upper(), path) for path, operations in paths.items() for method in operations}

    called = {(route.method, route.path) for route in every_route()}

    assert len(called) > 20
    assert called - offered == set()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("1.5m", 90), ("45", 45), (" 5M ", 300)],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10x", "-5s", "1h 30m", "ten"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0.0 s"), (0.44, "0.4 s"), (9.96, "10 s"), (59, "59 s"), (185, "3m05s"), (7800, "2h10m"), (400000, "4d"),
        # Whole seconds do not claim to be exact to a tenth.
        (-3, "0 s"), (0, "0 s"), (5, "5 s"),
    ],
)  # fmt: skip
def test_spans_are_short(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("secflow.example.org", "https://secflow.example.org"),
        ("https://Secflow.example.org/", "https://secflow.example.org"),
        ("http://127.0.0.1:10005/api/workflow/", "http://127.0.0.1:10005"),
        ("https://example.org/secflow/admin/", "https://example.org/secflow"),
        ("http://[::1]:10005", "http://[::1]:10005"),
    ],
)
def test_addresses_are_brought_to_one_form(given: str, url: str) -> None:
    assert server_url(given) == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ftp://x",
        "https://",
        "https://ada:secret@x",
        "https://x:99999999",
        "https://x/?token=1",
        "http://[",
        "http://a b",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_more_than_was_typed(given: str) -> None:
    with pytest.raises(UsageProblem):
        server_url(given)


def test_messages_of_a_stream_are_read_and_comments_passed_over() -> None:
    lines = [
        "retry: 1000", "", ": heartbeat", "", "id: 7", "event: node.running", f"data: {json.dumps({'cursor': '7'})}", "",
        "data: {", 'data: "cursor": "8"}', "", "", "id: 9", "", "data: unfinished",
    ]  # fmt: skip

    assert list(parse_stream(lines)) == [
        Message("7", {"cursor": "7"}),
        Message("8", {"cursor": "8"}),
        Message("9", None),
    ]


def stamped(*numbers: int) -> list[Line]:
    return [Line(f"2026-01-01T00:00:{number:02d}Z", f"line {number}") for number in numbers]


@pytest.mark.parametrize(
    ("last", "lines", "rest"),
    [
        ([], [1, 2], [1, 2]),
        ([1, 2], [1, 2], []),
        ([1, 2], [1, 2, 3, 4], [3, 4]),
        ([1, 2], [2, 3], [3]),
        ([1, 2], [3, 4], None),
        ([1, 2], [], None),
    ],
)
def test_only_lines_that_were_not_seen_follow(last: list[int], lines: list[int], rest: list[int] | None) -> None:
    wanted = None if rest is None else stamped(*rest)

    assert lines_after(stamped(*last), stamped(*lines)) == wanted


def test_equal_lines_without_times_are_told_apart_by_what_stands_before_them() -> None:
    text = [Line("", word) for word in ("a", "tick", "b", "tick", "c")]

    assert lines_after(text[:2], text) == text[2:]
