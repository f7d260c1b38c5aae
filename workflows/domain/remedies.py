"""What helps when the status of a workflow forbids a verb: one sentence for each pair that is refused (contract D.2)."""

from __future__ import annotations

from typing import Final

from workflows.domain.statuses import InstanceStatus
from workflows.domain.transitions import ALLOWED, Verb

_I = InstanceStatus
_V = Verb

_WAIT_FOR_RUN = "wait for the run to end, or stop it"
# Nothing but waiting, and in the end deleting, helps during the set-up.
_WAIT_FOR_SETUP = "wait until the set-up has ended"
_UNINITIALIZE = "uninitialize it first"
_SET_UP_ANEW = "set it up anew with force, or uninitialize it first"
_STOP_AND_SET_UP = "stop it, then set it up anew with force"
_RUN_AGAIN = "uninitialize it first, or use the trigger for a further run"
_REMOVE = "uninitialize it to remove what it has in the cluster"

_REMEDIES: Final[dict[Verb, dict[InstanceStatus, str]]] = {
    _V.UPDATE: {_I.RUNNING: _WAIT_FOR_RUN},
    _V.EDIT_GRAPH: {status: _UNINITIALIZE for status in _I if status is not _I.PENDING},
    _V.INITIALIZE: {
        _I.INITIALIZED: _SET_UP_ANEW,
        _I.STOPPED: _SET_UP_ANEW,
        _I.RUNNING: _STOP_AND_SET_UP,
        _I.SUCCEEDED: _UNINITIALIZE,
        _I.FAILED: _UNINITIALIZE,
    },
    _V.FORCE_INITIALIZE: {_I.RUNNING: "stop it first", _I.SUCCEEDED: _UNINITIALIZE, _I.FAILED: _UNINITIALIZE},
    _V.START: {
        _I.RUNNING: "it runs already; stop it to start it anew",
        _I.SUCCEEDED: _RUN_AGAIN,
        _I.FAILED: _RUN_AGAIN,
    },
    _V.STOP: {
        _I.PENDING: "it is a draft, and there is nothing to stop",
        _I.SUCCEEDED: _REMOVE,
        _I.FAILED: _REMOVE,
        _I.STOPPED: _REMOVE,
    },
    _V.UNINITIALIZE: {_I.PENDING: "it is a draft, and there is nothing to remove"},
    _V.ACTIVATE: {_I.PENDING: "initialize or start it first"},
    _V.TRIGGER: {_I.PENDING: "initialize or start it first", _I.RUNNING: _WAIT_FOR_RUN},
}


def remedy(verb: Verb, status: InstanceStatus) -> str:
    """What to do about a verb that the status forbids; never something that the status forbids too.

    The words hold for the API, the console and the command line.

    Raises KeyError for a verb that the status allows.
    """
    if status in ALLOWED[verb]:
        raise KeyError((verb, status))
    return _WAIT_FOR_SETUP if status is _I.INITIALIZING else _REMEDIES[verb][status]
