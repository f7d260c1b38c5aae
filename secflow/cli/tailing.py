"""What the pods of a node wrote: from the cluster while they are there, else the text that was kept; each line once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from secflow.cli.client import Client, Query
from secflow.cli.errors import Refused
from secflow.cli.routes import READ_LOG_RECORDS, READ_NODE_LOGS

Json = dict[str, Any]
MOST_LINES = 10_000  # the most that the server gives at once
_STEP = 200  # lines asked for while following; more only when these do not reach back far enough
_REMEMBERED = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log. `stamp` is empty for a text that was kept without times."""

    stamp: str
    text: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of the logs."""

    tail: int | None = None
    container: str | None = None
    previous: bool = False
    since: datetime | None = None


class Tail:
    """The log of one node of one workflow, read piece by piece."""

    def __init__(self, client: Client, instance_id: str, node_id: str, wanted: Wanted) -> None:
        self._client = client
        self._instance_id = instance_id
        self._node_id = node_id
        self._wanted = wanted
        self._pod = ""
        self._last: deque[Line] = deque(maxlen=_REMEMBERED)
        self._count = 0
        self._is_whole = False  # every line from the first on was seen
        self._is_growing = False
        self.is_read = False

    def fresh(self, *, is_growing: bool = False) -> list[Line] | None:
        """The lines since the last call; None when the cluster has no log of the node (any more, or yet).

        `is_growing`: there will be another call, so a last line that is still being written is left for it.
        """
        self._is_growing = is_growing
        asked = self._wanted.tail or MOST_LINES
        if self.is_read:
            asked = _STEP
        found = self._live(asked)
        if found is None:
            return None
        pod, lines = found
        if pod != self._pod:
            if self.is_read and len(lines) >= asked:
                lines = (self._live(MOST_LINES) or found)[1]
            # Only now: whoever is told that the server is away asks again, and gets every line then.
            self._pod, self._count = pod, 0
            self._last.clear()
            self._is_whole = len(lines) < asked
            fresh = lines
        else:
            rest = lines_after(self._last, lines)
            if rest is None and asked < MOST_LINES:
                lines = (self._live(MOST_LINES) or found)[1]
                rest = lines_after(self._last, lines)
            fresh = lines if rest is None else rest
        return self._noted(fresh)

    def kept(self) -> list[Line] | None:
        """The lines that the server kept when the node ended and that were not seen yet; None when nothing is kept.

        They have no times. Raises Refused when another container is wanted than the one whose text was kept.
        """
        query: Query = {"node_id": self._node_id, "page_size": 1}
        records = self._client.get(READ_LOG_RECORDS, instance_id=self._instance_id, query=query)["items"]
        texts = [records[0][part] for part in ("execution_logs", "init_logs")] if records else []
        text = next((one for one in texts if one["fetched_at"]), None)
        if text is None:
            return None
        if self._is_of_another(text.get("container")):
            return []
        lines = [Line("", line) for line in _lines(text["logs"])]
        if not self.is_read:
            return self._noted(lines[-self._wanted.tail :] if self._wanted.tail else lines)
        if text.get("pod_name") not in (None, self._pod):
            return self._noted(lines)
        if self._is_whole and self._count <= len(lines) < 1000:
            return self._noted(lines[self._count :])
        rest = lines_after([Line("", one.text) for one in self._last], lines)
        return self._noted(rest or [])

    def _is_of_another(self, kept: str | None) -> bool:
        """Whether the text is not of the container that is wanted. Raises Refused when nothing of that one was read before."""
        wanted = self._wanted.container
        if not wanted or not kept or wanted == kept:
            return False
        if self.is_read:
            return True
        raise Refused(
            f"nothing is kept of a container {wanted!r}: the pod is gone, and only what {kept!r} wrote was kept",
            hint=f"Read that: leave --container out, or give --container {kept}.",
        )

    def _live(self, tail: int) -> tuple[str, list[Line]] | None:
        query: Query = {
            "tail_lines": tail,
            "timestamps": True,
            "container": self._wanted.container,
            "previous": self._wanted.previous or None,
        }
        try:
            answer = self._client.get(READ_NODE_LOGS, instance_id=self._instance_id, node_id=self._node_id, query=query)
        except Refused as err:
            if err.status in (400, 404) and not self._is_callers_fault(err):
                return None
            raise
        text = str(answer["logs"])
        if self._is_growing:
            text = text[: text.rfind("\n") + 1]
        return str(answer["pod_name"]), [_stamped(line) for line in _lines(text)]

    def _is_callers_fault(self, err: Refused) -> bool:
        """Whether it is the container that the cluster does not know, rather than a pod that is not there (yet)."""
        return bool(self._wanted.container or self._wanted.previous) and "container" in err.message

    def _noted(self, lines: list[Line]) -> list[Line]:
        self.is_read = True
        self._count += len(lines)
        self._last.extend(lines)
        return [line for line in lines if not self._is_too_old(line)]

    def _is_too_old(self, line: Line) -> bool:
        if self._wanted.since is None or not line.stamp:
            return False
        try:
            return datetime.fromisoformat(line.stamp[:19]).replace(tzinfo=UTC) < self._wanted.since
        except ValueError:
            return False


def lines_after(last: Sequence[Line] | deque[Line], lines: Sequence[Line]) -> list[Line] | None:
    """What follows in `lines` after the ones that were seen last; None when they are not in it."""
    seen = list(last)
    if not seen:
        return list(lines)
    for place in range(len(lines) - 1, -1, -1):
        length = min(len(seen), place + 1)
        if lines[place] == seen[-1] and list(lines[place + 1 - length : place + 1]) == seen[-length:]:
            return list(lines[place + 1 :])
    return None


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if lines and lines[-1] == "" else lines


def _stamped(line: str) -> Line:
    stamp, space, text = line.partition(" ")
    return Line(stamp, text) if space or stamp[:4].isdigit() else Line("", line)
