"""Django's settings module.

The names come from `base` when Django first asks, so that `manage.py` and the supervisor can use `environment` before,
and without, a complete environment.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if not name.isupper():
        raise AttributeError(name)
    return getattr(import_module("secflow.settings.base"), name)


def __dir__() -> list[str]:
    return [name for name in dir(import_module("secflow.settings.base")) if name.isupper()]
