"""Names that no registry can have."""

from __future__ import annotations

import pytest

from k8s_bridge.localcluster.images import name_problem


@pytest.mark.parametrize(
    "image",
    [
        "busybox",
        "docker.io/library/python:3.11-slim",
        "localhost:5000/a/b:1",
        "Registry.example.com/team/app",
        "ghcr.io/a/b_c@sha256:" + "0" * 64,
    ],
)
def test_names_of_images_may_be_right(image: str) -> None:
    assert name_problem(image) is None


@pytest.mark.parametrize("image", ["", "a b", "app:", "a//b", "app@sha256:12"])
def test_names_that_cannot_be_parsed_are_told(image: str) -> None:
    assert str(name_problem(image)).endswith(f'couldn\'t parse image name "{image}": invalid reference format')


def test_an_upper_case_name_is_told_as_such() -> None:
    assert str(name_problem("Team/App:1")).endswith("repository name (Team/App) must be lowercase")
