"""The console as a Django app: what its lists keep for their users."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """App `console`."""

    name = "secflow.console"
    label = "console"
    verbose_name = "Console"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from secflow.console.headings import make_headings_once

        make_headings_once()
