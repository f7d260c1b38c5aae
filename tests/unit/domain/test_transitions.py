"""Every pair of status and event, and the contract's table D.2 cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from workflows.domain.statuses import ENDED, InstanceStatus, NodeStatus
from workflows.domain.transitions import (
    ALLOWED,
    INSTANCE_MOVES,
    NODE_MOVES,
    SETUP_MOVES,
    InstanceEvent,
    NodeEvent,
    SetupEvent,
    Verb,
    allowed_words,
)

# From -> event -> to, as in E.2. What is not written here is not allowed.
INSTANCE = {
    "pending": {"initialize": "initializing", "initialize_again": "initializing", "start": "running"},
    "initializing": {"set_up": "initialized", "set_up_failed": "failed"},
    "initialized": {
        "initialize_again": "initializing",
        "start": "running",
        "trigger": "running",
        "stop": "stopped",
        "uninitialize": "pending",
    },
    "running": {"run_succeeded": "succeeded", "run_failed": "failed", "stop": "stopped", "uninitialize": "pending"},
    "succeeded": {"trigger": "running", "uninitialize": "pending"},
    "failed": {"trigger": "running", "uninitialize": "pending"},
    "stopped": {
        "initialize_again": "initializing",
        "start": "running",
        "trigger": "running",
        "uninitialize": "pending",
    },
}

# From -> event -> to, as in E.6 within a run.
NODE = {
    "pending": {"launch": "running"},
    "running": {"succeed": "succeeded", "fail": "failed", "expire": "failed", "vanish": "failed"},
    "succeeded": {},
    "failed": {},
    "stopped": {},
}

# From -> event -> to, as in E.3 and E.6 before any run: the node mirrors its Deployment.
SETUP = {
    "pending": {"start": "running", "ready": "succeeded", "fail": "failed", "vanish": "pending"},
    "running": {"ready": "succeeded", "fail": "failed", "vanish": "pending"},
    "succeeded": {"unready": "running", "vanish": "pending"},
    "failed": {},
    "stopped": {},
}

# D.2. Columns: pending, initializing, initialized, running, succeeded, failed, stopped.
CELLS = {
    "update": "yes no  yes no  yes yes yes",
    "edit_graph": "yes no  no  no  no  no  no",
    "initialize": "yes no  no  no  no  no  no",
    "force_initialize": "yes no  yes no  no  no  yes",
    "start": "yes no  yes no  no  no  yes",
    "stop": "no  no  yes yes no  no  no",
    "uninitialize": "no  no  yes yes yes yes yes",
    "activate": "no  no  yes yes yes yes yes",
    "deactivate": "yes yes yes yes yes yes yes",
    "trigger": "no  no  yes no  yes yes yes",
    "sync": "yes yes yes yes yes yes yes",
    "delete": "yes yes yes yes yes yes yes",
}
COLUMNS = ["pending", "initializing", "initialized", "running", "succeeded", "failed", "stopped"]

Moves = Mapping[Any, tuple[frozenset[Any], StrEnum]]


def moved(moves: Moves, status: StrEnum, event: StrEnum) -> str | None:
    sources, target = moves[event]
    return str(target) if status in sources else None


@pytest.mark.parametrize(("status", "event"), list(product(InstanceStatus, InstanceEvent)))
def test_instance_moves_as_written(status: InstanceStatus, event: InstanceEvent) -> None:
    assert moved(INSTANCE_MOVES, status, event) == INSTANCE[status].get(event)


@pytest.mark.parametrize(("status", "event"), list(product(NodeStatus, NodeEvent)))
def test_node_moves_as_written(status: NodeStatus, event: NodeEvent) -> None:
    assert moved(NODE_MOVES, status, event) == NODE[status].get(event)


@pytest.mark.parametrize(("status", "event"), list(product(NodeStatus, SetupEvent)))
def test_node_being_set_up_moves_as_written(status: NodeStatus, event: SetupEvent) -> None:
    assert moved(SETUP_MOVES, status, event) == SETUP[status].get(event)


@pytest.mark.parametrize(("status", "event"), list(product(sorted(ENDED), NodeEvent)))
def test_ended_node_is_final_within_a_run(status: NodeStatus, event: NodeEvent) -> None:
    assert moved(NODE_MOVES, status, event) is None


@pytest.mark.parametrize(
    ("verb", "status", "cell"),
    [(verb, status, cell) for verb, row in CELLS.items() for status, cell in zip(COLUMNS, row.split(), strict=True)],
)
def test_verb_is_allowed_as_in_the_contract(verb: str, status: str, cell: str) -> None:
    assert (InstanceStatus(status) in ALLOWED[Verb(verb)]) is (cell == "yes")


def test_every_verb_has_its_row() -> None:
    assert set(CELLS) == set(Verb) == set(ALLOWED)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (Verb.START, ["pending", "initialized", "stopped"]),
        (Verb.TRIGGER, ["initialized", "succeeded", "failed", "stopped"]),
        (Verb.STOP, ["initialized", "running"]),
    ],
)
def test_allowed_statuses_are_told_in_the_order_of_life(verb: Verb, words: list[str]) -> None:
    assert allowed_words(verb) == words
