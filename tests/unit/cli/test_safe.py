"""Text of others does not steer the terminal."""

from __future__ import annotations

import json
import re

import pytest

from secflow.cli.safe import json_safe, lines_of, log_line, one_line

STEERING = [
    chr(number) for number in (*range(0x20), 0x7F, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202eevil\u2066\x9b31m\x08\x7f"


@pytest.mark.parametrize("letter", STEERING, ids=lambda letter: f"U+{ord(letter):04X}")
def test_no_steering_character_is_left_in_a_line(letter: str) -> None:
    for made in (one_line(f"a{letter}b"), log_line(f"a{letter}b"), *lines_of(f"a{letter}b")):
        assert letter not in made or letter == " "
        assert made.startswith("a") or made.endswith("b")


def test_letters_of_every_script_stay() -> None:
    for text in ("nightly scan", "夜間スキャン", "ليلي", "לילה", "naïve é", "🚀", "[red]markup[/red] <b>"):
        assert one_line(text) == text
        assert log_line(text) == text


def test_a_line_stays_one_line() -> None:
    assert one_line("a\r\n b\tc\n") == "a  b c "
    assert lines_of("a\r\nb\n\x1b[1mc") == ["a", "b", "c"]


def test_colours_of_a_log_are_taken_out_and_the_rest_becomes_visible() -> None:
    assert log_line("\x1b[31mred\x1b[0m \x1b[2Jx\r") == "red \\x1b[2Jx"
    assert log_line("\x1b[38;5;12mblue") == "blue"


def test_safe_json_says_the_same() -> None:
    value = {"name": HOSTILE, "list": [HOSTILE, "夜"], HOSTILE: "\ud800"}

    document = json_safe(json.dumps(value, indent=2, ensure_ascii=False))

    assert json.loads(document) == value
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", document)
    assert "夜" in document
