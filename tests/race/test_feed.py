"""Writers of the journal whose commits come in another order than their ids, and readers who are cut off anywhere."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection, transaction

from tests.factories import InstanceFactory
from tests.race.together import PATIENCE, Act
from workflows.domain.errors import Invalid
from workflows.locks import lock_instance
from workflows.models import Event, WorkflowInstance
from workflows.selectors.events import BEGINNING, Position, newest_position, read_events
from workflows.services.journal import Entry, append, renew_positions
from workflows.services.statements import Statements

pytestmark = pytest.mark.django_db(transaction=True)


class Writer:
    """A transaction in a thread of its own that has written to the journal, and writes once more before its commit."""

    def __init__(self, instance: WorkflowInstance, *, count: int = 1) -> None:
        self._instance, self._count = instance, count
        self._written, self._may_commit = threading.Event(), threading.Event()
        self._act = Act(self._write)
        assert self._written.wait(PATIENCE)

    def _write(self) -> None:
        with transaction.atomic():
            locked = lock_instance(self._instance.pk)
            append(locked, *[Entry("test.written", "1") for _ in range(self._count)])
            self._written.set()
            assert self._may_commit.wait(PATIENCE)
            append(locked, Entry("test.written_last", "1"))

    def commit(self) -> None:
        self._may_commit.set()
        assert self._act.result is None


@dataclass
class Reader:
    """Takes portions of any size. Now and then it is cut off and goes on from one of the cursors that it was given."""

    chance: random.Random
    position: Position = BEGINNING
    seen: list[Position] = field(default_factory=list)

    def read(self) -> None:
        if self.seen and self.chance.random() < 0.3:
            # Whatever came after the cursor is forgotten, as by a client that crashed before it kept it.
            place = self.chance.randrange(len(self.seen))
            self.position = self.seen[place]
            del self.seen[place + 1 :]
        reading = read_events(self.position, limit=self.chance.randint(1, 7))
        self.seen += [event.position for event in reading.events]
        # Between the events of a portion one may be cut off as well.
        self.position = self.seen[-1] if reading.events and self.chance.random() < 0.5 else reading.position


def read_to_the_end(reader: Reader) -> None:
    while not (reading := read_events(reader.position)).is_all or reading.events:
        reader.seen += [event.position for event in reading.events]
        reader.position = reading.position


def stored() -> list[Position]:
    rows = Event.objects.order_by("transaction_id", "id").values_list("transaction_id", "id")
    return [Position(*row) for row in rows]


def test_whose_commit_comes_late_is_not_passed_over_as_it_would_be_by_ids() -> None:
    early, late = Writer(InstanceFactory()), Writer(InstanceFactory())
    plain: list[int] = []
    reader = Reader(random.Random(0))

    late.commit()
    plain += Event.objects.order_by("id").values_list("id", flat=True)
    read_to_the_end(reader)
    shown_too_early = list(reader.seen)
    early.commit()
    plain += Event.objects.filter(id__gt=plain[-1]).order_by("id").values_list("id", flat=True)
    read_to_the_end(reader)

    assert shown_too_early == []
    assert reader.seen == stored()
    ids = [position.id for position in stored()]
    assert len(ids) == 4
    assert sorted(set(ids) - set(plain)) == [min(ids)]  # one is lost for ever


@pytest.mark.parametrize("seed", range(6))
def test_every_reader_gets_every_event_once_wherever_it_is_cut_off(seed: int) -> None:
    chance = random.Random(seed)
    readers = [Reader(random.Random(f"{seed}-{number}")) for number in range(5)]
    waiting: list[Writer] = []

    for _ in range(40):
        if len(waiting) < 6 and chance.random() < 0.6:
            waiting.append(Writer(InstanceFactory(), count=chance.randint(1, 4)))
        elif waiting:
            waiting.pop(chance.randrange(len(waiting))).commit()
        for reader in readers:
            reader.read()
    while waiting:
        waiting.pop(chance.randrange(len(waiting))).commit()
        for reader in readers:
            reader.read()
    for reader in readers:
        read_to_the_end(reader)

    everything = stored()
    assert len(everything) == Event.objects.count() > 20
    assert [position.id for position in everything] != sorted(position.id for position in everything)
    for reader in readers:
        assert reader.seen == everything


def test_who_goes_on_while_others_write_at_once_misses_and_doubles_nothing() -> None:
    instances = [InstanceFactory() for _ in range(4)]
    done = threading.Event()

    def write(instance: WorkflowInstance) -> None:
        for _ in range(50):
            with transaction.atomic():
                append(lock_instance(instance.pk), Entry("test.written", "1"))

    def follow(seed: int) -> list[Position]:
        reader = Reader(random.Random(seed))
        while not done.is_set():
            reader.read()
        read_to_the_end(reader)
        return reader.seen

    followers = [Act(lambda seed=seed: follow(seed)) for seed in range(2)]  # type: ignore[misc]
    writers = [Act(lambda instance=instance: write(instance)) for instance in instances]  # type: ignore[misc]
    results = [writer.result for writer in writers]
    done.set()

    assert results == [None] * 4
    assert [follower.result for follower in followers] == [stored()] * 2
    assert len(stored()) == 200


def test_events_of_one_instance_come_by_sequence_although_the_later_transaction_began_first() -> None:
    instance, other = InstanceFactory(), InstanceFactory()
    began, may_go_on = threading.Event(), threading.Event()

    def write_something_first() -> None:
        with transaction.atomic():
            append(lock_instance(other.pk), Entry("test.other", "1"))
            began.set()
            assert may_go_on.wait(PATIENCE)
            append(lock_instance(instance.pk), Entry("test.second", "1"))

    act = Act(write_something_first)
    assert began.wait(PATIENCE)
    with transaction.atomic():
        append(lock_instance(instance.pk), Entry("test.first", "1"))
    may_go_on.set()
    assert act.result is None

    shown = [event for event in read_events(BEGINNING).events if event.instance_id == instance.pk]
    assert [(event.kind, event.output["sequence"]) for event in shown] == [("test.first", 1), ("test.second", 2)]


def test_from_now_on_means_also_what_was_written_and_is_not_committed_yet() -> None:
    writer = Writer(InstanceFactory())

    now = newest_position()
    writer.commit()

    assert [event.position for event in read_events(now).events] == stored()


@pytest.fixture
def restored(transactional_db: None) -> Sequence[int]:
    """Events as a dump of a busier server brings them: some transactions have not begun here, one has."""
    instance = InstanceFactory()
    append(instance, *[Entry("test.old", "1") for _ in range(4)])
    ids = list(Event.objects.order_by("id").values_list("id", flat=True))
    far = newest_position().transaction_id + 1_000_000
    for place, id in enumerate(ids):
        Event.objects.filter(pk=id).update(transaction_id=5 if place == 1 else far + place)
    return ids


def test_a_restored_journal_comes_first_and_by_its_ids(restored: Sequence[int]) -> None:
    assert [event.position.id for event in read_events(BEGINNING).events] == [restored[1]]

    assert renew_positions() == 4
    append(InstanceFactory(), Entry("test.new", "1"))

    assert [event.position.id for event in read_events(BEGINNING).events] == [*restored, Event.objects.latest("id").pk]
    assert renew_positions() == 0


def test_renewing_leaves_alone_what_was_written_here_also_by_those_who_overtook(restored: Sequence[int]) -> None:
    renew_positions()
    slow, quick = Writer(InstanceFactory()), Writer(InstanceFactory())
    quick.commit()

    assert renew_positions() == 0

    slow.commit()
    assert min(position.transaction_id for position in stored() if position.id not in restored) > 0


def test_a_cursor_of_another_life_is_refused(restored: Sequence[int]) -> None:
    with pytest.raises(Invalid, match="another life of the database"):
        read_events(Position(newest_position().transaction_id + 1_000_000, restored[0]))


def test_entries_that_travel_with_other_statements_are_in_the_same_order() -> None:
    instance, writes = InstanceFactory(), Statements()
    append(instance, Entry("test.first", "1", data={"a": 1}), Entry("test.second", "1"))
    append(instance, Entry("test.third", "1"), writes=writes)
    writes.send()

    shown = read_events(BEGINNING).events
    assert [(event.kind, event.output["sequence"]) for event in shown] == [
        ("test.first", 1),
        ("test.second", 2),
        ("test.third", 3),
    ]


def test_rows_that_others_insert_get_their_transaction_by_the_database() -> None:
    append(InstanceFactory(), Entry("test.first", "1"))
    row: dict[str, Any] = {"instance_id": "i", "project_id": "p1", "kind": "test.by_hand", "actor": "1"}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        current = cursor.fetchone()[0]
        Event.objects.create(**row, sequence=1, created_at="2026-03-01T12:00:00Z")

    assert list(Event.objects.order_by("id").values_list("transaction_id", flat=True))[-1] == current
