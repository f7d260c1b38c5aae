"""A watcher process among others: it follows the shards that it holds, and goes over to others when they change."""

from __future__ import annotations

import logging
import threading

from django.db import InterfaceError, OperationalError, close_old_connections

from k8s_bridge.shards import Shards
from k8s_bridge.watcher import Watcher
from workflows.services.cluster import gateway
from workflows.services.following import Pipeline
from workflows.services.sharding import RENEWAL, Membership, Replaced

logger = logging.getLogger(__name__)


class SharedWatch:
    """Follows this process's share of the cluster and hands what it sees to the pipeline.

    When the share changes, all of it is listed anew at once. Without the database it goes on with the share that it has.
    """

    def __init__(self, name: str, pipeline: Pipeline, *, renewal: float = RENEWAL) -> None:
        self.watcher = Watcher(None, pipeline.take)
        self.replaced: Replaced | None = None
        self._membership = Membership(name)
        self._pipeline = pipeline
        self._renewal = renewal
        self._held: dict[int, int] = {}

    @property
    def shards(self) -> list[int]:
        """What is followed now."""
        return sorted(self._held)

    def run(self, stop: threading.Event) -> None:
        """Takes part until `stop` is set. Sets it itself when another process took the name over; `replaced` says so."""
        self.watcher.start()
        try:
            while not stop.is_set():
                self._take_part(stop)
                stop.wait(self._renewal)
        finally:
            self._leave()
            self.watcher.stop()

    def _take_part(self, stop: threading.Event) -> None:
        try:
            held = self._membership.renew()
            if held != self._held:
                self._go_over(held)
        except Replaced as err:
            self.replaced = err
            stop.set()
        except (OperationalError, InterfaceError) as err:
            logger.warning("the leases of the shards cannot be renewed, trying again: %s", err)
            close_old_connections()

    def _go_over(self, held: dict[int, int]) -> None:
        source = Shards(gateway(), held) if held else None
        # A token that is another one counts: somebody else had the shard meanwhile.
        self._pipeline.forget({shard for shard, _ in held.items() ^ self._held.items()})
        self._held = held
        self.watcher.use(source)
        logger.info("following %d shards: %s", len(held), ", ".join(map(str, self.shards)) or "none")

    def _leave(self) -> None:
        try:
            self._membership.leave()
        except (OperationalError, InterfaceError) as err:
            logger.warning("the shards cannot be given back; the others take them when the leases are over: %s", err)
