"""One SecFlow behind a faulty way to its cluster, for all scenarios of this folder."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.e2e.driver import Driver
from tests.faults.cluster.stage import Stage, project
from tests.faults.cluster_faults import forbidden
from tests.faults.cluster_proxy import ClusterProxy
from tests.faults.invariants import installation_of
from tests.stack import Stack, Witness, eventually, running_stack

IS_REAL = bool(os.environ.get("SECFLOW_TEST_KUBECONFIG"))


@pytest.fixture(scope="session")
def proxy(cluster_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProxy]:
    """SECFLOW_FAULT_SEED repeats the faults of an earlier run."""
    seed = int(os.environ.get("SECFLOW_FAULT_SEED") or random.randrange(1_000_000))
    with ClusterProxy(cluster_kubeconfig, tmp_path_factory.mktemp("proxy"), seed=seed) as serving:
        yield serving


@pytest.fixture(scope="session")
def stack(proxy: ClusterProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack") / "data"
    with running_stack(folder, kubeconfig=str(proxy.kubeconfig)) as running:
        yield running


@pytest.fixture(scope="session")
def witness(stack: Stack, cluster_kubeconfig: Path) -> Iterator[Witness]:
    """Sees the cluster directly, from the first test to the last."""
    with Witness(str(cluster_kubeconfig), installation=installation_of(stack.database_url)) as watching:
        yield watching


@pytest.fixture
def stage(stack: Stack, proxy: ClusterProxy, witness: Witness, cluster_kubeconfig: Path) -> Iterator[Stage]:
    driver = Driver(stack, project=f"fault-{secrets.token_hex(4)}")
    with project(driver, proxy, str(cluster_kubeconfig), witness) as made:
        yield made


@pytest.fixture
def quota() -> Callable[[Stage], AbstractContextManager[None]]:
    """No Job fits into the stage's namespace inside the block: by a ResourceQuota, or as the API server would say it."""
    return _real_quota if IS_REAL else _injected_quota


@contextmanager
def _real_quota(stage: Stage) -> Iterator[None]:
    path = f"/api/v1/namespaces/{stage.namespace}/resourcequotas"
    spec = {"hard": {"count/jobs.batch": "0"}}
    stage.cluster.request("POST", path, body={"metadata": {"name": "none"}, "spec": spec})
    eventually(
        lambda: "hard" in (stage.cluster.request("GET", f"{path}/none").get("status") or {}), what="a quota in force"
    )
    yield
    stage.cluster.request("DELETE", f"{path}/none")


@contextmanager
def _injected_quota(stage: Stage) -> Iterator[None]:
    words = (
        'jobs.batch "one" is forbidden: exceeded quota: none, requested: count/jobs.batch=1, '
        "used: count/jobs.batch=0, limited: count/jobs.batch=0"
    )
    with stage.plan.rules(stage.rule(forbidden(words), verbs=("create",), resources=("jobs",))):
        yield
