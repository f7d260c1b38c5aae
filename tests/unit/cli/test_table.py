"""Tables fit the terminal, and lose nothing where there is none."""

from __future__ import annotations

import pytest

from secflow.cli.table import Column, cut, table_lines, width_of

COLUMNS = (
    Column("NAME", least=6),
    Column("STATUS"),
    Column("N", right=True),
    Column("ID", wide=True),
    Column("MESSAGE", least=8),
)
ROWS = [
    ["nightly scan of everything", "running", 3, "wf-1", "a long message that goes on and on"],
    ["夜間スキャン", "failed", 12, "wf-2", None],
    ["x\x1b[2J", "succeeded !", 1, "wf-3", "two\nlines"],
]


@pytest.mark.parametrize("width", [40, 50, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for line in table_lines(COLUMNS, ROWS, width=width):
        assert width_of(line) <= width


def test_columns_without_a_least_width_are_never_cut() -> None:
    lines = table_lines(COLUMNS, ROWS, width=10)

    assert [word in line for word, line in zip(("running", "failed", "succeeded !"), lines[1:], strict=True)] == [
        True
    ] * 3


def test_elsewhere_nothing_is_cut_and_nothing_is_coloured() -> None:
    lines = table_lines(COLUMNS, ROWS, width=None, wide=True)

    assert "nightly scan of everything" in lines[1]
    assert lines[1].endswith("a long message that goes on and on")
    assert "wf-2" in lines[2]
    assert "\x1b" not in "".join(lines)
    assert "x\\x1b[2J" in lines[3]
    assert lines[3].endswith("two lines")


def test_columns_stand_below_each_other_whatever_the_script() -> None:
    heading, *lines = table_lines(COLUMNS, ROWS, width=None)

    start = heading.index("STATUS")
    for line, word in zip(lines, ("running", "failed", "succeeded"), strict=True):
        assert width_of(line[: line.index(word)]) == start


def test_colours_take_no_room() -> None:
    plain = table_lines(COLUMNS, ROWS, width=60)
    coloured = table_lines(COLUMNS, ROWS, width=60, colour=True)

    assert "\x1b[1;31mfailed\x1b[0m" in coloured[2]
    assert [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in coloured[:1]] == plain[:1]


@pytest.mark.parametrize(
    ("text", "width", "wanted"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("夜夜夜", 4, "夜…"), ("e\u0301x", 2, "e\u0301x")],
)
def test_cut(text: str, width: int, wanted: str) -> None:
    assert cut(text, width) == wanted
