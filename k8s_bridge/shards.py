"""A part of the installation's objects, for one of several watchers that share the work."""

from __future__ import annotations

from collections.abc import Collection

from k8s_bridge import names
from k8s_bridge.client import Json
from k8s_bridge.gateway import Gateway
from k8s_bridge.streams import WatchStream


class Shards:
    """What a watcher needs of the gateway, for these shards and nothing else. Costs what the gateway's verbs cost."""

    def __init__(self, gateway: Gateway, shards: Collection[int]) -> None:
        self.shards = frozenset(shards)
        self._gateway = gateway
        self._selector = names.shard_selector(gateway.installation, self.shards)

    def list_for_watch(self, kind: str) -> tuple[list[Json], str]:
        """The objects of these shards and the version to watch from."""
        return self._gateway.list_for_watch(kind, selector=self._selector)

    def watch(self, kind: str, resource_version: str, timeout: float, *, silence: float | None = None) -> WatchStream:
        """What happens to the objects of these shards after `resource_version`."""
        return self._gateway.watch(kind, resource_version, timeout, silence=silence, selector=self._selector)
