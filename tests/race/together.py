"""Things that happen at the same moment, each on a database connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections

from workflows.models import Workload
from workflows.services.cluster import gateway
from workflows.services.launching import launch_workloads

PATIENCE = 60.0


class Act:
    """A call in a thread of its own. `result` waits for it and gives what it returned, or the exception that it raised."""

    def __init__(self, call: Callable[[], Any], *, after: threading.Barrier | None = None) -> None:
        self._call, self._after = call, after
        self._outcome: Any = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            if self._after is not None:
                self._after.wait(PATIENCE)
            self._outcome = self._call()
        except Exception as err:  # noqa: BLE001  what it raised is what the test looks at
            self._outcome = err
        finally:
            connections.close_all()

    @property
    def result(self) -> Any:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the call did not come to an end"
        return self._outcome


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Makes the calls at the same moment; what each returned or raised, in their order."""
    barrier = threading.Barrier(len(calls))
    return [act.result for act in [Act(call, after=barrier) for call in calls]]


class Gate:
    """Holds the callers of one verb of the real gateway, before or after it did its work."""

    def __init__(self, verb: Callable[..., Any], *, when: str) -> None:
        self._verb, self._when = verb, when
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._when == "before":
            self._hold()
        result = self._verb(*args, **kwargs)
        if self._when == "after":
            self._hold()
        return result

    def _hold(self) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE), "nobody opened the gate"


@contextmanager
def gate(monkeypatch: pytest.MonkeyPatch, verb: str, *, when: str) -> Iterator[Gate]:
    """The gateway's verb behind a gate, which opens at the end at the latest."""
    made = Gate(getattr(gateway(), verb), when=when)
    monkeypatch.setattr(gateway(), verb, made)
    try:
        yield made
    finally:
        made.open.set()


def launch_all(instance_id: str) -> int:
    """What a worker does when it is told of everything that is to be launched."""
    waiting = Workload.objects.filter(instance_id=instance_id, state="launching")
    return launch_workloads(workload_ids=list(waiting.values_list("pk", flat=True)))


def somebody_waits() -> bool:
    """Whether a transaction of this server waits for a lock of another one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
