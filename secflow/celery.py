"""The Celery application: one queue, no results; every message only wakes work that the database knows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery import Celery

from secflow.settings import environment

if "celery" in Path(sys.argv[0]).parts[-2:]:
    environment.demand_parts()  # a worker or beat can do nothing without them
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secflow.settings")
# The web process and `manage.py check` run Django's checks; here they would load every view into a process that serves none.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("secflow")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["workflows"])
