"""Objects in one SQLite table, so that the cluster survives its own restart.

Writes are gathered and committed together after a short delay: an end by SIGKILL or power loss may lose the last
`COMMIT_DELAY` seconds, a clean stop loses nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any, Final

from k8s_bridge.localcluster.history import encode

logger = logging.getLogger(__name__)

COMMIT_DELAY: Final = 0.1
RETRY_DELAY: Final = 2.0
# The row that keeps the counter of resource versions; no object has an empty kind.
_COUNTER: Final = ("", "", "resourceVersion")

Key = tuple[str, str, str]
"""Kind, namespace (empty for cluster-wide kinds), name."""


class Persistence:
    """The table behind a store; with `path` None nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._database: sqlite3.Connection | None = None
        self._changed: dict[Key, dict[str, Any] | None] = {}
        self._counter = 0
        self._timer: asyncio.TimerHandle | None = None
        if path is None:
            return
        path.touch(mode=0o600, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS objects (kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,"
            " body BLOB NOT NULL, PRIMARY KEY (kind, namespace, name)) WITHOUT ROWID"
        )

    def load(self) -> tuple[list[tuple[Key, dict[str, Any]]], int]:
        """Every kept object and the last committed resource version (0 when there is none)."""
        if self._database is None:
            return [], 0
        objects: list[tuple[Key, dict[str, Any]]] = []
        counter = 0
        for kind, namespace, name, body in self._database.execute("SELECT kind, namespace, name, body FROM objects"):
            if (kind, namespace, name) == _COUNTER:
                counter = int(body)
            else:
                objects.append(((kind, namespace, name), json.loads(body)))
        return objects, counter

    def put(self, key: Key, obj: dict[str, Any] | None, resource_version: int) -> None:
        """Note an object (None = gone) for the next commit. Without a running event loop it is committed at once."""
        if self._database is None:
            return
        self._changed[key] = obj
        self._counter = resource_version
        if self._timer is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.commit()
            return
        self._timer = loop.call_later(COMMIT_DELAY, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        try:
            self.commit()
        except sqlite3.Error:
            # Memory stays the truth and the rows stay noted: a full disk heals without a lost object.
            logger.exception("objects could not be written to disk; the next attempt follows shortly")
            self._timer = asyncio.get_running_loop().call_later(RETRY_DELAY, self._on_timer)

    def commit(self) -> None:
        """Write everything noted in one transaction; on failure it stays noted."""
        if self._database is None or not self._changed:
            return
        written = [(*key, encode(obj)) for key, obj in self._changed.items() if obj is not None]
        gone = [key for key, obj in self._changed.items() if obj is None]
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", written)
            database.executemany("DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?", gone)
            database.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (*_COUNTER, str(self._counter)))
            database.execute("COMMIT")
        except sqlite3.Error:
            database.execute("ROLLBACK")
            raise
        self._changed.clear()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._database is not None:
            self.commit()
            self._database.close()
            self._database = None
