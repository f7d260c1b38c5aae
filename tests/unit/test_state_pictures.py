"""The state machines in docs/ are those that the engine obeys."""

from __future__ import annotations

import pytest

from tests.docs.pictures import FOLDER, MACHINES, Machine, path_of, picture

CONCEPTS = FOLDER.parent / "concepts.md"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_committed_picture_is_up_to_date(machine: Machine) -> None:
    assert path_of(machine).read_text(encoding="utf-8") == picture(machine), "run `python -m tests.docs.pictures`"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_picture_has_every_status_and_every_event_of_its_table(machine: Machine) -> None:
    drawn = picture(machine)
    statuses = {str(status) for sources, target in machine.moves.values() for status in (*sources, target)}

    assert statuses == set(machine.places)
    for word in (*statuses, *(str(event).replace("_", " ") for event in machine.moves)):
        assert word in drawn


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_page_of_concepts_shows_the_picture(machine: Machine) -> None:
    assert f"](pictures/{machine.name}.svg)" in CONCEPTS.read_text(encoding="utf-8")
