"""Every test here has a transactional database, the cluster, and the engine around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.engine import running_sweeps, running_watcher, running_worker
from workflows.services.cluster import gateway, installation_uid


@pytest.fixture(scope="session")
def _gateway_reset(cluster_kubeconfig: str) -> Iterator[None]:
    yield
    gateway().close()


@pytest.fixture
def cluster(transactional_db: None, _gateway_reset: None) -> None:
    """The cluster, with nothing of the engine running."""
    installation_uid()


@pytest.fixture
def engine(cluster: None, settings: Any) -> Iterator[None]:
    """Worker, watcher and sweeps, all real, in threads of this process. Verbs wait for them as long as a busy machine needs."""
    settings.SECFLOW = replace(settings.SECFLOW, wait_seconds=50.0)
    with running_worker(), running_watcher(), running_sweeps():
        yield
