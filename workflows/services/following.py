"""From raw objects to applied observations, in one process that follows the cluster."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

from django.db import InterfaceError, OperationalError, close_old_connections

from k8s_bridge.observations import Observation, observe
from k8s_bridge.watcher import Change, Snapshot
from workflows.services.observing import apply_observations

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 200  # observations in one pass: large enough to keep up, small enough to keep transactions short
REMEMBERED = 50_000  # last observations kept to drop repetitions


class Pipeline:
    """From raw objects to applied observations: many producers, one consumer.

    What could not be applied is offered again, so a restart of the database costs time and nothing else; should this process
    die, reconcile finds the same facts in the cluster.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Observation] = queue.SimpleQueue()
        self._last: dict[tuple[str, str], Observation] = {}

    def take(self, news: Snapshot | Change) -> None:
        """A complete list or one change. What says nothing new is dropped here, without any query.

        Objects that a new list no longer has are left to reconcile, which confirms before it judges.
        """
        if isinstance(news, Change):
            self._take_one(news.kind, news.obj, deleted=news.type == "DELETED")
            return
        # The newest pod of a workload speaks for it, so it has to come last.
        for item in sorted(news.items, key=lambda item: item["metadata"].get("creationTimestamp") or ""):
            self._take_one(news.kind, item, deleted=False)

    def _take_one(self, kind: str, obj: dict[str, Any], *, deleted: bool) -> None:
        seen = observe(kind, obj, deleted=deleted)
        if seen is None:
            return
        key = (kind, seen.uid)
        if self._last.get(key) == seen:
            return
        if deleted:
            self._last.pop(key, None)
        else:
            if len(self._last) >= REMEMBERED:
                self._last.clear()
            self._last[key] = seen
        self._waiting.put(seen)

    def run(self, stop: threading.Event) -> None:
        """Applies what arrives, in order, until `stop` is set."""
        while not stop.is_set():
            batch = self._next_batch()
            if batch:
                self._apply(batch, stop)

    def _apply(self, batch: list[Observation], stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                apply_observations(batch)
            except (OperationalError, InterfaceError) as err:
                logger.warning("observations could not be written and are tried again: %s", err)
                close_old_connections()
                stop.wait(1.0)
                continue
            except Exception:
                # One that cannot be applied must not keep the others from it: each is tried alone, and that one is dropped.
                if len(batch) == 1:
                    logger.exception("an observation cannot be applied: %s", batch[0])
                    return
                for seen in batch:
                    self._apply([seen], stop)
            return

    def _next_batch(self) -> list[Observation]:
        try:
            batch = [self._waiting.get(timeout=0.5)]
        except queue.Empty:
            return []
        while len(batch) < MOST_AT_ONCE:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch
