"""A node's log while it is written: lines as they come, and where to go on after a break (contract C.11).

A place in a log is `<time>/<number>`: the time of the last line that was read, and how many lines of that very time
were read. Clusters give lines from a time on, often rounded to the second; whoever knows the place doubles nothing.
The last lines of a log may begin in the middle of several of one time: the number is WHOLE as long as that is theirs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from k8s_bridge.client import Stream
from k8s_bridge.errors import ClusterError, Rejected, Unreachable
from k8s_bridge.errors import NotFound as NotInCluster
from k8s_bridge.gateway import Gateway
from k8s_bridge.names import namespace_of
from workflows.domain.errors import Invalid, NotFound
from workflows.models import WorkflowNode
from workflows.services.cluster import gateway, translated
from workflows.services.logs import name_in_pod

SECONDS = 55.0  # of one stream; whoever reads comes back with the place
SILENCE = 10.0  # after which a remark shows that somebody is still there
MOST_BYTES = 4 * 1024 * 1024  # of one stream
WHOLE = 999_999_999  # as the number of a place: all lines of that time

CONTINUES, ENDED, HEARTBEAT = b": continues\n", b": ended\n", b": heartbeat\n"
# A cluster tells the time in UTC or in the zone of its node.
_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_PLACE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)/(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Place:
    """Everything up to `count` lines of the time `when` was read."""

    when: str
    count: int

    @classmethod
    def from_text(cls, text: str) -> Place | None:
        """The place that a reader wrote down. Raises Invalid for anything else; an empty text is no place."""
        if not text:
            return None
        found = _PLACE.fullmatch(text)
        if found is None:
            raise Invalid.field("after", "must be a place such as 2030-01-31T12:00:00.5Z/1")
        return cls(found[1], int(found[2]))


class LogFollower:
    """Lines of one container as bytes: `<time> <text>`, or a remark of SecFlow, which begins with a colon. Use it as
    an iterator, and close it.

    It ends after `: continues` when there is more to come, and after `: ended` when the container wrote its last line.
    A cluster that fails is a remark as well, `: problem <sentence>`: the answer has begun by then.
    """

    def __init__(
        self,
        cluster: Gateway,
        namespace: str,
        pod: str,
        container: str,
        *,
        tail_lines: int,
        after: Place | None,
        seconds: float = SECONDS,
        silence: float = SILENCE,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.pod, self.container = pod, container
        self._cluster, self._namespace = cluster, namespace
        self._tail_lines, self.place = tail_lines, after
        self._first: str | None = None
        self._end = time.monotonic() + seconds
        self._silence = silence
        self._most = self._left = most_bytes
        # Opened here, so that a refusal is an answer of its own and no remark.
        self._stream: Stream | None = self._open()
        self._lines = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self._lines

    def close(self) -> None:
        """Gives the connection up."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _open(self) -> Stream:
        return self._cluster.follow_log(
            self._namespace,
            self.pod,
            self.container,
            silence=self._silence,
            tail_lines=self._tail_lines if self.place is None else None,
            since=self.place.when if self.place else None,
        )

    def _read(self) -> Iterator[bytes]:
        while True:
            try:
                if self._stream is None:
                    self._stream = self._open()
                yield from self._new_lines(self._stream)
            except Unreachable as err:
                silent = self._stream is not None
                self.close()
                if not silent:
                    yield _problem(err)
                    return
            except ClusterError as err:
                yield _problem(err)
                return
            else:
                yield CONTINUES if self._is_over() else ENDED
                return
            if self._is_over():
                yield CONTINUES
                return
            yield HEARTBEAT

    def _is_over(self) -> bool:
        return self._left <= 0 or time.monotonic() >= self._end

    def _new_lines(self, stream: Stream) -> Iterator[bytes]:
        """What comes after the place; the place goes along."""
        known = self.place
        same = 0
        for line in stream:
            stamp = _TIME.match(line)
            if stamp is not None:
                when = _in_utc(stamp)
                if known is not None:
                    order = _order(when, known.when)
                    same += order == 0
                    if order < 0 or (order == 0 and same <= known.count):
                        continue
                self._go_behind(when)
                self._left -= len(line)
                yield when.encode() + line[stamp.end() :] + b"\n"
                # Nobody could say where to go on within the first time of all.
                if when == self._first and self._left > -self._most:
                    continue
            if self._is_over():
                return

    def _go_behind(self, when: str) -> None:
        if self.place is None:
            self._first, self.place = when, Place(when, WHOLE)
        elif when != self.place.when:
            self.place = Place(when, 1)
        elif when != self._first:
            self.place = Place(when, self.place.count + 1)


def _in_utc(stamp: re.Match[bytes]) -> str:
    """The time with its whole fraction, which may be finer than a datetime can be."""
    second, fraction, zone = (part.decode() for part in stamp.groups(default=b""))
    if zone != "Z":
        second = datetime.fromisoformat(second + zone).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{second}{fraction}Z"


def _order(one: str, other: str) -> int:
    """-1, 0 or 1: how two times compare. Clusters leave out zeros at the end of a fraction."""
    first, second = _comparable(one), _comparable(other)
    return (first > second) - (first < second)


def _comparable(when: str) -> str:
    whole, _, fraction = when.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<9}"


def _problem(err: ClusterError) -> bytes:
    return f": problem {' '.join(str(err).split())}\n".encode("utf-8", "replace")


def follow_node_logs(
    *, node: WorkflowNode, container: str | None, tail_lines: int, after: Place | None = None, pod: str | None = None
) -> LogFollower:
    """Follows what the node's newest pod writes: its last lines first, or what comes after a place in the log of `pod`.
    A place in another pod's log counts for nothing. Talks to the cluster.

    Raises Invalid when the node has nothing in the cluster or its container has not begun, NotFound when there is no pod
    or no such container, Unavailable when the cluster refuses.
    """
    if not node.k8s_resource_name:
        raise Invalid(f"node {node.pk} has nothing in the cluster yet, so there are no logs", {"node_id": node.pk})
    namespace = namespace_of(node.instance.project_id)
    with translated():
        try:
            found, name = gateway().log_place(namespace, node.k8s_resource_name, container=name_in_pod(node, container))
            return LogFollower(
                gateway(), namespace, found, name, tail_lines=tail_lines, after=after if pod == found else None
            )
        except NotInCluster as err:
            raise NotFound("pod", node.k8s_resource_name, message=str(err)) from err
        except Rejected as err:
            raise Invalid(str(err), {"node_id": node.pk}) from err
