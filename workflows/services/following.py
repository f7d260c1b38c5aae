"""From raw objects to applied observations, in one process that follows the cluster."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Collection
from typing import Any

from django.db import InterfaceError, OperationalError, close_old_connections

from k8s_bridge.kinds import POD
from k8s_bridge.names import shard_of
from k8s_bridge.observations import Observation, Phase, observe
from k8s_bridge.watcher import Change, Snapshot
from workflows.killpoints import AFTER_OBSERVE, pass_by
from workflows.services.observing import DECISIVE, apply_observations
from workflows.services.reasons import wants_reason

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 200  # observations in one pass: large enough to keep up, small enough to keep transactions short
REMEMBERED = 50_000  # objects whose last observation is kept to drop repetitions
PATIENCE = 0.03  # seconds for which what decides nothing may be overtaken by what does
LONGEST_PATIENCE = 0.5
REASON_PATIENCE = 0.5  # seconds for which a failure waits for what the last pod suffered from
# Every look at an instance costs time in proportion to its nodes, so one with a crowd of running nodes is looked at less often.
CROWD = 20  # nodes that run at once
REST_PER_NODE, LONGEST_REST = 0.0005, 0.15  # seconds

_ENDS = frozenset({Phase.SUCCEEDED, Phase.FAILED})


class Inbox:
    """What waits to be applied. Observations that can move a run come first; the others give way for a moment, and of those
    about one object only the last one is kept.

    Per object the order is kept: an observation never comes after a newer one of the same object. What is said of an instance
    that rests is kept until its rest is over.

    A failure that says little comes after what its last pod suffered from, also if it was told first: the two come by separate
    watches. It does not wait for ever, because a pod that was removed says nothing.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._resting: dict[str, float] = {}  # instance id -> until when, by the monotonic clock
        self._decisive: deque[Observation] = deque()
        self._patient: dict[tuple[str, str], tuple[float, Observation]] = {}
        self._explained: set[int] = set()  # attempts whose newest pod told a trouble
        # Failures that wait for their reason, by attempt, each with the moment at which it waits no longer.
        self._unexplained: dict[int, list[tuple[float, Observation]]] = defaultdict(list)

    def put(self, seen: Observation) -> None:
        key = (seen.source, seen.uid)
        with self._changed:
            since, _ = self._patient.pop(key, (time.monotonic(), seen))
            if seen.source == POD:
                self._note_reason(seen)
            if seen.phase is Phase.FAILED:
                # What its pods suffered from is the reason, and after the end nobody listens to it any more.
                of_pods = [other for other, (_, told) in self._patient.items() if told.attempt == seen.attempt]
                self._decisive.extend(self._patient.pop(other)[1] for other in of_pods)
            if seen.phase is Phase.FAILED and wants_reason(seen.diagnosis) and seen.attempt not in self._explained:
                self._unexplained[seen.attempt].append((time.monotonic() + REASON_PATIENCE, seen))
            elif seen.diagnosis is not None and seen.attempt in self._unexplained:
                self._decisive.append(seen)
                self._hurry(seen.attempt)
            elif seen.phase in DECISIVE:
                self._decisive.append(seen)
            else:
                self._patient[key] = (since, seen)
            self._changed.notify()

    def begin_anew(self, attempt: int) -> None:
        """A further pod was made: what an earlier one of the attempt suffered from is not the last word."""
        with self._changed:
            self._explained.discard(attempt)

    def forget_reasons(self) -> None:
        """Somebody else may have seen newer pods of these attempts meanwhile."""
        with self._changed:
            self._explained.clear()

    def _hurry(self, attempt: int) -> None:
        """Its failure has a reason now. A list of pods may have that of a later one right behind it."""
        soon = time.monotonic() + PATIENCE
        self._unexplained[attempt] = [(min(until, soon), failure) for until, failure in self._unexplained[attempt]]

    def _note_reason(self, of_pod: Observation) -> None:
        if len(self._explained) >= REMEMBERED:
            self._explained.clear()
        if of_pod.diagnosis is not None:
            self._explained.add(of_pod.attempt)
        else:
            self._explained.discard(of_pod.attempt)

    def rest(self, instance_id: str, seconds: float) -> None:
        """Nothing of the instance is taken for so long."""
        with self._changed:
            self._resting[instance_id] = time.monotonic() + seconds

    def take(self, timeout: float) -> list[Observation]:
        """The next portion, empty when nothing was due within `timeout` seconds."""
        end = time.monotonic() + timeout
        with self._changed:
            while not (batch := self._due(time.monotonic())):
                patience = self._patience()
                ripe = (
                    since + patience for since, seen in self._patient.values() if seen.instance_id not in self._resting
                )
                waited = (failures[0][0] for failures in self._unexplained.values())
                left = min([end, *ripe, *waited, *self._resting.values()]) - time.monotonic()
                if time.monotonic() >= end:
                    return []
                self._changed.wait(max(left, 0.001))
            return batch

    def _due(self, now: float) -> list[Observation]:
        self._resting = {instance_id: until for instance_id, until in self._resting.items() if until > now}
        for attempt in [attempt for attempt, failures in self._unexplained.items() if failures[0][0] <= now]:
            self._decisive.extend(failure for _, failure in self._unexplained.pop(attempt))
        patience = self._patience()
        batch: list[Observation] = []
        later: deque[Observation] = deque()
        while self._decisive and len(batch) < MOST_AT_ONCE:
            seen = self._decisive.popleft()
            (later if seen.instance_id in self._resting else batch).append(seen)
        self._decisive.extendleft(reversed(later))
        ripe = [
            key
            for key, (since, seen) in self._patient.items()
            if now - since >= patience and seen.instance_id not in self._resting
        ]
        batch += [self._patient.pop(key)[1] for key in ripe[: MOST_AT_ONCE - len(batch)]]
        return batch

    def _patience(self) -> float:
        return LONGEST_PATIENCE if self._decisive else PATIENCE


class Pipeline:
    """From raw objects to applied observations: many producers, one consumer.

    What could not be applied is offered again, so a restart of the database costs time and nothing else; should this process
    die, reconcile finds the same facts in the cluster.
    """

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._last: dict[tuple[str, str], Observation] = {}
        self._ended: set[int] = set()  # attempts whose end was applied

    def take(self, news: Snapshot | Change) -> None:
        """A complete list or one change. What says nothing new is dropped here, without any query.

        Objects that a new list no longer has are left to reconcile, which confirms before it judges.
        """
        if isinstance(news, Change):
            self._take_one(news.kind, news.obj, happened=news.type)
            return
        # The newest pod of a workload speaks for it, so it has to come last.
        for item in sorted(news.items, key=lambda item: item["metadata"].get("creationTimestamp") or ""):
            self._take_one(news.kind, item, happened="LISTED")

    def _take_one(self, kind: str, obj: dict[str, Any], *, happened: str) -> None:
        seen = observe(kind, obj, deleted=happened == "DELETED")
        if seen is None:
            return
        key = (kind, seen.uid)
        known = self._last.get(key)
        if happened == "DELETED":
            self._last.pop(key, None)
        else:
            if len(self._last) >= REMEMBERED:
                self._last.clear()
            self._last[key] = seen
        is_first_word = happened == "ADDED" and seen.phase is Phase.WAITING and seen.diagnosis is None
        if is_first_word and kind == POD:
            self._inbox.begin_anew(seen.attempt)
        elif known != seen and not is_first_word:
            self._inbox.put(seen)

    def forget(self, shards: Collection[int]) -> None:
        """What was seen of these shards says nothing any more: somebody else may have seen newer things meanwhile."""
        for key, seen in list(self._last.items()):
            if shard_of(seen.instance_id) in shards:
                self._last.pop(key, None)
        self._inbox.forget_reasons()

    def run(self, stop: threading.Event) -> None:
        """Applies what arrives until `stop` is set."""
        while not stop.is_set():
            batch = [
                seen for seen in self._inbox.take(0.5) if seen.attempt not in self._ended or seen.phase is Phase.GONE
            ]
            if batch:
                self._apply(batch, stop)

    def _apply(self, batch: list[Observation], stop: threading.Event) -> None:
        while not stop.is_set():
            running: dict[str, int] = {}
            try:
                apply_observations(batch, running=running)
                pass_by(AFTER_OBSERVE)
            except (OperationalError, InterfaceError) as err:
                logger.warning("observations could not be written and are tried again: %s", err)
                close_old_connections()
                stop.wait(1.0)
                continue
            except Exception:
                # One that cannot be applied must not keep the others from it: each is tried alone, and that one is dropped.
                if len(batch) == 1:
                    logger.exception("an observation cannot be applied: %s", batch[0])
                    return
                for seen in batch:
                    self._apply([seen], stop)
                return
            for instance_id, count in running.items():
                if count > CROWD:
                    self._inbox.rest(instance_id, min(count * REST_PER_NODE, LONGEST_REST))
            if len(self._ended) >= REMEMBERED:
                self._ended.clear()
            self._ended.update(seen.attempt for seen in batch if seen.phase in _ENDS)
            return
