"""Races run against the cluster with nothing of the engine running but what the test itself calls."""

from tests.services.conftest import _gateway_reset, cluster, engine

__all__ = ["_gateway_reset", "cluster", "engine"]
