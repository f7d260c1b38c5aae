"""One running SecFlow for all tests of this folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.driver import Driver
from tests.e2e.project import Project, opened
from tests.stack import Stack, Witness, running_stack

# How long a verb waits for its outcome, which these tests expect in its answer: a busy machine may need more than is usual.
PATIENCE = "45"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack") / "data"
    kubeconfig = os.environ.get("SECFLOW_TEST_KUBECONFIG")
    with running_stack(folder, kubeconfig=kubeconfig, env={"WAIT_SECONDS": PATIENCE}) as running:
        yield running


@pytest.fixture(scope="session")
def installation(stack: Stack) -> str:
    """The id that every object of this stack carries."""
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute("SELECT uid FROM secflow_platform_workflow_installation").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
def witness(stack: Stack, installation: str) -> Iterator[Witness]:
    with Witness(stack.kubeconfig, installation=installation) as watching:
        yield watching


@pytest.fixture
def driver(stack: Stack) -> Iterator[Driver]:
    """The admin in a project of the test's own; what it makes is removed afterwards."""
    driving = Driver(stack, project=f"e2e-{secrets.token_hex(4)}")
    yield driving
    driving.clear()


@pytest.fixture(scope="module")
def project(stack: Stack) -> Iterator[Project]:
    """One project for the tests of a file, with its namespace."""
    with opened(stack) as found:
        yield found
