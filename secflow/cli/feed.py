"""Events of the journal: what was, and what happens now, by a stream that resumes or by asking again and again."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from secflow.cli.client import Client
from secflow.cli.errors import CliError, Missing, Unreachable
from secflow.cli.refusals import refusal
from secflow.cli.routes import READ_EVENTS
from secflow.cli.safe import one_line
from secflow.cli.times import moment
from secflow.cli.transport import Answer
from secflow.cli.watching import Patience

Json = dict[str, Any]
_PAGE = 1000
_WAIT = 20
_SILENCE = 45.0  # three heartbeats of the stream
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_MOST_EMPTY = 20


def past_events(
    client: Client, *, instance_id: str | None = None, project_id: str | None = None, newest: int
) -> list[Json]:
    """The newest events until now, oldest first."""
    found: deque[Json] = deque(maxlen=newest)
    for event in events_until_now(client, after="0", instance_id=instance_id, project_id=project_id):
        found.append(event)
    return list(found)


def events_until_now(
    client: Client, *, after: str, instance_id: str | None = None, project_id: str | None = None
) -> Iterator[Json]:
    """Every event after the cursor that is there now."""
    query = {"instance_id": instance_id, "project_id": project_id, "limit": _PAGE}
    # A portion of everything may be empty although more follow: what others may see lies in between.
    empty, most_empty = 0, 1 if instance_id or project_id else _MOST_EMPTY
    while empty < most_empty:
        answer = client.get(READ_EVENTS, query={**query, "after": after})
        yield from answer["items"]
        empty = 0 if answer["items"] else empty + 1
        if str(answer["cursor"]) == after:
            return
        after = str(answer["cursor"])


def follow_events(
    client: Client,
    *,
    after: str | None,
    instance_id: str | None = None,
    project_id: str | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[Json]:
    """Events as they happen, without end, each once. Where the server has no stream left, it is asked again and again.

    A server that goes away is waited for, of which the person is told. Raises Unreachable when it does not come back.
    """
    query = {"instance_id": instance_id, "project_id": project_id}
    cursor = after
    if cursor is None:
        cursor = str(client.get(READ_EVENTS, query=query)["cursor"])
    pause = _FIRST_PAUSE
    patience = Patience()
    while True:
        try:
            for message in _streamed(client, query, cursor, patience):
                cursor, pause = message.cursor, _FIRST_PAUSE
                if message.event is not None:
                    yield message.event
        except (_NoStream, Unreachable) as err:
            # A portion instead; afterwards a stream may be free again.
            try:
                answer = client.get(READ_EVENTS, query={**query, "after": cursor, "wait": _WAIT, "limit": _PAGE})
            except Unreachable as away:
                if patience.bear(away):
                    tell(f"({away.message}; trying again)")
            else:
                patience.answered()
                cursor = str(answer["cursor"])
                if answer["items"]:
                    yield from answer["items"]
                    pause = _FIRST_PAUSE
                elif isinstance(err, _NoStream):
                    pause = max(pause, err.pause)
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 2)


class _NoStream(CliError):
    """The server answers, but not with a stream now. `pause`: seconds after which it may."""

    pause = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream. The last one before it ends may have a place and no event."""

    cursor: str
    event: Json | None


def _streamed(client: Client, query: Mapping[str, str | None], cursor: str, patience: Patience) -> Iterator[Message]:
    """The messages of one stream until it ends."""
    with client.event_stream(query={**query, "after": cursor}, last_id=cursor, silence=_SILENCE) as answer:
        if answer.status_code == 401:
            # An ordinary call renews the token.
            client.get(READ_EVENTS, query=dict(query))
            return
        if answer.status_code == 404:
            raise Missing("this server has no events", hint="It is older than this command.")
        if answer.status_code in (429, 503):
            full = _NoStream("no stream is free")
            asked = answer.headers.get("Retry-After", "")
            full.pause = min(_LONGEST_PAUSE, float(asked)) if asked.isdigit() else 0.0
            raise full
        if answer.status_code >= 300:
            content = answer.read()
            raise refusal(Answer(answer.status_code, answer.headers, content), what="GET events", url=client.url)
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            raise _NoStream("the server does not stream")
        patience.answered()  # also when nothing happens for long
        yield from parse_stream(answer.iter_lines())


def parse_stream(lines: Iterable[str]) -> Iterator[Message]:
    """The messages of a stream of server-sent events; one that breaks off in the middle is none."""
    data: list[str] = []
    cursor = ""
    for line in lines:
        if not line:
            if data or cursor:
                event = json.loads("\n".join(data)) if data else None
                yield Message(cursor or str((event or {})["cursor"]), event)
            data, cursor = [], ""
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("id:"):
            cursor = line[3:].strip()


def event_line(event: Json, node_names: Mapping[str, str], *, instance: str = "") -> str:
    """One event as a line: when, what, of which node, by whom."""
    then = moment(event["created_at"])
    clock = then.astimezone().strftime("%Y-%m-%d %H:%M:%S") if then else ""
    node_id = event["node_id"]
    parts = [clock]
    if instance:
        parts.append(f"{one_line(instance):<24}")
    parts.append(f"{one_line(event['kind']):<22}")
    if node_id:
        parts.append(one_line(node_names.get(node_id, node_id)))
    if event["run_number"]:
        parts.append(f"run {event['run_number']}")
    if event["actor"] and event["actor"] != "system":
        parts.append(f"by {one_line(event['actor'])}")
    if event["message"]:
        parts.append(one_line(event["message"]))
    return "  ".join(parts)
