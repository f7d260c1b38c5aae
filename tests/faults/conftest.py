"""What the fault scenarios share. A module gives its own `stack`; after each of its tests invariant check I is made."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.driver import Driver
from tests.faults.invariants import check, installation_of
from tests.stack import Stack, Witness


@pytest.fixture
def installation(stack: Stack) -> str:
    """The id that every object of this stack carries."""
    return installation_of(stack.database_url)


@pytest.fixture
def witness(stack: Stack, installation: str) -> Iterator[Witness]:
    """Sees every object that ever was; two of one node and run fail the test at its end."""
    with Witness(stack.kubeconfig, installation=installation) as watching:
        yield watching
        assert watching.doubles() == []


@pytest.fixture
def driver(stack: Stack) -> Iterator[Driver]:
    """The admin in a project of the test's own.

    When the test has passed its body, the invariants are checked, everything is removed, and they are checked again: nothing
    may be left then.
    """
    driving = Driver(stack, project=f"fault-{secrets.token_hex(4)}")
    try:
        yield driving
        check(stack)
    finally:
        driving.clear()
    check(stack)
