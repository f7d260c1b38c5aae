"""YAML that is read and written: every JSON value survives, nothing but JSON comes out, and nothing grows beyond measure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secflow.yaml_text import YamlError, read_yaml, write_yaml

# Words and characters that some reader of YAML takes for something else.
PLAIN = """yes no on null ~ 1e3 0o17 0x1F 1:30 2020-01-01 << = 010 1_000 .inf -.5 +1 0.1e5 True --- ... %YAML -"""
SPACED = (" a", "a ", "\n", "a\n", "\na", "a\n\n", "# x", "a: b", "- a", "a #b", "!x", "&x", "*x", "", "a\n b\n", " \n")
WORDS = (*PLAIN.split(" "), *SPACED)
texts = st.one_of(
    st.sampled_from(WORDS),
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00")),
    st.text(st.sampled_from(list("ab \n\t:-#'\"<>|[]{}&*!%@`~0123456789eE.xo+_\r\x85\u2028é\ufeff,?"))),
)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False), texts
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(values)
def test_every_value_survives(value: Any) -> None:
    found = read_yaml(write_yaml(value)).value

    assert repr(found) == repr(value)


def test_scripts_are_written_as_blocks() -> None:
    assert write_yaml({"a": "one\ntwo\n", "b": ["yes", "0644"]}) == "a: |\n  one\n  two\nb:\n- 'yes'\n- '0644'\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("0644", "0644"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e3", 1000.0),
        ("-7", -7),
        ("TRUE", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("! 5", "5"),
        ("!!str 5", "5"),
        ("{true: 1, 5: 2}", {"true": 1, "5": 2}),
        ("a: &x {k: 1}\nb: {<<: *x, l: 2}", {"a": {"k": 1}, "b": {"k": 1, "l": 2}}),
        ("a: {'<<': 1}", {"a": {"<<": 1}}),
    ],
)
def test_words_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert read_yaml(text).value == value


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3", 3, 1),
        ("a:\n  - b: c: d", 2, 9),
        ("\tb: 1", 1, 1),
        ("--- 1\n--- 2", 2, 1),
        ("a: .nan", 1, 4),
        ("a: 1e999", 1, 4),
        ("!!python/object/apply:os.system [x]", 1, 1),
        ("b: *y", 1, 4),
        ("? [a]\n: b", 1, 3),
        ('a: "\\ud800"', 1, 7),
        ('a: "\\0"', 1, 4),
        ("a: \x01", 1, 4),
        ("<<: 1", 1, 5),
        ("[" * 100_000, 1, 51),
    ],
)
def test_what_cannot_be_read_has_a_place(text: str, line: int, column: int) -> None:
    with pytest.raises(YamlError) as caught:
        read_yaml(text)

    assert (caught.value.line, caught.value.column) == (line, column)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(YamlError, match="UTF-8"):
        read_yaml(b"a: \xff")


def test_aliases_cannot_grow_beyond_measure() -> None:
    lines = ["a0: &a0 xxxxxxxxxx"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]

    with pytest.raises(YamlError, match="aliases"):
        read_yaml("\n".join(lines))


def test_places_have_lines() -> None:
    text = read_yaml("a: {x: 1}\nb:\n- 1\n- z:\n    y: 2\n")

    assert text.line_of(("b", 1, "z", "y")) == 5
    assert text.line_of(("b", 1, "nothing")) == 4
    assert text.line_of(()) == 1
