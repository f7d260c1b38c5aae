"""Text that others wrote, made harmless: no character in it moves the cursor, recolours, or reorders the line.

Letters of every script stay as they are, right-to-left ones too; only characters that steer are shown as `\\x1b` or
`\\u202e`.
"""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, line and paragraph separators, and the marks that change the direction of what follows.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]"
)
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")


def one_line(text: object) -> str:
    """`text` as one harmless line: white space becomes spaces, what steers becomes visible."""
    return _STEERING.sub(_visible, re.sub(r"[\t\r\n]+", " ", str(text)))


def lines_of(text: object) -> list[str]:
    """The lines of `text`, each harmless; a tab is four spaces."""
    return [log_line(line) for line in re.split(r"\r\n|\n", str(text))]


def log_line(line: str) -> str:
    """A line of a log for a terminal: its own colours are taken out, everything else that steers becomes visible."""
    plain = _COLOURS.sub("", line.rstrip("\r")).replace("\t", "    ")
    return _STEERING.sub(_visible, plain)


def json_safe(document: str) -> str:
    """A JSON document that says the same and holds no character that steers: inside its texts they can be escaped."""
    return _STEERING.sub(lambda found: found[0] if found[0] in "\n" else f"\\u{ord(found[0]):04x}", document)


def is_steering(text: str) -> bool:
    """Whether `text` holds a character that steers, other than the ends of lines."""
    return _STEERING.search(text.replace("\n", "")) is not None


def _visible(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
