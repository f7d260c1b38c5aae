"""Addresses of pods: which kernels have them, and when the launcher asks the kernel for a stopped call."""

from __future__ import annotations

import fcntl
import os
import selectors
from collections.abc import Iterator
from typing import Any

import pytest

from k8s_bridge.localcluster import addressing


@pytest.fixture
def ends() -> Iterator[list[int]]:
    """A reading and a writing end. A pipe tells its reader of a hang-up as a seccomp listener does."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture(autouse=True)
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receive without a waiting call never returns before Linux 6.11; here it fails the test."""

    def receive(*args: Any) -> None:
        raise AssertionError("this blocks the launcher")

    monkeypatch.setattr(fcntl, "ioctl", receive)


@pytest.mark.parametrize(
    ("release", "expected"),
    [("5.8.0-63-generic", False), ("5.9.0", True), ("5.15.0-91-generic", True), ("6.1", True), ("4.19.0", False)],
)
def test_only_kernels_that_tell_of_the_last_process_count(release: str, expected: bool) -> None:
    assert addressing.supported(release) is (expected and addressing._machine is not None)


def test_the_launcher_leaves_a_pod_without_processes_and_asks_nothing(ends: list[int]) -> None:
    with selectors.DefaultSelector() as selector:
        listener = ends.pop(0)
        selector.register(listener, selectors.EVENT_READ)
        os.close(ends.pop())

        addressing.Translator()._serve(listener, "127.97.0.2", {}, selector)

        assert not selector.get_map()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(listener)


def test_the_launcher_stays_with_a_pod_that_has_no_call_waiting(ends: list[int]) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(ends[0], selectors.EVENT_READ)

        addressing.Translator()._serve(ends[0], "127.97.0.2", {}, selector)

        assert list(selector.get_map()) == [ends[0]]
