"""What every part of the bench measures on: a running SecFlow, a namespace of its own, the witness and the driver."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import NotFound, ServerTrouble, Unreachable
from k8s_bridge.names import namespace_of
from secflow.runtime.api_client import ApiClient, ApiError
from tests.bench.account import Account, Requests, await_namespace_gone
from tests.bench.driver import CONTAINER
from tests.stack import PASSWORD, Stack, eventually, running_stack

_TOKEN_SECONDS = 900  # half the life of an access token
_SETTLED_AFTER = 20.0  # seconds; imports and first sweeps are over
_STARTERS = 8  # callers that start many instances at once

Edges = Sequence[tuple[int, int]]


@dataclass
class Options:
    """Sizes, from the command line."""

    rounds: int = 3
    chain: int = 30
    first: int = 20
    fan: int = 30
    wide: tuple[int, ...] = (500, 2000)
    many: int = 200
    scale: int = 100
    instances: int = 100_000
    idle_instances: int = 1000
    idle_seconds: int = 60
    sync_nodes: int = 10_000


@dataclass
class Bed:
    """One running SecFlow."""

    stack: Stack
    account: Account
    options: Options
    say: Callable[[str], None]
    project: str
    admin: ClusterClient
    _template: str = ""
    _api: ApiClient | None = None
    _api_since: float = 0.0
    _tags: int = 0
    _began: float = field(default_factory=time.monotonic)

    @property
    def namespace(self) -> str:
        return namespace_of(self.project)

    @property
    def is_local(self) -> bool:
        """The cluster is the one that came with SecFlow."""
        return self.account.kubeconfig is None

    @property
    def api(self) -> ApiClient:
        """The API with a token that is not about to expire."""
        if self._api is None or time.monotonic() - self._api_since > _TOKEN_SECONDS:
            self._api = ApiClient(f"http://127.0.0.1:{self.stack.port}", username="admin", password=PASSWORD)
            self._api_since = time.monotonic()
        return self._api

    @property
    def template(self) -> str:
        """A job template whose container does nothing."""
        if not self._template:
            body = {"name": "bench", "scope": "global", "backoff_limit": 0, "containers": [CONTAINER]}
            self._template = str(self.api.post("job-templates", body=body)["id"])
        return self._template

    def tag(self) -> str:
        """A new name for one run of the driver."""
        self._tags += 1
        return f"driver-{self._tags}"

    def settle(self) -> None:
        """Returns when the processes have been up for a while: what they do at their start is no part of rest."""
        time.sleep(max(0.0, self._began + _SETTLED_AFTER - time.monotonic()))

    def requests(self) -> Requests:
        """API requests so far, as the API server counted them."""
        return self.account.requests(self.admin)

    def make(self, count: int, edges: Edges) -> Made:
        """An instance of `count` job nodes. Raises ApiError."""
        names = [f"n{number}" for number in range(count)]
        body = {
            "name": "bench",
            "project_id": self.project,
            "nodes": [{"node_type": "job", "template_id": self.template, "name": name} for name in names],
            "edges": [{"edge_id": f"{a}-{b}", "source": names[a], "target": names[b]} for a, b in edges],
        }
        answer = self.api.post("workflow-instances", body=body)
        ids = {node["name"]: node["id"] for node in answer["nodes"]}
        return Made(str(answer["id"]), [ids[name] for name in names])

    def start(self, made: Made) -> float:
        """Starts it; returns the time of the call by the monotonic clock."""
        began = time.monotonic()
        self.api.post("workflow-instances", made.id, "start")
        return began

    def start_all(self, many: Sequence[Made]) -> float:
        """Starts all at once; returns when the first call was made."""
        began = time.monotonic()
        assert self.api is not None  # its token is there before the threads ask for it
        with ThreadPoolExecutor(_STARTERS) as pool:
            list(pool.map(self.start, many))
        return began

    def wait_ended(self, many: Sequence[Made], *, seconds: float) -> tuple[float, dict[str, int]]:
        """When the records of all had an end, and how many have which status. Asks the database: the API would be disturbed."""
        ids = [made.id for made in many]
        found: dict[str, int] = {}

        def have_ended() -> bool:
            found.clear()
            found.update(connection.execute(_STATUSES, [ids]).fetchall())
            return sum(found.get(status, 0) for status in ("succeeded", "failed", "stopped")) == len(ids)

        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            eventually(have_ended, seconds=seconds, what=f"the end of {len(ids)} instances")
        return time.monotonic(), found

    def wait_logs(self, made: Made, count: int) -> None:
        """Returns when the logs of so many nodes are kept."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            eventually(
                lambda: connection.execute(_KEPT, [made.id]).fetchall()[0][0] >= count,
                seconds=120,
                what="the kept logs",
            )

    def remove(self, many: Sequence[Made]) -> None:
        """Deletes instances by the API; nothing is left of them, here or there."""
        # The bench does it in three calls; SecFlow, for which this is not measured, finds nothing left to do.
        self.clear()
        assert self.api is not None
        with ThreadPoolExecutor(_STARTERS) as pool:
            list(pool.map(self._delete, many))
        ids = [made.id for made in many]
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            eventually(
                lambda: not connection.execute(_STATUSES, [ids]).fetchall(),
                seconds=300,
                what="the deletion of instances",
            )

    def _delete(self, made: Made) -> None:
        try:
            self.api.delete("workflow-instances", made.id)
        except ApiError as err:
            if err.status != 503:  # marked, and deleted by itself as soon as all objects are gone
                raise

    def clear(self) -> None:
        """Removes all Jobs and pods of the namespace, the driver's too, and waits until they are gone."""
        jobs = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        # Jobs first: they would make their pods anew.
        for path in (jobs, pods):
            eventually(
                partial(self._has_removed, path), seconds=600, what=f"the removal of all {path.rpartition('/')[2]}"
            )
        eventually(
            lambda: not any(self.admin.request("GET", path, query={"limit": "1"})["items"] for path in (jobs, pods)),
            seconds=300,
            what="an empty namespace",
        )

    def _has_removed(self, path: str) -> bool:
        """Whether the API server came through with it: it gives a request a minute, in which a slow one removes a part."""
        query = {"propagationPolicy": "Background", "gracePeriodSeconds": "0"}
        try:
            self.admin.request("DELETE", path, query=query, timeout=120)
        except (Unreachable, ServerTrouble):
            return False
        return True


@dataclass(frozen=True)
class Made:
    """An instance of the bench: its id and its node ids in order."""

    id: str
    nodes: list[str]


_STATUSES = """
SELECT status, count(*) FROM secflow_platform_workflow_workflow_instance WHERE id = ANY(%s) GROUP BY status
"""
_KEPT = """
SELECT count(*) FROM secflow_platform_workflow_node_log AS l JOIN secflow_platform_workflow_node_run AS r ON r.id = l.node_run_id
 WHERE r.instance_id = %s AND l.part = 'execution' AND l.fetched_at IS NOT NULL
"""


def chain(length: int) -> Edges:
    """The edges of a chain."""
    return [(number, number + 1) for number in range(length - 1)]


@contextmanager
def running_bed(
    folder: Path, account: Account, options: Options, say: Callable[[str], None], env: Mapping[str, str] | None = None
) -> Iterator[Bed]:
    """SecFlow with data and a namespace of its own; both are gone afterwards."""
    name = f"bench-{secrets.token_hex(3)}"
    say("starting SecFlow")
    # SecFlow ends before its objects do: it would ask the cluster why each one went.
    with ExitStack() as afterwards, running_stack(folder / name, kubeconfig=account.kubeconfig, env=env) as stack:
        admin = ClusterClient(stack.kubeconfig, read_timeout=60)
        afterwards.callback(admin.close)
        bed = Bed(stack, account, options, say, name, admin)
        admin.request("POST", "/api/v1/namespaces", body={"metadata": {"name": bed.namespace}})
        if not bed.is_local:
            afterwards.callback(_remove_namespace, bed)
        yield bed


def _remove_namespace(bed: Bed) -> None:
    bed.say("removing what was made in the cluster")
    try:
        bed.clear()
        bed.admin.request("DELETE", f"/api/v1/namespaces/{bed.namespace}")
    except NotFound:
        return
    await_namespace_gone(bed.admin, bed.namespace)


def environment(stack: Stack, **more: str) -> dict[str, Any]:
    """What another process needs to use the stack's database and cluster as SecFlow does."""
    return {
        "DATABASE_URL": stack.database_url,
        "REDIS_URL": stack.redis_url,
        "KUBECONFIG": stack.kubeconfig,
        "DJANGO_SETTINGS_MODULE": "secflow.settings",
        "SECRET_KEY": (stack.folder / "secret-key").read_text().strip(),
        "HTTPS": "false",
        "LOG_LEVEL": "WARNING",
        **more,
    }
