"""Following a workflow until something is so: by its events where the server offers them, else by reading it again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from secflow.cli.client import Client, Query
from secflow.cli.errors import CliError, Interrupted, Missing, NotLoggedIn, TimedOut, Unreachable
from secflow.cli.finding import read_instance
from secflow.cli.progress import Progress, progress_for
from secflow.cli.routes import READ_EVENTS
from secflow.cli.session import Session

Json = dict[str, Any]
ENDED = frozenset({"succeeded", "failed", "stopped"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
_LONG_POLL = 10
_PATIENCE = 120.0


class Patience:
    """How long a server that goes away is waited for by those who follow something: it may be restarted meanwhile."""

    def __init__(self) -> None:
        self._lost_since: float | None = None

    def answered(self) -> None:
        """The server is there (again)."""
        self._lost_since = None

    def bear(self, error: Unreachable) -> bool:
        """Whether this is news. Raises the error when the server has been away for two minutes."""
        now = time.monotonic()
        is_news = self._lost_since is None
        self._lost_since = now if self._lost_since is None else self._lost_since
        if now - self._lost_since > _PATIENCE:
            raise error
        return is_news


class Alarm:
    """Waits for a change of one workflow. Without events it waits a moment, each time a little longer."""

    def __init__(self, client: Client, instance_id: str) -> None:
        self._client = client
        self._id = instance_id
        self._pause = _FIRST_PAUSE
        self._cursor = self._newest()

    def wait(self, most: float) -> None:
        """Returns after a change, or after at most `most` seconds."""
        if self._cursor is not None and most >= 1:
            try:
                query: Query = {
                    "instance_id": self._id,
                    "after": self._cursor,
                    "wait": int(min(_LONG_POLL, most)),
                    "limit": 1000,
                }
                began = time.monotonic()
                answer = self._client.get(READ_EVENTS, query=query)
                self._cursor = str(answer["cursor"])
                # A server whose places are all taken answers at once instead of waiting.
                if answer["items"] or time.monotonic() - began > 1:
                    self._pause = _FIRST_PAUSE
                    return
            except (CliError, KeyError, TypeError):
                self._cursor = None  # reading the workflow again does as well
        time.sleep(min(self._pause, max(0.05, most)))
        self._pause = min(_LONGEST_PAUSE, self._pause * 1.3)

    def _newest(self) -> str | None:
        try:
            return str(self._client.get(READ_EVENTS, query={"instance_id": self._id})["cursor"])
        except (CliError, KeyError, TypeError):
            return None


def watch(
    session: Session,
    instance: Json,
    *,
    until: Callable[[Json], bool],
    timeout: float | None = None,
    prefix: str = "",
    what: str = "the run",
) -> Json:
    """The workflow, once it is so; shows it meanwhile. `what` goes on without us after Ctrl-C.

    Raises Missing when it is deleted meanwhile, TimedOut, Interrupted.
    """
    instance_id, name = instance["id"], instance["name"]
    hint = f"`secflow watch {instance_id}` follows it again, `secflow stop {instance_id}` ends it."
    try:
        with progress_for(session.out, prefix=prefix) as progress:
            for found in _readings(session.client, instance_id, timeout, progress):
                progress.show(found)
                if until(found):
                    return found
    except KeyboardInterrupt:
        raise Interrupted(f"not watching any more; {what} of {name} goes on", hint=hint) from None
    except (NotLoggedIn, Unreachable) as err:
        err.message += f"; {what} of {name} goes on"
        raise
    raise TimedOut(f"{what} of {name} is not over after the time you gave; it goes on", hint=hint)


def _readings(client: Client, instance_id: str, timeout: float | None, progress: Progress) -> Iterator[Json]:
    """The workflow again and again until the time is over. A server that goes away for a while is waited for."""
    end = None if timeout is None else time.monotonic() + timeout
    alarm = Alarm(client, instance_id)
    patience = Patience()
    while True:
        left = _LONG_POLL + 1.0 if end is None else end - time.monotonic()
        try:
            yield read_instance(client, instance_id)
            patience.answered()
        except Missing as err:
            raise Missing(f"{instance_id} was deleted meanwhile", hint=err.hint) from err
        except Unreachable as err:
            patience.bear(err)
            progress.note(f"({err.message}; trying again)")
            alarm.wait(1)
        if left <= 0:
            return
        alarm.wait(left)


def has_ended(instance: Json) -> bool:
    """Whether no run is in progress any more; a draft made of it meanwhile counts too."""
    return instance["status"] in ENDED or instance["status"] == "pending"
