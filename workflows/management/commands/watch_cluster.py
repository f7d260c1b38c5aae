"""`manage.py watch_cluster`: follows the cluster and applies what it says, until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand

from k8s_bridge.watcher import Watcher
from workflows.dispatch import LAUNCH_WORKLOADS, do_here
from workflows.services.cluster import gateway
from workflows.services.following import Pipeline
from workflows.services.launching import launch_workloads


class Command(BaseCommand):
    help = (
        "Follows Deployments, Jobs and Pods of this installation in the cluster and moves nodes by what it sees."
        " Run at least one; several side by side are harmless."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        # Threads that wait for the cluster or the database must get their turn at once, not after the usual 5 ms.
        sys.setswitchinterval(0.0005)
        pipeline = Pipeline()
        watcher = Watcher(gateway(), pipeline.take)
        watcher.start()
        threading.Thread(target=_beat, args=(stop, watcher), name="heartbeat", daemon=True).start()
        try:
            # A hand-off is one observation and one launch: done where it was seen, it saves the way through the broker.
            with do_here(LAUNCH_WORKLOADS, lambda ids: launch_workloads(workload_ids=ids)):
                pipeline.run(stop)
        finally:
            watcher.stop()


def _beat(stop: threading.Event, watcher: Watcher) -> None:
    """Says every few seconds that this process lives, and how old its newest proof of the cluster's state is."""
    from secflow.runtime import heartbeat

    while not stop.is_set():
        proofs = list(watcher.fresh_at.values())
        oldest = None if None in proofs else round(time.monotonic() - min(at for at in proofs if at is not None), 1)
        heartbeat.write("watcher", {"oldest_news_seconds": oldest})
        stop.wait(heartbeat.PERIOD_SECONDS)
