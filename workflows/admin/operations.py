"""What operators may do to instances: the verbs of the API, by the same services (contract D.2, E)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unfold.enums import ActionVariant

from secflow.console.operations import Operation
from workflows.domain.actors import Actor, Right
from workflows.domain.errors import Forbidden
from workflows.domain.statuses import InstanceStatus, RunMode
from workflows.domain.transitions import ALLOWED, Verb
from workflows.models import WorkflowInstance
from workflows.selectors.instances import check_right
from workflows.services import forcing, lifecycle, syncing, triggers


def _calls(
    service: Callable[..., object], right: Right = Right.OPERATE, **arguments: Any
) -> Callable[[WorkflowInstance, Actor], object]:
    """The service as a view of the API calls it: after the same question about the actor's right."""

    def call(instance: WorkflowInstance, actor: Actor) -> object:
        check_right(
            actor,
            right,
            instance_id=instance.pk,
            project_id=instance.project_id,
            created_by=instance.created_by,
        )
        return service(instance_id=instance.pk, actor=actor, **arguments)

    return call


def _for_operators(service: Callable[..., object]) -> Callable[[WorkflowInstance, Actor], object]:
    """A service that the API does not offer to anybody."""

    def call(instance: WorkflowInstance, actor: Actor) -> object:
        if not actor.has_everywhere(Right.OPERATE):
            raise Forbidden("only operators and administrators may do this; ask one of them", {"id": instance.pk})
        return service(instance_id=instance.pk, actor=actor)

    return call


def _in_status(verb: Verb) -> Callable[[WorkflowInstance], bool]:
    return lambda instance: instance.status in ALLOWED[verb]


def _persistent(verb: Verb, *, active: bool) -> Callable[[WorkflowInstance], bool]:
    return lambda instance: (
        instance.run_mode == RunMode.PERSISTENT and instance.is_active is active and instance.status in ALLOWED[verb]
    )


INSTANCE_OPERATIONS = (
    Operation(
        name="initialize",
        title="Initialize",
        done="initializing was asked for",
        effect="The Deployments and Services of the app nodes are made in the cluster. Jobs do not run yet.",
        call=_calls(lifecycle.initialize_instance),
        is_allowed=_in_status(Verb.INITIALIZE),
        icon="construction",
        right="operate",
    ),
    Operation(
        name="force_initialize",
        title="Force initialize",
        done="initializing anew was asked for",
        effect=(
            "Whatever there is in the cluster is removed first, running apps included. Then the app nodes are made "
            "again from the templates as they are now."
        ),
        call=_calls(lifecycle.initialize_instance, force=True),
        is_allowed=_in_status(Verb.FORCE_INITIALIZE),
        icon="restart_alt",
        variant=ActionVariant.WARNING,
        is_destructive=True,
        right="operate",
    ),
    Operation(
        name="start",
        title="Start",
        done="a run was started",
        effect="A new run begins: every node starts as soon as all nodes before it have succeeded.",
        call=_calls(lifecycle.start_instance),
        is_allowed=_in_status(Verb.START),
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        right="operate",
    ),
    Operation(
        name="trigger",
        title="Trigger",
        done="a further run was triggered",
        effect="A further run begins. Apps that are set up stay; jobs of the last run are removed and made again.",
        call=_calls(triggers.trigger_instance),
        is_allowed=_in_status(Verb.TRIGGER),
        icon="bolt",
        right="operate",
    ),
    Operation(
        name="stop",
        title="Stop",
        done="stopped",
        effect=(
            "An open run ends as stopped. Deployments, Jobs and Services are deleted from the cluster; logs written so "
            "far are kept."
        ),
        call=_calls(lifecycle.stop_instance),
        is_allowed=_in_status(Verb.STOP),
        icon="stop_circle",
        variant=ActionVariant.WARNING,
        is_destructive=True,
        right="operate",
    ),
    Operation(
        name="uninitialize",
        title="Uninitialize",
        done="uninitializing was asked for",
        effect=(
            "An open run is stopped, and Deployments, Jobs and Services are deleted from the cluster. What is left is "
            "a draft that can be edited; run numbers, past runs and their logs are kept."
        ),
        call=_calls(lifecycle.uninitialize_instance),
        is_allowed=_in_status(Verb.UNINITIALIZE),
        icon="layers_clear",
        variant=ActionVariant.WARNING,
        is_destructive=True,
        right="operate",
    ),
    Operation(
        name="activate",
        title="Activate",
        done="accepts triggers",
        effect="Triggers are accepted again. This is for persistent workflows only.",
        call=_calls(lifecycle.activate_instance),
        is_allowed=_persistent(Verb.ACTIVATE, active=False),
        icon="toggle_on",
        right="operate",
    ),
    Operation(
        name="deactivate",
        title="Deactivate",
        done="accepts no triggers",
        effect=(
            "Triggers are refused until somebody activates it again. An open run goes on. This is for persistent "
            "workflows only."
        ),
        call=_calls(lifecycle.deactivate_instance),
        is_allowed=_persistent(Verb.DEACTIVATE, active=True),
        icon="toggle_off",
        right="operate",
    ),
    Operation(
        name="sync",
        title="Sync status",
        done="compared with the cluster",
        effect="The cluster is read and the records are made to agree with it. Nothing is made or deleted there.",
        call=_calls(syncing.sync_instance),
        is_allowed=_in_status(Verb.SYNC),
        icon="sync",
        right="operate",
    ),
    Operation(
        name="force_delete_pods",
        title="Force delete pods",
        done="pods that did not end were removed",
        effect=(
            "Pods that were told to end and do not go, as those of a lost node, are taken out of the cluster without "
            "waiting for their node. What it still runs of them may go on. All other pods are left alone."
        ),
        call=_for_operators(forcing.force_delete_pods),
        is_allowed=lambda instance: instance.status != InstanceStatus.PENDING,
        icon="delete_forever",
        variant=ActionVariant.WARNING,
        is_destructive=True,
        right="force",
    ),
    Operation(
        name="delete",
        title="Delete",
        done="deleted",
        effect=(
            "An open run is stopped first. Deployments, Jobs and Services are deleted from the cluster; nodes, runs "
            "and logs are removed from the records. Only the journal stays. This cannot be undone."
        ),
        call=_calls(lifecycle.delete_instance, Right.EDIT),
        is_allowed=_in_status(Verb.DELETE),
        icon="delete",
        variant=ActionVariant.DANGER,
        is_destructive=True,
        right="delete",
    ),
)
