"""System checks of the composition root."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from secflow.settings.environment import local_cluster_problem


@register()
def check_local_cluster(**kwargs: Any) -> list[CheckMessage]:
    """The local cluster runs pods as processes of this machine: it must not be offered to a network by accident."""
    problem = local_cluster_problem(settings.SECFLOW)
    return [Error(problem, id="secflow.E001")] if problem else []
