"""The Celery application: one queue, no results; every message only wakes work that the database knows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery import Celery

from secflow.settings import environment

_is_celery = "celery" in Path(sys.argv[0]).parts[-2:]
is_worker = _is_celery and "worker" in sys.argv
if _is_celery:
    environment.demand_parts()  # a worker or beat can do nothing without them
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secflow.settings")
# The web process and `manage.py check` run Django's checks; here they would load every view into a process that serves none.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("secflow")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["workflows"])
