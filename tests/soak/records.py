"""An independent look at cluster and database, past every proxy: what the checks are about."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg

from k8s_bridge.gateway import Gateway
from k8s_bridge.kinds import POD, SERVICE
from k8s_bridge.names import owner_of
from k8s_bridge.specs import DEPLOYMENT, JOB
from k8s_bridge.watcher import Change, Snapshot, Watcher
from tests.soak.checks import Entry, Sample, Seen
from tests.stack import ROLES, Stack, eventually


class ClusterRecord:
    """Every object of one installation that was ever there."""

    def __init__(self, kubeconfig: str, *, installation: str) -> None:
        self.gateway = Gateway.connect(kubeconfig, installation=installation)
        self._watcher = Watcher(
            self.gateway, self._take, kinds=(DEPLOYMENT, JOB, POD, SERVICE), first_delay=0.2, last_delay=2.0
        )
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}
        self._places: dict[str, str] = {}  # uid -> namespace
        self._ended: set[str] = set()  # uids of pods and Jobs that have ended

    def __enter__(self) -> ClusterRecord:
        self._watcher.start()
        eventually(lambda: self._watcher.is_synced, what="the first list of the soak's own watch")
        return self

    def __exit__(self, *_: object) -> None:
        self._watcher.stop()
        self.gateway.close()

    def objects(self) -> list[Seen]:
        with self._lock:
            return list(self._seen.values())

    def of(self, instance_id: str) -> list[Seen]:
        with self._lock:
            return [one for one in self._seen.values() if one.instance_id == instance_id]

    def forget(self, instance_id: str) -> None:
        """Drops what is gone of an instance that was judged: an hour makes many objects."""
        with self._lock:
            for uid in [uid for uid, one in self._seen.items() if one.instance_id == instance_id and one.gone_at]:
                del self._seen[uid], self._places[uid]
                self._ended.discard(uid)

    def living(self, kind: str) -> list[tuple[Seen, str]]:
        """Objects of a kind that are at work, oldest first, each with its namespace."""
        with self._lock:
            found = [
                (one, self._places[uid])
                for uid, one in self._seen.items()
                if one.kind == kind and one.leaving_at is None and one.gone_at is None and uid not in self._ended
            ]
        return sorted(found, key=lambda pair: (pair[0].first_at, pair[0].name))

    def _take(self, news: Snapshot | Change) -> None:
        now = time.time()
        with self._lock:
            if isinstance(news, Change):
                self._note(news.kind, news.obj, now, is_gone=news.type == "DELETED")
                return
            for item in news.items:
                self._note(news.kind, item, now)
            there = {item["metadata"]["uid"] for item in news.items}
            for uid, one in self._seen.items():
                if one.kind == news.kind and one.gone_at is None and uid not in there:
                    one.gone_at = now

    def _note(self, kind: str, item: dict[str, Any], now: float, *, is_gone: bool = False) -> None:
        owner, meta = owner_of(item), item["metadata"]
        if owner is None:
            return
        uid = meta["uid"]
        one = self._seen.get(uid)
        if one is None:
            one = Seen(kind, meta["name"], uid, owner.instance_id, owner.node_id, owner.run, owner.attempt, now)
            one.key = _key_of(kind, item)
            self._seen[uid], self._places[uid] = one, meta["namespace"]
        if meta.get("deletionTimestamp") and one.leaving_at is None:
            one.leaving_at = now
        if is_gone:
            one.gone_at = now
        status = item.get("status") or {}
        one.succeeded |= status.get("phase") == "Succeeded" or bool(kind == JOB and status.get("succeeded"))
        done = status.get("phase") in ("Succeeded", "Failed") or (kind == JOB and status.get("completionTime"))
        if done:
            self._ended.add(uid)


def _key_of(kind: str, item: dict[str, Any]) -> str | None:
    """The name that the container of a pod or Job is given by its node."""
    if kind not in (POD, JOB):
        return None
    spec = item["spec"] if kind == POD else item["spec"]["template"]["spec"]
    return next((one.get("value") for one in spec["containers"][0].get("env") or () if one["name"] == "SOAK_KEY"), None)


class DatabaseRecord:
    """The rows that the checks are about. Each call is one short connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def _open(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self._url, connect_timeout=10) as connection:
            yield connection

    def journal(self, instance_id: str) -> list[Entry]:
        with self._open() as connection:
            rows = connection.execute(
                "SELECT sequence, kind, node_id, extract(epoch FROM created_at)::float8, run_number"
                " FROM secflow_platform_workflow_event WHERE instance_id = %s ORDER BY sequence",
                [instance_id],
            ).fetchall()
        return [Entry(*row) for row in rows]

    def statuses(self) -> dict[int, str]:
        """The status of every record of a run; those of a set-up follow their app both ways."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT n.id, n.status FROM secflow_platform_workflow_node_run AS n"
                " JOIN secflow_platform_workflow_run AS r ON r.id = n.run_id WHERE r.purpose = 'run'"
            ).fetchall()
        return dict(rows)

    def progress(self) -> list[float]:
        """When nodes began or ended."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT extract(epoch FROM created_at)::float8 FROM secflow_platform_workflow_event"
                " WHERE kind LIKE 'node.%' AND actor = 'system'"
            ).fetchall()
        return [row[0] for row in rows]


def samples(stack: Stack) -> list[Sample]:
    """What each process of the stack uses now. A web process is its master and its workers together."""
    found = []
    for role in ROLES:
        for pid in stack.pids(role):
            try:
                process = psutil.Process(pid)
                family = [process, *process.children(recursive=True)]
                memory = sum(one.memory_info().rss for one in family)
                files = sum(one.num_fds() for one in family)
                found.append(Sample(role, pid, time.time() - process.create_time(), memory, files))
            except psutil.Error:
                continue  # it has just ended; the supervisor starts another
    return found
