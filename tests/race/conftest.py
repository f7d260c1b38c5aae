"""Races run against the cluster with nothing of the engine running but what the test itself calls."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.services.conftest import _gateway_reset, cluster, engine
from workflows.services import advancing, claims

__all__ = ["_gateway_reset", "cluster", "engine"]


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """For a busy machine: verbs wait long for their outcome, and whoever waits for a lease to end waits far longer."""
    settings.SECFLOW = replace(settings.SECFLOW, wait_seconds=50.0)
    for module in (claims, advancing):
        monkeypatch.setattr(module, "LEASE", timedelta(minutes=10))
