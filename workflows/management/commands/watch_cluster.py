"""`manage.py watch_cluster`: follows the cluster and applies what it says, until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from workflows.dispatch import CAPTURE_LOGS, LAUNCH_WORKLOADS, do_here, gathering
from workflows.services.following import Pipeline
from workflows.services.launching import launch_claimed
from workflows.services.watching import SharedWatch


class Command(BaseCommand):
    help = (
        "Follows Deployments, Jobs and Pods of this installation in the cluster and moves nodes by what it sees."
        " Run at least one; several side by side share the work."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--name",
            default=str(os.getpid()),
            help="tells the watchers of one host apart; with the same name a restarted one goes on at once (the process id)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from secflow.runtime import interpreter

        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        interpreter.take_turns_at_once()
        interpreter.keep_what_is_loaded()
        pipeline = Pipeline()
        watch = SharedWatch(f"{socket.gethostname()}:{options['name']}"[-200:], pipeline)
        sharing = threading.Thread(target=_share, args=(watch, stop), name="shards")
        sharing.start()
        threading.Thread(target=_beat, args=(stop, watch), name="heartbeat", daemon=True).start()
        try:
            # A hand-off is one observation and one launch: done where it was seen, it saves the way through the broker.
            with do_here(LAUNCH_WORKLOADS, launch_claimed), gathering(CAPTURE_LOGS, seconds=0.2, longest=10.0):
                pipeline.run(stop)
        finally:
            stop.set()
            sharing.join()
        if watch.replaced is not None:
            raise CommandError(str(watch.replaced))


def _share(watch: SharedWatch, stop: threading.Event) -> None:
    try:
        watch.run(stop)
    finally:
        stop.set()  # without this thread the process is of no use: whoever keeps it running starts another one
        connections.close_all()


def _beat(stop: threading.Event, watch: SharedWatch) -> None:
    """Says every few seconds that this process lives, what it follows, and how old its newest proof of the cluster's state is."""
    from secflow.runtime import heartbeat

    while not stop.is_set():
        now = time.monotonic()
        ages = {kind: None if at is None else round(now - at, 1) for kind, at in watch.watcher.fresh_at.items()}
        known = [age for age in ages.values() if age is not None]
        oldest = max(known, default=None) if len(known) == len(ages) else None
        restarts = sum(watch.watcher.restarts.values())
        details = {
            "oldest_news_seconds": oldest,
            "news_seconds": ages,
            "shards": watch.shards,
            "watch_restarts_total": restarts,
        }
        heartbeat.write("watcher", details)
        stop.wait(heartbeat.PERIOD_SECONDS)
