"""The Celery application: one queue, no results; every message only wakes work that the database knows."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secflow.settings")
# The web process and `manage.py check` run Django's checks; here they would load every view into a process that serves none.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("secflow")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["workflows"])
