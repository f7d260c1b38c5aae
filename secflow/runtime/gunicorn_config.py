"""Gunicorn's configuration, for `manage.py up` and containers: `gunicorn -c secflow/runtime/gunicorn_config.py`."""

from __future__ import annotations

import logging.config
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import get_resolver
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from secflow.runtime import interpreter
from secflow.runtime.tether import die_with_parent
from secflow.settings import environment

environment.demand_parts()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secflow.settings")

wsgi_app = "secflow.wsgi:application"
_host = f"[{settings.SECFLOW.bind}]" if ":" in settings.SECFLOW.bind else settings.SECFLOW.bind
bind = f"{_host}:{settings.SECFLOW.port}"
proc_name = "secflow-web"
worker_class = "gthread"
workers = 1
threads = settings.SECFLOW.web_threads
# Actions wait for the cluster at most WAIT_SECONDS; anything far beyond that hangs.
timeout = int(settings.SECFLOW.wait_seconds) + 50
graceful_timeout = 5
keepalive = 5
control_socket_disable = True
# Room for addresses with many filters, and for headers that the API then refuses in its own words.
limit_request_line = 8190
limit_request_field_size = 32 * 1024
# The heartbeat file belongs in memory: a slow disk must not get a worker killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


_until_exit = ExitStack()


def post_worker_init(worker: Any) -> None:
    """A start is accepted here, so its first nodes are launched here as well: that saves the way through the broker."""
    from workflows.dispatch import LAUNCH_WORKLOADS, do_here
    from workflows.feed.reader import reader
    from workflows.services.launching import launch_claimed

    interpreter.take_turns_at_once()
    get_resolver().reverse_dict  # noqa: B018  loads the views, which the first request would do otherwise
    interpreter.keep_what_is_loaded()
    _until_exit.enter_context(do_here(LAUNCH_WORKLOADS, launch_claimed))
    # Streams of events would keep their threads, and with them the process, until they are killed.
    reader.is_stopping = lambda: not worker.alive


def worker_exit(server: Any, worker: Any) -> None:
    """What has begun is finished; what has not is due in the database."""
    _until_exit.close()


def post_fork(server: Any, worker: Any) -> None:
    """A worker that outlived a killed master would hold the port for a while."""
    die_with_parent()


logging.config.dictConfig(settings.LOGGING)


class SecFlowLogger(Logger):
    """Gunicorn's records go the way of all others; requests are not logged one by one."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)


logger_class = SecFlowLogger
