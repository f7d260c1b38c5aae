"""Output as a page shows it against output as it came: what differs from run to run does not count."""

from __future__ import annotations

import re
from collections.abc import Sequence

ANYTHING = "..."

_MASKS = [
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),
    (re.compile(r"\b(wf-(?:inst|node|tmpl)-(?:[a-z0-9]+-)+?)[a-z0-9]{8}\b"), r"\1********"),
    (
        re.compile(r"\b((?:svc-)?wf)-(?!inst|node|tmpl)[a-z0-9]{8}-[a-z0-9]{8}(?:-[a-z0-9]{4,10}){0,2}\b"),
        r"\1-********-********",
    ),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|m|h|seconds?|minutes?)\b"), "<duration>"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), "<token>"),
    (re.compile(r"\s+"), " "),
]


def masked(line: str) -> str:
    """The line without random ids, times, durations, tokens, colours, and with single spaces."""
    for pattern, word in _MASKS:
        line = pattern.sub(word, line)
    return line.strip()


def difference(shown: Sequence[str], came: Sequence[str]) -> str | None:
    """Why the output is not what the page shows, None when it is. A line `...` stands for any lines, `...` in a line for any text.

    A page that shows nothing says nothing about the output.
    """
    wanted = [masked(line) for line in shown]
    while wanted and not wanted[-1]:
        wanted.pop()
    if not wanted:
        return None
    found = [masked(line) for line in came]
    while found and not found[-1]:
        found.pop()
    if _fits(wanted, found):
        return None
    return "the page shows\n    {}\nbut it is\n    {}".format("\n    ".join(shown), "\n    ".join(came))


def _fits(wanted: Sequence[str], found: Sequence[str]) -> bool:
    """By the set of places in `found` that each line of the page can lead to: no pattern makes it slow."""
    places = {0}
    for line in wanted:
        if line == ANYTHING:
            places = set(range(min(places), len(found) + 1)) if places else places
            continue
        pattern = re.compile(".*".join(map(re.escape, line.split(ANYTHING))))
        places = {place + 1 for place in places if place < len(found) and pattern.fullmatch(found[place])}
    return len(found) in places
