"""One running SecFlow for the tests of this folder, and the command line as processes of their own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Cli
from tests.e2e.driver import Driver
from tests.stack import PASSWORD, Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # A verb waits for its outcome as long as the command line waits for the answer, nearly: a busy machine may need that.
    with running_stack(tmp_path_factory.mktemp("cli") / "data", env={"WAIT_SECONDS": "25"}) as running:
        yield running


@pytest.fixture(scope="session")
def logged_in(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the admin is logged in."""
    home = tmp_path_factory.mktemp("home")
    done = Cli(home).run("login", url(stack), "-u", "admin", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert done.code == 0, done
    return home


@pytest.fixture
def cli(logged_in: Path, driver: Driver) -> Cli:
    """The command line of the admin, in the test's own project."""
    return Cli(logged_in, {"SECFLOW_PROJECT": driver.project})


@pytest.fixture
def driver(stack: Stack) -> Iterator[Driver]:
    """The API itself, in a project of the test's own; what is made there is removed afterwards."""
    driving = Driver(stack, project=f"cli-{secrets.token_hex(4)}")
    yield driving
    listed = driving.call("GET", f"/workflow-instances?project_id={driving.project}").ok()["items"]
    driving.made = [item["id"] for item in listed]
    driving.clear()


def url(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.port}"
