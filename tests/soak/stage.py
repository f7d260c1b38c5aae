"""What a soak runs on: servers of its own, SecFlow as processes, and a project in the cluster."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import NotFound
from secflow.runtime import cluster, postgres, valkey
from secflow.runtime.claims import ensure_claims
from secflow.runtime.definition import Claim
from secflow.runtime.layout import open_layout
from tests.faults.cluster_proxy import ClusterProxy
from tests.faults.invariants import installation_of
from tests.faults.tcp_proxy import Proxy
from tests.soak.faults import Proxies
from tests.soak.material import CLAIM
from tests.soak.records import ClusterRecord, DatabaseRecord
from tests.stack import Stack, running_stack
from tests.stand import run_services


@dataclass(frozen=True)
class Stage:
    """A running SecFlow and the direct ways to what it uses."""

    stack: Stack
    project: str
    kubeconfig: str
    database_url: str
    redis_url: str
    installation: str
    proxies: Proxies
    cluster: ClusterRecord
    database: DatabaseRecord


@contextmanager
def stage(folder: Path, *, seed: str, workers: int, watchers: int) -> Iterator[Stage]:
    """Everything, started; the cluster is that of KUBECONFIG, or a local one. Nothing of it stays in the cluster."""
    with ExitStack() as held:
        layout = open_layout(folder / "servers")
        run_services(held, postgres.services(layout, os.environ), layout)
        run_services(held, (valkey.service(layout),), layout)
        kubeconfig = os.environ.get("KUBECONFIG")
        if not kubeconfig:
            run_services(held, (cluster.service(layout, python=sys.executable, sandbox="auto"),), layout)
            kubeconfig = str(layout.kubeconfig)
        database_url, redis_url = postgres.address(layout), valkey.address(layout)
        project = f"soak-{secrets.token_hex(3)}"
        ensure_claims(kubeconfig, project, [Claim(CLAIM, "64Mi")])
        held.callback(_remove, kubeconfig, f"secflow-{project}")
        proxies = Proxies(
            database=Proxy(layout.postgres_sockets / ".s.PGSQL.5432"),
            broker=Proxy(layout.valkey_socket),
            cluster=held.enter_context(
                ClusterProxy(kubeconfig, folder / "proxy", seed=zlib.crc32(seed.encode()), say=lambda _: None)
            ),
        )
        held.callback(proxies.database.close)
        held.callback(proxies.broker.close)
        env = {
            "DATABASE_URL": f"postgresql://{postgres.USER}@127.0.0.1:{proxies.database.port}/{postgres.DATABASE}",
            "REDIS_URL": f"redis://127.0.0.1:{proxies.broker.port}/0",
            "WORKERS": str(workers),
            "WATCHERS": str(watchers),
        }
        behind = str(proxies.cluster.kubeconfig)
        stack = held.enter_context(running_stack(folder / "data", kubeconfig=behind, env=env))
        installation = installation_of(database_url)
        record = held.enter_context(ClusterRecord(kubeconfig, installation=installation))
        yield Stage(
            stack=stack,
            project=project,
            kubeconfig=kubeconfig,
            database_url=database_url,
            redis_url=redis_url,
            installation=installation,
            proxies=proxies,
            cluster=record,
            database=DatabaseRecord(database_url),
        )


def _remove(kubeconfig: str, namespace: str) -> None:
    client = ClusterClient(kubeconfig)
    try:
        with suppress(NotFound):
            client.request("DELETE", f"/api/v1/namespaces/{namespace}")
    finally:
        client.close()


def clear(folder: Path) -> None:
    """Removes the data of a soak that found nothing."""
    shutil.rmtree(folder, ignore_errors=True)
