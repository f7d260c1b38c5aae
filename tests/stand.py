"""The parts that tests run against, as a pytest plugin: PostgreSQL and Valkey for all, a local cluster for who asks.

DATABASE_URL, REDIS_URL and SECFLOW_TEST_KUBECONFIG name other ones. Each process that pytest-xdist starts has servers of its
own, so that what one of them publishes, flushes or kills is not seen by the others; servers that were named are shared.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from secflow.runtime import cluster, postgres, valkey
from secflow.runtime.layout import Layout, open_layout
from secflow.runtime.processes import spawn, wait_until
from secflow.runtime.service import Service

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 30.0
# Names the addresses that this plugin made, for the processes of pytest-xdist, which inherit them.
_MADE_HERE = "SECFLOW_TEST_MADE_HERE"

_servers = ExitStack()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Start the servers before pytest-django loads the settings. Warnings of the start are errors like all others."""
    folder = Path(tempfile.mkdtemp(prefix="secflow-test-"))
    _servers.callback(shutil.rmtree, folder, ignore_errors=True)
    try:
        _prepare_environment(folder)
        return (yield)
    except BaseException:
        _servers.close()
        raise


def pytest_unconfigure() -> None:
    """Stop what was started here."""
    _servers.close()


def _prepare_environment(folder: Path) -> None:
    layout = open_layout(folder)
    inherited = os.environ.pop(_MADE_HERE, "").split()
    given = {name: value for name, value in os.environ.items() if name not in inherited}
    if "DATABASE_URL" not in given:
        run_services(
            _servers, postgres.services(layout, given, config={"fsync": "off", "full_page_writes": "off"}), layout
        )
        os.environ["DATABASE_URL"] = postgres.address(layout)
    if "REDIS_URL" not in given:
        run_services(_servers, (valkey.service(layout),), layout)
        os.environ["REDIS_URL"] = valkey.address(layout)
    os.environ[_MADE_HERE] = " ".join(name for name in ("DATABASE_URL", "REDIS_URL") if name not in given)
    os.environ["KUBECONFIG"] = given.get("SECFLOW_TEST_KUBECONFIG") or str(layout.kubeconfig)
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    os.environ.setdefault("HTTPS", "false")
    # The file is filled when the first test asks for the cluster; settings want it to exist.
    Path(os.environ["KUBECONFIG"]).touch(mode=0o600)


def run_services(stack: ExitStack, services: tuple[Service, ...], layout: Layout) -> None:
    """Start services one after the other and wait until each is ready; `stack` stops them."""
    for service in services:
        log_path = layout.logs / f"{service.name}.log"
        log = stack.enter_context(log_path.open("ab"))
        process = spawn(
            service.command,
            env={**os.environ, **service.env},
            cwd=ROOT,
            stdout=log,
            identity=service.identity,
            death_signal=service.death_signal,
        )
        stack.callback(_stop, process, service)
        if service.once:
            good = process.wait(_PATIENCE) == 0
        else:
            good = wait_until(lambda: process.poll() is not None or service.ready(), seconds=_PATIENCE)  # noqa: B023
            good = good and process.poll() is None
        if not good:
            raise pytest.UsageError(f"{service.name} did not start:\n{log_path.read_text(errors='replace')[-2000:]}")


def _stop(process: subprocess.Popen[bytes], service: Service) -> None:
    if process.poll() is None:
        process.send_signal(service.stop_signal)
    try:
        process.wait(service.stop_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def cluster_kubeconfig() -> Iterator[Path]:
    """The kubeconfig of a cluster that works: the local one, started by the first test that asks, or the given one.

    `settings.SECFLOW.kubeconfig` names the same file.
    """
    path = Path(os.environ["KUBECONFIG"])
    if os.environ.get("SECFLOW_TEST_KUBECONFIG"):
        yield path
        return
    with ExitStack() as stack:
        layout = open_layout(path.parent)
        run_services(stack, (cluster.service(layout, python=sys.executable, sandbox="auto"),), layout)
        yield path


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The address of Valkey."""
    return os.environ["REDIS_URL"]
