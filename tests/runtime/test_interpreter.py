"""How Python runs in the processes that serve. Each in a process of its own: nothing of it can be taken back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from secflow.settings.environment import BASE_DIR

WEB = """
from secflow.runtime import gunicorn_config

class Worker:
    alive = True

gunicorn_config.post_worker_init(Worker())
assert "workflows.api.views_instances" in sys.modules  # not with the first request
assert sys.getswitchinterval() <= 0.001
"""
WORKER = """
from celery import signals
from secflow.runtime.interpreter import _keep

assert _keep in [receiver for _, receiver in signals.worker_ready.receivers]
_keep(sender=None)
"""
WATCHER = """
from django.core.management import call_command
from workflows.management.commands import watch_cluster

class HasBegun(BaseException):
    pass

def begin(*_):
    raise HasBegun

watch_cluster.SharedWatch = begin
try:
    call_command("watch_cluster")
except HasBegun:
    assert sys.getswitchinterval() <= 0.001
else:
    raise AssertionError("it did not begin")
"""
FRAME = """
import gc, sys
import django
django.setup()
{serve}
loaded, looked_at = gc.get_freeze_count(), len(gc.get_objects())
assert loaded > 50_000 and looked_at < loaded / 10, (loaded, looked_at)
"""


@pytest.mark.parametrize("serve", [WEB, WORKER, WATCHER], ids=["web", "worker", "watcher"])
def test_what_a_process_that_serves_has_loaded_is_out_of_the_collectors_way(serve: str) -> None:
    command = [sys.executable, "-c", FRAME.format(serve=serve)]
    done = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr
