"""The WSGI application."""

from __future__ import annotations

import os
import sys

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from secflow.settings import environment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secflow.settings")
environment.demand_parts()

# System checks do not run under a WSGI server, but this one protects the machine.
if problem := environment.local_cluster_problem(settings.SECFLOW):
    sys.stderr.write(f"SecFlow cannot start:\n  - {problem}\n")
    raise SystemExit(2)

application = get_wsgi_application()
