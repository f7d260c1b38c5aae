"""A seeded plan of what goes wrong between SecFlow and a Kubernetes API server: who asks, and which fault it gets."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.faults.watch_faults import WatchFault


class Kind(Enum):
    """How a request goes wrong."""

    RESET = "reset"  # the connection breaks before the server gets the request
    LOST_ANSWER = "lost answer"  # the server does it, then the connection breaks
    NO_ANSWER = "no answer"  # the server does it, and the client waits until it gives up
    DELAY = "delay"  # the server gets it later
    STATUS = "status"  # the proxy answers an error; the server gets nothing
    TRUNCATED = "truncated"  # the server does it, half of its answer arrives


@dataclass(frozen=True)
class Fault:
    """One way for one request to go wrong. `status`, `message` and so on belong to STATUS, `seconds` to DELAY."""

    kind: Kind
    seconds: float = 0.0
    status: int = 0
    reason: str = ""
    message: str = ""
    retry_after: int | None = None

    def answer(self) -> bytes:
        """The Status object of a STATUS fault."""
        said: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        said |= {"code": self.status, "reason": self.reason, "message": self.message or f"injected {self.status}"}
        return json.dumps(said).encode()


RESET = Fault(Kind.RESET)
LOST_ANSWER = Fault(Kind.LOST_ANSWER)
NO_ANSWER = Fault(Kind.NO_ANSWER)
TRUNCATED = Fault(Kind.TRUNCATED)
SERVER_ERRORS = tuple(Fault(Kind.STATUS, status=code) for code in (500, 502, 503, 504))


def delay(seconds: float) -> Fault:
    return Fault(Kind.DELAY, seconds=seconds)


def too_many(retry_after: int) -> Fault:
    return Fault(Kind.STATUS, status=429, reason="TooManyRequests", retry_after=retry_after)


def forbidden(message: str) -> Fault:
    return Fault(Kind.STATUS, status=403, reason="Forbidden", message=message)


@dataclass(frozen=True)
class Request:
    """One request as access rules see it. `where` is its path, with the name of the object that it makes."""

    verb: str
    resource: str
    where: str


@dataclass
class Rule:
    """Requests of these verbs and resources (empty: all; `within` in their path) get one of the faults.

    `rate` is the part that is hit, `count` the most that are hit (None: no end). Watches have rules of their own.
    """

    faults: tuple[Fault, ...]
    verbs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    within: str = ""
    rate: float = 1.0
    count: int | None = None
    hits: int = field(default=0, init=False)

    def fits(self, request: Request) -> bool:
        return (
            (not self.verbs or request.verb in self.verbs)
            and (not self.resources or request.resource in self.resources)
            and self.within in request.where
            and (self.count is None or self.hits < self.count)
        )


class FaultPlan:
    """The rules in force. The n-th request of a verb and resource after a rule came into force always gets the same
    decision from the same seed, whatever happens in other requests.
    """

    def __init__(self, seed: int, say: Callable[[str], None] = print) -> None:
        self.seed = seed
        self._say = say  # pytest shows with a failure what was printed
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._watches: list[WatchFault] = []
        self._numbers: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def rules(self, *rules: Rule) -> Iterator[None]:
        """Puts the rules into force inside the block."""
        self._say(f"faults with seed {self.seed}: {rules}")
        with self._lock:
            self._numbers.clear()
            self._rules.extend(rules)
        try:
            yield
        finally:
            with self._lock:
                self._rules = [rule for rule in self._rules if not any(rule is one for one in rules)]

    @contextmanager
    def watches(self, fault: WatchFault) -> Iterator[None]:
        """Puts the fault on all watches of its resources, open ones too, inside the block."""
        self._say(f"watch faults with seed {self.seed}: {fault}")
        with self._lock:
            self._watches.append(fault)
        try:
            yield
        finally:
            with self._lock:
                self._watches = [one for one in self._watches if one is not fault]

    def decide(self, request: Request) -> Fault | None:
        """What this request gets. Counts it."""
        key = (request.verb, request.resource)
        with self._lock:
            self._numbers[key] += 1
            chance = random.Random(f"{self.seed}/{request.verb}/{request.resource}/{self._numbers[key]}")
            for rule in self._rules:
                if rule.fits(request) and chance.random() < rule.rate:
                    rule.hits += 1
                    return chance.choice(rule.faults)
        return None

    def watch_fault(self, resource: str) -> WatchFault | None:
        """What the watches of this resource suffer from now."""
        with self._lock:
            return next((one for one in self._watches if not one.resources or resource in one.resources), None)

    def chance(self, resource: str, number: int) -> random.Random:
        """The dice of the n-th event that the watches of this resource have seen."""
        return random.Random(f"{self.seed}/watch/{resource}/{number}")
