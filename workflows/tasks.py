"""Celery's shells over the services: ids in, one call, and another try only for what may heal by itself.

The due rows of the database are what keeps work from being lost; a task that fails for good is found by the next sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import connection

from k8s_bridge.errors import ClusterError
from secflow.http import expired
from workflows import dispatch
from workflows.services import cleaning, launching, logs, reconciling, request_keys, turns

logger = logging.getLogger(__name__)

_ALMOST_A_DAY = 23.5 * 3600
_RECONCILE_LOCK = 0x5EC_F10  # any number, the same everywhere


@shared_task(name=dispatch.LAUNCH_WORKLOADS)
def launch_workloads(workload_ids: list[int]) -> None:
    launching.launch_workloads(workload_ids=workload_ids)


@shared_task(name=dispatch.CONFIRM_WORKLOADS)
def confirm_workloads(workload_ids: list[int]) -> None:
    try:
        reconciling.confirm_workloads(workload_ids=workload_ids)
    except ClusterError as err:
        logger.warning("objects could not be confirmed; the sweep asks again: %s", err)


@shared_task(name=dispatch.CLEAN_UP_INSTANCE)
def clean_up_instance(instance_id: str) -> None:
    cleaning.clean_up_instance(instance_id=instance_id)


@shared_task(name=dispatch.CAPTURE_LOGS)
def capture_logs(node_run_ids: list[int]) -> None:
    logs.capture_logs(node_run_ids=node_run_ids)


@shared_task(name=dispatch.SWEEP)
def sweep() -> None:
    # However many beats tick, the rhythm is that of one.
    if turns.take_turn(turns.SWEEP, least=settings.SECFLOW.sweep_seconds / 2):
        do_sweep()


@shared_task(name=dispatch.RECONCILE)
def reconcile() -> None:
    if turns.take_turn(turns.RECONCILE, least=settings.SECFLOW.reconcile_seconds / 2):
        do_reconcile()


@shared_task(name=dispatch.FORGET_EXPIRED)
def forget_expired() -> None:
    # Beat asks every hour, because one that is started anew each day would never come to the end of a whole one.
    if turns.take_turn(turns.FORGET_EXPIRED, least=_ALMOST_A_DAY):
        _log_counts("expired", expired.forget_expired())


def do_sweep() -> None:
    """One sweep, whoever's turn it is."""
    _log_counts("sweep", reconciling.sweep())


def do_reconcile() -> None:
    """One reconcile, unless another process is at it. The keys of old requests go on the way."""
    _alone(_RECONCILE_LOCK, reconciling.reconcile)
    request_keys.forget_old_keys()


def _alone(lock: int, work: Callable[[], dict[str, int]]) -> None:
    """Does the work unless another process is at it: twice at once would be right, but wasted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock])
        if not cursor.fetchone()[0]:
            return
        try:
            _log_counts("reconcile", work())
        except ClusterError as err:
            logger.warning("the cluster could not be listed; the next pass tries again: %s", err)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [lock])


def _log_counts(name: str, counts: dict[str, Any]) -> None:
    found = {key: value for key, value in counts.items() if value and key != "seen"}
    if found:
        logger.info("%s: %s", name, ", ".join(f"{key} {value}" for key, value in found.items()))
