"""How shards are divided: every watcher takes its turn until nobody has anything to take."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from k8s_bridge.names import SHARDS
from workflows.services.sharding import due_to

NAMES = "abcdefghijklmnopqrst"
living_watchers = st.sets(st.sampled_from(NAMES), min_size=1, max_size=20)


def divided(holders: dict[int, str | None], living: set[str], *, turns: int = 3) -> int:
    """Takes turns in `holders` until nobody takes anything; how many changed hands."""
    moved = 0
    for _ in range(turns):
        before = moved
        for who in sorted(living):
            taken = due_to(who, holders, living)
            assert len(taken) == len(set(taken))
            assert all(holders[shard] != who for shard in taken)
            holders.update(dict.fromkeys(taken, who))
            moved += len(taken)
        if moved == before:
            return moved
    raise AssertionError(f"still moving after {turns} turns: {holders}")


@given(living_watchers, st.data())
def test_any_division_becomes_fair_and_rests(living: set[str], data: st.DataObject) -> None:
    owners = st.sampled_from([None, *sorted(living)])
    holders = dict(enumerate(data.draw(st.lists(owners, min_size=SHARDS, max_size=SHARDS))))

    divided(holders, living, turns=4)

    least, rest = divmod(SHARDS, len(living))
    counts = Counter(holders.values())
    assert None not in counts
    assert sorted(counts[who] for who in living) == sorted([least + 1] * rest + [least] * (len(living) - rest))


@given(living_watchers, st.sampled_from(NAMES))
def test_who_joins_takes_its_part_and_nothing_else_moves(living: set[str], newcomer: str) -> None:
    holders: dict[int, str | None] = dict.fromkeys(range(SHARDS))
    divided(holders, living - {newcomer} or {"z"})
    everybody = {who for who in holders.values() if who is not None} | living | {newcomer}

    before = dict(holders)
    taken = due_to(newcomer, holders, everybody)

    least, rest = divmod(SHARDS, len(everybody))
    counts = Counter(who for who in before.values() if who != newcomer)
    if newcomer in before.values():
        assert taken == []
    else:
        assert least <= len(taken) <= least + (rest > 0)
    # Nobody is left with less than a fair part.
    left = counts - Counter(str(before[shard]) for shard in taken)
    assert all(left[who] >= least for who in counts)


def test_one_alone_takes_all() -> None:
    assert due_to("a", dict.fromkeys(range(SHARDS)), {"a"}) == list(range(SHARDS))


def test_free_ones_are_taken_before_those_of_others() -> None:
    holders = {0: "a", 1: "a", 2: "a", 3: None}

    assert due_to("b", holders, {"a", "b"}) == [3, 2]
