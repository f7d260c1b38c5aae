"""SecFlow's settings and addresses with two more views: the floor of `reads`, one raw query each, behind the same middleware and
authentication. Every answer says how many queries its view made. Used as DJANGO_SETTINGS_MODULE and as ROOT_URLCONF.
"""

from __future__ import annotations

from secflow.settings.base import *  # noqa: F403
from secflow.settings.base import MIDDLEWARE as SECFLOW_MIDDLEWARE

ROOT_URLCONF = "tests.bench.site_urls"
MIDDLEWARE = [*SECFLOW_MIDDLEWARE, "tests.bench.site_urls.CountQueries"]
