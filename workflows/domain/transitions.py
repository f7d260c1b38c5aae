"""Every allowed move of an instance and of a node: one table each, one target per event (contract D.2, E.2, E.6).

pending --initialize--> initializing --set_up--> initialized --accept_run--> running --run_succeeded--> succeeded
                              |                                    ^            |---run_failed------> failed
                              +--set_up_failed--> failed           |            +---stop------------> stopped
                                                                   +-- a trigger also from succeeded and failed
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from workflows.domain.statuses import InstanceStatus, NodeStatus

_I = InstanceStatus
_N = NodeStatus


class InstanceEvent(StrEnum):
    """What may happen to an instance (contract E.2)."""

    INITIALIZE = "initialize"
    INITIALIZE_AGAIN = "initialize_again"
    SET_UP = "set_up"
    SET_UP_FAILED = "set_up_failed"
    START = "start"
    TRIGGER = "trigger"
    RUN_SUCCEEDED = "run_succeeded"
    RUN_FAILED = "run_failed"
    STOP = "stop"
    UNINITIALIZE = "uninitialize"


class NodeEvent(StrEnum):
    """What may happen to a node while it is in a run or being set up (contract E.6)."""

    LAUNCH = "launch"
    SUCCEED = "succeed"
    FAIL = "fail"
    EXPIRE = "expire"
    VANISH = "vanish"


class SetupEvent(StrEnum):
    """What an app node follows while its instance is set up and no run was accepted (contract E.3, E.6)."""

    START = "start"
    READY = "ready"
    UNREADY = "unready"
    FAIL = "fail"
    VANISH = "vanish"


INSTANCE_MOVES: Final[dict[InstanceEvent, tuple[frozenset[InstanceStatus], InstanceStatus]]] = {
    InstanceEvent.INITIALIZE: (frozenset({_I.PENDING}), _I.INITIALIZING),
    InstanceEvent.INITIALIZE_AGAIN: (frozenset({_I.PENDING, _I.INITIALIZED, _I.STOPPED}), _I.INITIALIZING),
    InstanceEvent.SET_UP: (frozenset({_I.INITIALIZING}), _I.INITIALIZED),
    InstanceEvent.SET_UP_FAILED: (frozenset({_I.INITIALIZING}), _I.FAILED),
    InstanceEvent.START: (frozenset({_I.PENDING, _I.INITIALIZED, _I.STOPPED}), _I.RUNNING),
    InstanceEvent.TRIGGER: (frozenset({_I.INITIALIZED, _I.STOPPED, _I.SUCCEEDED, _I.FAILED}), _I.RUNNING),
    InstanceEvent.RUN_SUCCEEDED: (frozenset({_I.RUNNING}), _I.SUCCEEDED),
    InstanceEvent.RUN_FAILED: (frozenset({_I.RUNNING}), _I.FAILED),
    InstanceEvent.STOP: (frozenset({_I.INITIALIZED, _I.RUNNING}), _I.STOPPED),
    InstanceEvent.UNINITIALIZE: (
        frozenset({_I.INITIALIZED, _I.RUNNING, _I.SUCCEEDED, _I.FAILED, _I.STOPPED}),
        _I.PENDING,
    ),
}

# Moves by what is observed. An ended status has no way out: it is final for the run.
NODE_MOVES: Final[dict[NodeEvent, tuple[frozenset[NodeStatus], NodeStatus]]] = {
    NodeEvent.LAUNCH: (frozenset({_N.PENDING}), _N.RUNNING),
    NodeEvent.SUCCEED: (frozenset({_N.RUNNING}), _N.SUCCEEDED),
    NodeEvent.FAIL: (frozenset({_N.RUNNING}), _N.FAILED),
    NodeEvent.EXPIRE: (frozenset({_N.RUNNING}), _N.FAILED),
    NodeEvent.VANISH: (frozenset({_N.RUNNING}), _N.FAILED),
}

# During set-up no result exists yet: the node mirrors its Deployment, both ways. A vanished one waits to be made again.
SETUP_MOVES: Final[dict[SetupEvent, tuple[frozenset[NodeStatus], NodeStatus]]] = {
    SetupEvent.START: (frozenset({_N.PENDING}), _N.RUNNING),
    SetupEvent.READY: (frozenset({_N.PENDING, _N.RUNNING}), _N.SUCCEEDED),
    SetupEvent.UNREADY: (frozenset({_N.SUCCEEDED}), _N.RUNNING),
    SetupEvent.FAIL: (frozenset({_N.PENDING, _N.RUNNING}), _N.FAILED),
    SetupEvent.VANISH: (frozenset({_N.PENDING, _N.RUNNING, _N.SUCCEEDED}), _N.PENDING),
}


class Verb(StrEnum):
    """What callers ask of an instance, as the contract's table D.2 lists it."""

    UPDATE = "update"
    EDIT_GRAPH = "edit_graph"
    INITIALIZE = "initialize"
    FORCE_INITIALIZE = "force_initialize"
    START = "start"
    STOP = "stop"
    UNINITIALIZE = "uninitialize"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    TRIGGER = "trigger"
    SYNC = "sync"
    DELETE = "delete"


_EVERY = frozenset(InstanceStatus)

ALLOWED: Final[dict[Verb, frozenset[InstanceStatus]]] = {
    Verb.UPDATE: _EVERY - {_I.INITIALIZING, _I.RUNNING},
    Verb.EDIT_GRAPH: frozenset({_I.PENDING}),
    Verb.INITIALIZE: INSTANCE_MOVES[InstanceEvent.INITIALIZE][0],
    Verb.FORCE_INITIALIZE: INSTANCE_MOVES[InstanceEvent.INITIALIZE_AGAIN][0],
    Verb.START: INSTANCE_MOVES[InstanceEvent.START][0],
    Verb.STOP: INSTANCE_MOVES[InstanceEvent.STOP][0],
    Verb.UNINITIALIZE: INSTANCE_MOVES[InstanceEvent.UNINITIALIZE][0],
    Verb.ACTIVATE: _EVERY - {_I.PENDING, _I.INITIALIZING},
    Verb.DEACTIVATE: _EVERY,
    Verb.TRIGGER: INSTANCE_MOVES[InstanceEvent.TRIGGER][0],
    Verb.SYNC: _EVERY,
    Verb.DELETE: _EVERY,
}


def allowed_words(verb: Verb) -> list[str]:
    """The statuses that allow a verb, in the order of the life cycle."""
    return [status.value for status in InstanceStatus if status in ALLOWED[verb]]
