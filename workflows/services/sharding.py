"""Dividing the cluster's objects among the watchers that live, by leases in the database.

Each of N watchers comes to hold between floor(SHARDS / N) and ceil(SHARDS / N) shards. A watcher that joins takes its part from
those that have more, and they go on until they see that: for a moment two follow the same objects, which is harmless, and at no
moment nobody does. The shards of a watcher that died are taken when its lease is over.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F

from k8s_bridge.names import SHARDS
from workflows import clock
from workflows.models import ClusterWatcher, ShardLease

LEASE = timedelta(seconds=15)
RENEWAL = 3.0  # seconds between two signs of life
_LOCK = "secflow:shards"  # the division is made by one at a time
_SAY = """
INSERT INTO secflow_platform_workflow_watcher AS known (name, incarnation, until) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, until = excluded.until
 WHERE %s OR known.incarnation = excluded.incarnation
"""


class Replaced(Exception):
    """Another process goes by this watcher's name now, so this one has to end."""


class Membership:
    """One watcher among those that live. Times are the database's. A name belongs to one process at a time, the newest: so a
    watcher that is started again has its shards back at once, without waiting for the lease of its predecessor.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._incarnation = secrets.token_hex(16)
        self._joined = False

    def renew(self) -> dict[int, int]:
        """A sign of life: renews the leases, takes what is due to this watcher, and returns the shards that it holds now, each
        with the token of its lease. A token that changed says that somebody else held the shard meanwhile.

        Raises Replaced.
        """
        with transaction.atomic():
            now = _locked()
            self._say(now)
            holders = {lease.shard: _holder(lease, now) for lease in _leases()}
            # What is over and was not taken by anybody is still this watcher's: its objects are followed all the time.
            mine = set(ShardLease.objects.filter(holder=self.name).values_list("shard", flat=True))
            taken = due_to(self.name, holders | dict.fromkeys(mine, self.name), self._living(now))
            anew = set(taken) if self._joined else mine.union(taken)
            if anew:
                ShardLease.objects.filter(shard__in=anew).update(holder=self.name, token=F("token") + 1)
            ours = ShardLease.objects.filter(holder=self.name)
            ours.update(until=now + LEASE)
            held = dict(ours.values_list("shard", "token"))
        self._joined = True
        return held

    def leave(self) -> None:
        """Gives everything back, so that the others need not wait for the end of the leases."""
        with transaction.atomic():
            _locked()
            gone, _ = ClusterWatcher.objects.filter(name=self.name, incarnation=self._incarnation).delete()
            if gone:
                ShardLease.objects.filter(holder=self.name).update(holder=None, until=None)

    def _say(self, now: datetime) -> None:
        """Writes down that this process lives."""
        with connection.cursor() as cursor:
            cursor.execute(_SAY, [self.name, self._incarnation, now + LEASE, not self._joined])
            if not cursor.rowcount:
                raise Replaced(f"Another watcher goes by the name of {self.name}: give each one a name of its own.")

    def _living(self, now: datetime) -> set[str]:
        known = dict(ClusterWatcher.objects.values_list("name", "until"))
        living = {name for name, until in known.items() if until > now}
        if len(living) < len(known):
            ClusterWatcher.objects.filter(until__lte=now).delete()
        return living


def due_to(me: str, holders: Mapping[int, str | None], living: Collection[str]) -> list[int]:
    """The shards that `me` takes now: of those that nobody holds up to the largest fair part, then from the one that has most
    as long as that one has more than a fair part or `me` has less. Pure; soon nobody has anything to take any more.
    """
    least, rest = divmod(len(holders), len(living))
    most = least + (rest > 0)
    free = [shard for shard, holder in holders.items() if holder is None]
    counts = Counter(holder for holder in holders.values() if holder is not None)
    taken = free[: max(0, most - counts[me])]
    mine = counts.pop(me, 0) + len(taken)
    others = dict(holders)
    while mine < most and counts:
        richest = max(counts, key=lambda who: (counts[who], who))
        if mine >= least and counts[richest] <= most:
            break
        shard = max(number for number, holder in others.items() if holder == richest)
        others[shard] = me
        counts[richest] -= 1
        mine += 1
        taken.append(shard)
    return taken


def followed() -> dict[int, str]:
    """The shards that a living watcher follows, with its name."""
    now = clock.now()
    return {lease.shard: who for lease in ShardLease.objects.all() if (who := _holder(lease, now)) is not None}


def _holder(lease: ShardLease, now: datetime) -> str | None:
    return lease.holder if lease.until is not None and lease.until > now else None


def _locked() -> datetime:
    """The database's time, once this transaction is the only one that divides."""
    with connection.cursor() as cursor:
        # One that was halted while it had the lock must not hold up the others' signs of life for ever.
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", [_LOCK])
    return clock.now()


def _leases() -> list[ShardLease]:
    """All leases by shard; those that do not exist yet are made."""
    found = list(ShardLease.objects.all())
    if len(found) < SHARDS:
        ShardLease.objects.bulk_create([ShardLease(shard=number) for number in range(SHARDS)], ignore_conflicts=True)
        found = list(ShardLease.objects.all())
    return found
