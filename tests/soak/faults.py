"""Carrying out planned faults, one after the other, and what each of them hit."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil
import redis

from k8s_bridge.errors import ClusterError
from k8s_bridge.kinds import object_path
from tests.faults import cluster_faults as wrong
from tests.faults.cluster_faults import Rule
from tests.faults.cluster_proxy import ClusterProxy
from tests.faults.tcp_proxy import Proxy
from tests.faults.watch_faults import WatchFault
from tests.soak.plan import Fault
from tests.soak.records import ClusterRecord
from tests.stack import Stack

RETURN_SECONDS = 60.0  # for another process of the role

# The part of the requests that is hit while such a fault lasts, and how.
ANSWERS = {
    "429": (0.5, (wrong.too_many(1), wrong.too_many(3))),
    "5xx": (0.4, wrong.SERVER_ERRORS),
    "reset": (0.4, (wrong.RESET,)),
    "lost": (0.4, (wrong.LOST_ANSWER,)),
    "truncated": (0.4, (wrong.TRUNCATED,)),
    "none": (0.2, (wrong.NO_ANSWER,)),
    "slow": (0.5, (wrong.delay(0.5), wrong.delay(2.0))),
}


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that was carried out. `back_at`: when another process of the role was there."""

    fault: Fault
    began_at: float
    ended_at: float
    back_at: float | None
    hit: str


@dataclass(frozen=True, slots=True)
class Proxies:
    """What stands between SecFlow and the parts that it uses."""

    database: Proxy
    broker: Proxy
    cluster: ClusterProxy


class Injector:
    """Carries out faults, which end early when `stop` is set. `touched` holds the instances of which it took an object away."""

    def __init__(
        self, stack: Stack, cluster: ClusterRecord, proxies: Proxies, *, redis_url: str, stop: threading.Event
    ) -> None:
        self._stack = stack
        self._cluster = cluster
        self._proxies = proxies
        self._redis_url = redis_url
        self._stop = stop
        self.touched: set[str] = set()
        self.done: list[Done] = []
        self.violations: list[str] = []

    def carry_out(self, fault: Fault) -> None:
        """Does it, and returns when it is over."""
        acts: dict[str, Callable[[Fault], tuple[str, float | None]]] = {
            "kill": self._end_process,
            "term": self._end_process,
            "pause": self._pause,
            "flush": self._flush,
            "remove": self._remove,
            "cut": self._cut,
            "stall": self._stall,
            "refuse": self._refuse,
            "answer": self._answer,
            "watch": self._disturb_watches,
            "outage": self._outage,
        }
        began = time.time()
        hit, back = acts[fault.kind](fault)
        if hit:
            self.done.append(Done(fault, began, time.time(), back, hit))

    def _family(self, role: str) -> list[psutil.Process]:
        found = []
        for pid in self._stack.pids(role):
            with suppress(psutil.Error):
                one = psutil.Process(pid)
                found += [one, *one.children(recursive=True)]
        return found

    def _end_process(self, fault: Fault) -> tuple[str, float | None]:
        old = set(self._stack.pids(fault.target))
        if not old:
            return "", None  # it is being started again already
        pid = sorted(old)[int(fault.pick * len(old))]
        number = signal.SIGKILL if fault.kind == "kill" else signal.SIGTERM
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        end = time.monotonic() + RETURN_SECONDS
        while not set(self._stack.pids(fault.target)) - old:
            if time.monotonic() > end:
                self.violations.append(f"no other {fault.target} within {RETURN_SECONDS:g} s after {fault.kind}")
                return f"{fault.target} {pid}", None
            time.sleep(0.05)
        return f"{fault.target} {pid}", time.time()

    def _pause(self, fault: Fault) -> tuple[str, float | None]:
        family = self._family(fault.target)
        try:
            for one in family:
                with suppress(psutil.Error):
                    one.suspend()
            self._stop.wait(fault.seconds)
        finally:
            for one in family:
                with suppress(psutil.Error):
                    one.resume()
        return fault.target if family else "", None

    def _flush(self, fault: Fault) -> tuple[str, float | None]:
        with redis.Redis.from_url(self._redis_url) as broker:
            broker.flushall()
        return "FLUSHALL", None

    def _remove(self, fault: Fault) -> tuple[str, float | None]:
        there = self._cluster.living(fault.target)
        if not there:
            return "", None
        one, namespace = there[int(fault.pick * len(there))]
        # Before it is done: who judges the run must not be faster.
        self.touched.add(one.instance_id)
        body = {"preconditions": {"uid": one.uid}, "propagationPolicy": "Background"}
        try:
            self._cluster.gateway.client.request("DELETE", object_path(one.kind, namespace, one.name), body=body)
        except ClusterError as err:
            return f"{one.name} of {one.instance_id}: {err}", None
        return f"{one.name} of {one.instance_id}", None

    def _proxy(self, part: str) -> Proxy:
        return self._proxies.database if part == "database" else self._proxies.broker

    def _cut(self, fault: Fault) -> tuple[str, float | None]:
        return f"{self._proxy(fault.target).cut()} connections", None

    def _stall(self, fault: Fault) -> tuple[str, float | None]:
        with self._proxy(fault.target).stalled():
            self._stop.wait(fault.seconds)
        return fault.target, None

    def _refuse(self, fault: Fault) -> tuple[str, float | None]:
        with self._proxy(fault.target).refusing():
            self._stop.wait(fault.seconds)
        return fault.target, None

    def _answer(self, fault: Fault) -> tuple[str, float | None]:
        rate, kinds = ANSWERS[fault.target]
        rule = Rule(kinds, rate=rate)
        with self._proxies.cluster.plan.rules(rule):
            self._stop.wait(fault.seconds)
        return f"{rule.hits} requests" if rule.hits else "", None

    def _disturb_watches(self, fault: Fault) -> tuple[str, float | None]:
        disturbed = {
            "cut": WatchFault(cut_after=0.3),
            "silent": WatchFault(silent_after=0.0),
            "expired": WatchFault(expired_after=0.3),
            "shuffled": WatchFault(duplicate=0.3, reorder=0.3, stale=0.3),
        }[fault.target]
        with self._proxies.cluster.plan.watches(disturbed):
            self._stop.wait(fault.seconds)
        return fault.target, None

    def _outage(self, fault: Fault) -> tuple[str, float | None]:
        with self._proxies.cluster.outage():
            self._stop.wait(fault.seconds)
        return fault.target, None
