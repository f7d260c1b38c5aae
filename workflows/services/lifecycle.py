"""The verbs of an instance's life (contract E.2 to E.5, E.8). Each is one transaction; what the cluster has to do follows it.

Initialize, stop, uninitialize and delete wait a bounded time for the outcome; start answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction

from k8s_bridge.specs import JOB, WorkloadSpec
from workflows.domain.actors import Actor
from workflows.domain.errors import Conflict, Invalid, NotFound, Unavailable, WrongStatus
from workflows.domain.statuses import (
    CleanupGoal,
    InstanceStatus,
    NodeStatus,
    RunMode,
    RunPurpose,
    RunStatus,
)
from workflows.domain.transitions import InstanceEvent, Verb
from workflows.locks import lock_instance
from workflows.models import Cleanup, NodeRun, Run, WorkflowInstance, WorkflowNode
from workflows.services.advancing import advance, create_workloads
from workflows.services.cleaning import erase, has_anything_in_cluster, request_cleanup, stop_nodes, to_draft
from workflows.services.journal import Entry, append
from workflows.services.logs import want_logs
from workflows.services.moves import move_instance, require
from workflows.services.preflight import Prepared, check_cluster, prepare
from workflows.services.request_keys import Key
from workflows.services.runs import FRESH, close_run, open_run, open_run_of, retire, wanted_workloads
from workflows.services.setup import conclude_setup
from workflows.services.waiting import wait_until


def initialize_instance(*, instance_id: str, actor: Actor, force: bool = False) -> None:
    """Makes the app nodes (contract E.3). With `force`, what is there is removed first.

    Raises WrongStatus, Invalid without nodes, CycleFound, UnmetInputs, Conflict for a taken Service name, Unavailable; the
    instance is unchanged then. Returns when it is initialized or failed, or after the bounded wait.
    """
    verb = Verb.FORCE_INITIALIZE if force else Verb.INITIALIZE
    seen = _checked(instance_id, verb)
    prepared = prepare(seen)
    check_cluster(seen, prepared)
    with transaction.atomic():
        instance, prepared = _locked(instance_id, verb, prepared)
        now = instance.locked_at
        _close_open_run(instance, RunStatus.STOPPED, now=now)
        if retire(wanted_workloads(instance)):
            request_cleanup(instance, actor=actor.id, now=now)
        event = InstanceEvent.INITIALIZE_AGAIN if force else InstanceEvent.INITIALIZE
        move_instance(instance, event, message=None, has_warning=False)
        WorkflowNode.objects.filter(instance=instance).update(**FRESH)
        run = open_run(instance, prepared, purpose=RunPurpose.SETUP, trigger="initialize", actor=actor.id, now=now)
        append(instance, Entry("instance.initializing", actor.id, run_number=run.number, data={"force": force}))
        create_workloads(instance, run, list(run.node_runs.values_list("node_id", flat=True)), now=now)
        conclude_setup(instance, now=now)
    _wait(lambda: not WorkflowInstance.objects.filter(pk=instance_id, status=InstanceStatus.INITIALIZING).exists())


def start_instance(*, instance_id: str, actor: Actor, key: str | None = None) -> None:
    """Accepts a run (contract E.5); the instance is `running` when this returns. With a `key` that was used already, nothing is
    done: the run of then is the run of this request.

    Raises WrongStatus, Invalid without nodes, CycleFound, UnmetInputs, Conflict, Unavailable; nothing is changed or counted then.
    """
    accept_run(instance_id=instance_id, actor=actor, verb=Verb.START, trigger="start", key=key)


def accept_run(
    *,
    instance_id: str,
    actor: Actor,
    verb: Verb,
    trigger: str,
    guard: Callable[[WorkflowInstance], None] = lambda instance: None,
    key: str | None = None,
) -> None:
    """The one way a run begins, whoever asks for it. `verb` is START or TRIGGER and decides which statuses allow it.

    `guard` raises when something else forbids it; it sees the locked instance. A caller's `key` accepts one run at most.
    """
    if key is None:
        _accept_run(instance_id, actor, verb, trigger, guard, None)
        return
    # Start and trigger share their keys: which of them fits is a matter of the status, which the first request has changed.
    mark = Key(instance_id, "http" if trigger == "http" else "start", actor.id, key)
    if mark.is_used():
        return
    try:
        _accept_run(instance_id, actor, verb, trigger, guard, mark)
    except (WrongStatus, IntegrityError):
        # The same request may have come through in the meantime, and made the status what it is.
        if not mark.is_used():
            raise


def _accept_run(
    instance_id: str,
    actor: Actor,
    verb: Verb,
    trigger: str,
    guard: Callable[[WorkflowInstance], None],
    mark: Key | None,
) -> None:
    seen = _checked(instance_id, verb)
    prepared = prepare(seen)
    lost = check_cluster(seen, prepared)
    with transaction.atomic():
        instance, prepared = _locked(instance_id, verb, prepared)
        guard(instance)
        now = instance.locked_at
        _close_open_run(instance, RunStatus.SUCCEEDED, now=now)
        _retire_what_a_new_run_replaces(instance, prepared, lost, actor=actor, now=now)
        WorkflowNode.objects.filter(instance=instance).update(**FRESH)
        move_instance(
            instance,
            InstanceEvent.START if verb is Verb.START else InstanceEvent.TRIGGER,
            run_count=instance.run_count + 1,
            last_run_at=now,
            started_at=now,
            finished_at=None,
            message=None,
            has_warning=False,
        )
        run = open_run(instance, prepared, purpose=RunPurpose.RUN, trigger=trigger, actor=actor.id, now=now)
        if mark is not None:
            mark.use(run_number=run.number)
        append(instance, Entry("run.accepted", actor.id, run_number=run.number, data={"trigger": trigger}))
        advance(instance, run, now=now)


def _retire_what_a_new_run_replaces(
    instance: WorkflowInstance, prepared: Prepared, lost: frozenset[str], *, actor: Actor, now: datetime
) -> None:
    """Old Jobs go; an app's Deployment stays if it is still what the templates ask for and has not lost its Service
    (contract D.3, E.5).
    """
    replaced = [
        workload.pk
        for workload in wanted_workloads(instance).select_related("node_run")
        if workload.kind == JOB
        or workload.service_name in lost
        or WorkloadSpec.from_json(workload.node_run.spec) != prepared.specs[workload.node_id]
    ]
    if replaced and retire(wanted_workloads(instance).filter(pk__in=replaced)):
        request_cleanup(instance, actor=actor.id, now=now)


def stop_instance(*, instance_id: str, actor: Actor) -> None:
    """Stops the instance and removes what it has in the cluster (contract E.2).

    Raises WrongStatus, and Unavailable when the cluster could not be reached: the instance is stopped then all the same, and the
    removal is tried again until it is done.
    """
    with transaction.atomic():
        instance = lock_instance(instance_id)
        require(instance, Verb.STOP)
        _refuse_if_leaving(instance)
        _stop(instance, actor=actor, now=instance.locked_at)
    _wait_for_cleanup(instance_id)


def _stop(instance: WorkflowInstance, *, actor: Actor, now: datetime) -> None:
    run = open_run_of(instance)
    was_running = instance.status == InstanceStatus.RUNNING
    if run is not None:
        _close_run_with_logs(run, RunStatus.STOPPED, now=now)
    move_instance(instance, InstanceEvent.STOP, **({"finished_at": now} if was_running else {}))
    retire(wanted_workloads(instance))
    stop_nodes(instance, now=now)
    append(instance, Entry("instance.stopped", actor.id, run_number=run.number if run and was_running else None))
    request_cleanup(instance, actor=actor.id, now=now)


def uninitialize_instance(*, instance_id: str, actor: Actor) -> None:
    """Removes what the instance has in the cluster and makes it a draft again (contract E.2).

    Raises WrongStatus, and Unavailable when the cluster could not be reached: the status is unchanged then, and the removal is
    tried again until it is done.
    """
    with transaction.atomic():
        instance = lock_instance(instance_id)
        require(instance, Verb.UNINITIALIZE)
        _refuse_if_leaving(instance, unless=CleanupGoal.UNINITIALIZE)
        now = instance.locked_at
        run = open_run_of(instance)
        if run is not None:
            _close_run_with_logs(run, RunStatus.STOPPED, now=now)
        if not has_anything_in_cluster(instance):
            to_draft(instance, actor=actor.id)
            return
        retire(wanted_workloads(instance))
        append(instance, Entry("instance.uninitializing", actor.id))
        request_cleanup(instance, actor=actor.id, now=now, goal=CleanupGoal.UNINITIALIZE)
    _wait_for_cleanup(instance_id)


def delete_instance(*, instance_id: str, actor: Actor) -> None:
    """Removes the instance and everything it has in the cluster (contract D.4).

    A running one is stopped first. Raises Unavailable when the cluster could not be reached, or when objects did not go within
    the bounded wait: the row stays, marked, and goes as soon as they are gone.
    """
    with transaction.atomic():
        instance = lock_instance(instance_id)
        now = instance.locked_at
        if instance.status == InstanceStatus.RUNNING:
            _stop(instance, actor=actor, now=now)
        _close_open_run(instance, RunStatus.STOPPED, now=now)
        if not has_anything_in_cluster(instance):
            erase(instance, actor=actor.id)
            return
        retire(wanted_workloads(instance))
        append(instance, Entry("instance.deleting", actor.id))
        request_cleanup(instance, actor=actor.id, now=now, goal=CleanupGoal.DELETE)
    if not _wait_for_cleanup(instance_id):
        raise Unavailable(
            f"workflow {instance_id} is marked for deletion, but its objects are not gone yet; it goes by itself when they are",
            {"id": instance_id, "pending": CleanupGoal.DELETE},
        )


def activate_instance(*, instance_id: str, actor: Actor) -> None:
    """Lets a persistent instance accept triggers again (contract E.8). Raises Invalid in mode `once`, WrongStatus."""
    _set_active(instance_id, actor, Verb.ACTIVATE, is_active=True)


def deactivate_instance(*, instance_id: str, actor: Actor) -> None:
    """Lets a persistent instance accept no triggers; a run that is open goes on (contract E.8). Raises Invalid in mode `once`."""
    _set_active(instance_id, actor, Verb.DEACTIVATE, is_active=False)


def _set_active(instance_id: str, actor: Actor, verb: Verb, *, is_active: bool) -> None:
    with transaction.atomic():
        instance = lock_instance(instance_id)
        _refuse_if_leaving(instance, unless=CleanupGoal.UNINITIALIZE)
        if instance.run_mode != RunMode.PERSISTENT:
            raise Invalid(
                f"workflow {instance_id} has run mode once; only persistent workflows can {verb.value}",
                {"run_mode": instance.run_mode},
            )
        require(instance, verb)
        if instance.is_active != is_active:
            WorkflowInstance.objects.filter(pk=instance_id).update(is_active=is_active)
            append(instance, Entry(f"instance.{verb.value}d", actor.id))


def _checked(instance_id: str, verb: Verb) -> WorkflowInstance:
    """The instance without a lock, refused early when its status does not allow the verb."""
    instance = WorkflowInstance.objects.filter(pk=instance_id).first()
    if instance is None:
        raise NotFound("workflow_instance", instance_id)
    require(instance, verb)
    _refuse_if_leaving(instance)
    return instance


def _locked(instance_id: str, verb: Verb, prepared: Prepared) -> tuple[WorkflowInstance, Prepared]:
    """The instance under its lock, with what was prepared for it; prepared again if it changed since."""
    instance = lock_instance(instance_id)
    require(instance, verb)
    _refuse_if_leaving(instance)
    return instance, prepared if prepared.version == instance.version else prepare(instance)


def _refuse_if_leaving(instance: WorkflowInstance, *, unless: CleanupGoal | None = None) -> None:
    goal = Cleanup.objects.filter(instance=instance).values_list("goal", flat=True).first()
    if goal is None or goal in (CleanupGoal.TIDY, unless):
        return
    word = "deleted" if goal == CleanupGoal.DELETE else "uninitialized"
    raise Conflict(f"workflow {instance.pk} is being {word}; wait until that is done", {"pending": goal})


def _close_open_run(instance: WorkflowInstance, status: RunStatus, *, now: datetime) -> None:
    run = open_run_of(instance)
    if run is not None:
        close_run(run, status, now=now)


def _close_run_with_logs(run: Run, status: RunStatus, *, now: datetime) -> None:
    """Closes a run whose pods are about to go: what they wrote so far is noted to be fetched first."""
    running = list(
        NodeRun.objects.defer("spec").filter(run=run, status=NodeStatus.RUNNING, workload__uid__isnull=False)
    )
    close_run(run, status, now=now)
    for record in running:
        record.run, record.status = run, NodeStatus.STOPPED
    want_logs(running, now=now)


def _wait(is_true: Callable[[], bool]) -> bool:
    return wait_until(is_true, seconds=settings.SECFLOW.wait_seconds)


def _wait_for_cleanup(instance_id: str) -> bool:
    """Waits until the instance's clean-up is done. False: not yet. Raises Unavailable when a try met an error."""
    row: tuple[str | None, str] | None = None

    def is_over() -> bool:
        nonlocal row
        row = Cleanup.objects.filter(pk=instance_id).values_list("error", "goal").first()
        return row is None or row[0] is not None

    is_done = wait_until(is_over, seconds=settings.SECFLOW.wait_seconds)
    if row is not None and row[0]:
        error, goal = row
        raise Unavailable(
            f"the cluster cannot be used now: {error}; it will be tried again", {"id": instance_id, "pending": goal}
        )
    return is_done
