"""What a cluster takes, decided without one (contract C.1 to C.5)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates_app import specs


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", "0"),
        ("100m", "0.1"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("2.", "2"),
        ("128Mi", "134217728"),
        ("1Gi", "1073741824"),
        ("1k", "1000"),
        ("1e3", "1000"),
        ("5E-1", "0.5"),
        ("+3", "3"),
        ("-1", "-1"),
        ("2E", "2000000000000000000"),
    ],
)
def test_quantity_is_its_amount_in_base_units(text: str, amount: str) -> None:
    assert specs.quantity(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1mb", "0x10", "1,5", "NaN", "Infinity", "1e999", "٣", "1Mi5", "9" * 41]
)
def test_anything_else_is_no_quantity(text: str) -> None:
    assert specs.quantity(text) is None


@given(st.text(max_size=60))
def test_every_text_gets_an_answer(text: str) -> None:
    for problem_of in (
        specs.quantity_problem,
        specs.resource_key_problem,
        specs.env_name_problem,
        specs.image_problem,
        specs.mount_path_problem,
        specs.sub_path_problem,
        specs.service_name_problem,
    ):
        assert problem_of(text) is None or str(problem_of(text)).startswith(("must", "is"))


@pytest.mark.parametrize(
    ("requests", "limits", "found"),
    [
        ({"cpu": "100m"}, {"cpu": "0.1"}, []),
        ({"cpu": "200m"}, {"cpu": "0.1"}, [("requests", "cpu", "must not be above the limit 0.1")]),
        ({"memory": "1Gi"}, {"cpu": "1"}, []),
        ({"cpu": "-1"}, None, [("requests", "cpu", "must not be negative")]),
        (None, {"cpu": "1e99"}, [("limits", "cpu", "is more than a cluster can count")]),
        (None, {"example.com/gpu": "1"}, []),
        (
            {"a b": "1"},
            None,
            [("requests", "a b", "is no resource name; use cpu, memory or one such as example.com/gpu")],
        ),
    ],
)
def test_resources_a_cluster_would_refuse_are_found(
    requests: dict[str, str] | None, limits: dict[str, str] | None, found: list[tuple[str, str, str]]
) -> None:
    assert list(specs.resource_problems(requests, limits)) == found


@pytest.mark.parametrize(
    ("given_", "stored"),
    [
        (None, None),
        ({}, None),
        ({"requests": {"cpu": "", "memory": ""}, "limits": {}}, None),
        ({"requests": {"cpu": "1", "memory": ""}}, {"requests": {"cpu": "1"}, "limits": None}),
    ],
)
def test_empty_resources_are_dropped(given_: Any, stored: Any) -> None:
    assert specs.cleaned_resources(given_) == stored


@pytest.mark.parametrize("path", ["/data", "/data/", "/a/b.c/..d", "/dev/shm"])
def test_absolute_paths_are_mount_paths(path: str) -> None:
    assert specs.mount_path_problem(path) is None


@pytest.mark.parametrize(
    "path", ["", "data", "./data", "/a/../b", "/..", "/a:b", "/", "//", "/.", "/proc", "/proc/1", "//sys/fs", "/./proc"]
)
def test_other_paths_are_no_mount_paths(path: str) -> None:
    assert specs.mount_path_problem(path) is not None


@pytest.mark.parametrize("path", ["/a", "..", "a/..", "../a", "a/../../b"])
def test_a_sub_path_stays_inside_its_claim(path: str) -> None:
    assert specs.sub_path_problem(path) is not None


@pytest.mark.parametrize(("one", "other"), [("/data", "/data/"), ("/data", "//data"), ("/a/b", "/a/./b")])
def test_spellings_of_one_path_are_the_same(one: str, other: str) -> None:
    assert specs.same_path(one) == specs.same_path(other)


@pytest.mark.parametrize("name", ["A", "_x", "my.var", "my-var", "a1", ".a"])
def test_variable_names(name: str) -> None:
    assert specs.env_name_problem(name) is None


@pytest.mark.parametrize("name", ["", "1a", "A=B", "a b", "a\n", "ä", "$A", ".", "..", "..a"])
def test_other_texts_are_no_variable_names(name: str) -> None:
    assert specs.env_name_problem(name) is not None


PROBE = {"type": "http", "port": 80, "path": "/", "command": None, "success_threshold": 1}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"port": None}, ["port"]),
        ({"port": None, "path": None}, ["port", "path"]),
        ({"type": "tcp", "path": None}, []),
        ({"type": "tcp", "port": None}, ["port"]),
        ({"type": "exec", "port": None, "path": None, "command": ["true"]}, []),
        ({"type": "exec", "command": []}, ["command"]),
        ({"success_threshold": 2}, ["success_threshold"]),
    ],
)
def test_a_liveness_probe_has_what_its_type_needs(changes: dict[str, Any], fields: list[str]) -> None:
    assert [field for field, _ in specs.probe_problems(PROBE | changes, liveness=True)] == fields


def test_a_readiness_probe_may_want_more_successes() -> None:
    assert list(specs.probe_problems(PROBE | {"success_threshold": 3}, liveness=False)) == []
