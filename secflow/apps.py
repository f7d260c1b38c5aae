"""The composition root as a Django app: it brings the commands and the system checks."""

from __future__ import annotations

from django.apps import AppConfig


class SecFlowConfig(AppConfig):
    """App `secflow`."""

    name = "secflow"
    label = "secflow"
    verbose_name = "SecFlow"

    def ready(self) -> None:
        # Whoever sends a message, from whatever thread, sends it by this application.
        from secflow.celery import app

        app.set_default()
        # The checks register themselves; the Celery app becomes the one that every process sends with.
        from secflow import celery, checks  # noqa: F401
        from secflow.runtime import heartbeat, interpreter, watchdog

        heartbeat.connect_to_celery()
        interpreter.connect_to_celery()
        watchdog.connect_to_celery()
        if celery.is_worker:  # its ticker brings the engine along, which no other process would load for it
            from secflow.runtime import ticker

            ticker.connect_to_celery()
