"""Runs that are asked for by a trigger (contract D.7, D.8, M.2)."""

from __future__ import annotations

import hashlib
import hmac
import logging
from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now

from workflows.domain.actors import ANONYMOUS_TRIGGER, Actor
from workflows.domain.errors import Invalid, NotFound, RateLimited, Unauthenticated
from workflows.domain.statuses import RunMode, TriggerType
from workflows.domain.transitions import Verb
from workflows.models import Run, WorkflowInstance
from workflows.services.lifecycle import accept_run
from workflows.services.moves import require
from workflows.services.rates import CannotCount, counter_at

logger = logging.getLogger(__name__)


def trigger_instance(*, instance_id: str, actor: Actor, key: str | None = None) -> None:
    """Accepts a run for an authenticated caller, in both run modes; a persistent instance must be active (contract D.8)."""
    instance = _find(instance_id)
    if key is None:
        require(instance, Verb.TRIGGER)
        _require_active(instance)
    accept_run(
        instance_id=instance_id, actor=actor, verb=Verb.TRIGGER, trigger="trigger", guard=_require_active, key=key
    )


def fire_http_trigger(*, instance_id: str, secret: str | None, key: str | None = None) -> None:
    """Accepts a run for whoever calls the trigger URL. The checks come in the order of contract D.7, after the rate limit.

    Raises NotFound, Invalid, WrongStatus, Unauthenticated when secrets are required and this is not it, RateLimited, and what
    a start raises.
    """
    instance = _find(instance_id)
    is_known = not settings.SECFLOW.trigger_secrets_required or hmac.compare_digest(
        (secret or "").encode("utf-8", "replace"), trigger_secret(instance_id).encode()
    )
    _limit_rate(instance, "calls" if is_known else "strangers")
    _require_http(instance)
    if key is None:
        require(instance, Verb.TRIGGER)
    if not is_known:
        raise Unauthenticated("the trigger secret is missing or wrong: send it as X-Trigger-Token")
    accept_run(
        instance_id=instance_id,
        actor=ANONYMOUS_TRIGGER,
        verb=Verb.TRIGGER,
        trigger="http",
        guard=_require_http,
        key=key,
    )


def _require_http(instance: WorkflowInstance) -> None:
    """The switches of the HTTP trigger in the order of contract D.7. They are asked again under the lock: once they are off, no
    run is accepted any more.
    """
    if instance.run_mode != RunMode.PERSISTENT:
        raise Invalid("the HTTP trigger works for persistent workflows only", {"run_mode": instance.run_mode})
    if instance.trigger_type != TriggerType.HTTP:
        raise Invalid(
            "this workflow is triggered manually; its trigger type is not http", {"trigger_type": instance.trigger_type}
        )
    if not instance.trigger_enabled:
        raise Invalid("the HTTP trigger of this workflow is switched off", {"trigger_enabled": False})
    _require_active(instance)


def trigger_secret(instance_id: str) -> str:
    """The secret of one instance's HTTP trigger: derived from SECRET_KEY, so nothing is stored and none can be guessed."""
    key = str(settings.SECRET_KEY).encode()
    return hmac.new(key, f"trigger:{instance_id}".encode(), hashlib.sha256).hexdigest()


def _find(instance_id: str) -> WorkflowInstance:
    instance = WorkflowInstance.objects.filter(pk=instance_id).first()
    if instance is None:
        raise NotFound("workflow_instance", instance_id)
    return instance


def _require_active(instance: WorkflowInstance) -> None:
    if instance.run_mode == RunMode.PERSISTENT and not instance.is_active:
        raise Invalid(f"workflow {instance.pk} is not active; activate it first", {"is_active": False})


def _limit_rate(instance: WorkflowInstance, callers: str) -> None:
    """Raises RateLimited when the instance's trigger was called too often, whatever the answers were (contract M.2).

    Callers without the secret have a count of their own: they must not use up that of those who have it. While Valkey cannot
    count, accepted runs are counted in the database instead.
    """
    rate = settings.SECFLOW.trigger_rate
    if rate is None:
        return
    try:
        counter = counter_at(settings.SECFLOW.redis_url)
        count, seconds_left = counter.count(f"trigger:{instance.pk}:{callers}", seconds=rate.seconds)
        is_over = count > rate.count
    except CannotCount as err:
        logger.warning("trigger calls are counted by accepted runs: %s", err, extra={"instance_id": instance.pk})
        since = Now() - timedelta(seconds=rate.seconds)
        accepted = Run.objects.filter(instance=instance, trigger="http", started_at__gt=since).count()
        is_over, seconds_left = accepted >= rate.count, rate.seconds
    if is_over:
        raise RateLimited(
            f"workflow {instance.pk} was triggered {rate.count} times within {rate.seconds} s; call again later",
            {"retry_after": seconds_left},
        )
