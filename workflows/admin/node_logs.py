"""What a node writes, as plain text: from the cluster, while it is written, or as it was kept. This is no page."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.formats import date_format
from django.utils.http import content_disposition_header
from django.utils.timezone import localtime

from secflow.console.plain_text import plain
from workflows.domain.errors import DomainError, Invalid, Kind, NotFound
from workflows.models import NodeLog, WorkflowNode
from workflows.services.live_logs import LogFollower, Place, follow_node_logs
from workflows.services.logs import read_node_logs

MOST_LINES = 10_000
LINES = 1000
BUSY_RETRY_SECONDS = 5
STATE, POD = "X-Log-State", "X-Log-Pod"  # live, kept, waiting, busy, unavailable or refused; which pod wrote it


@dataclass(frozen=True, slots=True)
class LogRequest:
    """What of a node's log is asked for. `run` and `part` name a text that was kept, written as `7-init`; without them it
    is the pod's.
    """

    run: int | None
    part: str
    container: str | None
    previous: bool
    timestamps: bool
    lines: int
    follow: bool
    after: Place | None
    pod: str | None
    download: bool

    @classmethod
    def of(cls, request: HttpRequest) -> LogRequest:
        """Reads the query. Raises Invalid for what cannot be meant."""
        query = request.GET
        run, _, part = query.get("run", "").partition("-")
        return cls(
            run=_whole(run, "run", most=2**63 - 1),
            part=part or NodeLog.Part.EXECUTION,
            container=query.get("container") or None,
            previous=bool(query.get("previous")),
            timestamps=bool(query.get("timestamps")),
            lines=_whole(query.get("lines"), "lines", most=MOST_LINES) or LINES,
            follow=bool(query.get("follow")),
            after=Place.from_text(query.get("after", "")),
            pod=query.get("pod") or None,
            download=bool(query.get("download")),
        )


def _whole(text: str | None, name: str, *, most: int) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most):
        raise Invalid.field(name, f"must be a whole number from 1 to {most}")
    return int(text)


@cache
def _slots() -> threading.BoundedSemaphore:
    """Live logs keep a thread each; most of them stay free for pages and calls."""
    return threading.BoundedSemaphore(max(1, settings.SECFLOW.web_threads // 4))


class _LiveText:
    """The answer's body while a log is followed. Its slot is free again once it is closed, however far it came."""

    def __init__(self, follower: LogFollower, slot: threading.BoundedSemaphore) -> None:
        self._follower = follower
        self._slot: threading.BoundedSemaphore | None = slot

    def __iter__(self) -> Iterator[bytes]:
        for line in self._follower:
            yield plain(line.decode("utf-8", "replace")).encode()

    def close(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            self._follower.close()
            slot.release()


def log_response(request: HttpRequest, node: WorkflowNode) -> HttpResponseBase:
    """The text that is asked for, or a sentence that says why there is none. Whoever calls has checked the right to it.

    Only a text of a pod makes a call to the cluster.
    """
    try:
        wanted = LogRequest.of(request)
    except Invalid as err:
        return _sentence(400, "refused", err.message)
    if wanted.run is not None:
        return _kept_of_run(node, wanted)
    try:
        return _followed(node, wanted) if wanted.follow else _read(node, wanted)
    except DomainError as err:
        return _instead(node, wanted, err)


def _followed(node: WorkflowNode, wanted: LogRequest) -> HttpResponseBase:
    slot = _slots()
    if not slot.acquire(blocking=False):
        answer = _sentence(503, "busy", "Too many live logs are open: this one is read again and again instead.")
        answer["Retry-After"] = str(BUSY_RETRY_SECONDS)
        return answer
    try:
        follower = follow_node_logs(
            node=node, container=wanted.container, tail_lines=wanted.lines, after=wanted.after, pod=wanted.pod
        )
    except BaseException:
        slot.release()
        raise
    if not connection.in_atomic_block:
        connection.close()  # the stream needs none, and the pool is small
    response = StreamingHttpResponse(_LiveText(follower, slot))
    return _as_text(response, state="live", pod=follower.pod)


def _read(node: WorkflowNode, wanted: LogRequest) -> HttpResponseBase:
    found = read_node_logs(
        node=node,
        container=wanted.container,
        tail_lines=wanted.lines,
        previous=wanted.previous,
        timestamps=wanted.timestamps,
    )
    response = _as_text(HttpResponse(plain(found["logs"])), state="live", pod=found["pod_name"])
    if wanted.download:
        before = "before-restart" if wanted.previous else ""
        _name(response, node.name, found["pod_name"], found["container"], before)
    return response


def _kept_of_run(node: WorkflowNode, wanted: LogRequest) -> HttpResponseBase:
    logs = NodeLog.objects.select_related("node_run__run").defer("node_run__spec", "node_run__evidence")
    log = logs.filter(node_run_id=wanted.run, node_run__node_id=node.pk, part=wanted.part).first()
    if log is None:
        return _sentence(404, "refused", "No text was kept of this run.")
    return _kept(node, log, wanted, before="")


def _instead(node: WorkflowNode, wanted: LogRequest, err: DomainError) -> HttpResponseBase:
    """What is said or shown when the pod's text cannot be had."""
    if err.kind is Kind.UNAVAILABLE:
        answer = _sentence(503, "unavailable", err.message)
        answer["Retry-After"] = str(BUSY_RETRY_SECONDS)
        return answer
    log = None
    is_gone = isinstance(err, NotFound) or not node.k8s_resource_name
    if is_gone and not wanted.previous:
        log = newest_kept(node)
    if log is not None and wanted.container in (None, log.container):
        return _kept(node, log, wanted, before="The pod is gone. ")
    if not node.k8s_resource_name:
        return _sentence(404, "waiting", "The node has not begun: there is nothing in the cluster that could write.")
    return _sentence(404, "waiting", err.message)


def newest_kept(node: WorkflowNode) -> NodeLog | None:
    """The text of the node's newest run that has one."""
    logs = NodeLog.objects.select_related("node_run__run").defer("node_run__spec", "node_run__evidence")
    return logs.filter(node_run__node_id=node.pk, fetched_at__isnull=False).order_by("-node_run_id").first()


def _kept(node: WorkflowNode, log: NodeLog, wanted: LogRequest, *, before: str) -> HttpResponseBase:
    run = log.node_run.run
    text = plain(log.text)
    if not wanted.download:
        text = f"[{before}{kept_note(log)}]\n\n{text}"
    response = _as_text(HttpResponse(text), state="kept", pod=log.pod_name or "")
    if wanted.download:
        _name(response, node.name, f"{run.purpose}-{run.number}", log.container or "", log.part)
    return response


def kept_note(log: NodeLog) -> str:
    """One sentence about a kept text: of what it is, and when it was kept or why not yet."""
    run = log.node_run.run
    whose = f"{run.purpose} #{run.number}{f', pod {log.pod_name}' if log.pod_name else ''}"
    if log.fetched_at is None:
        return f"{whose}: the text is still to be fetched{f'; the last try met: {log.error}' if log.error else ''}"
    if log.error:
        return f"{whose}: {log.error}"
    kept = date_format(localtime(log.fetched_at), "DATETIME_FORMAT")
    return f"{whose}: kept at {kept}{'' if log.text else '; the pod wrote nothing'}"


def _sentence(status: int, state: str, text: str) -> HttpResponse:
    response = HttpResponse(f"{plain(text)}\n", status=status)
    _as_text(response, state=state)
    return response


def _as_text(response: Any, *, state: str, pod: str = "") -> Any:
    response["Content-Type"] = "text/plain; charset=utf-8"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    response[STATE] = state
    if pod:
        response[POD] = _safe(pod)
    return response


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")


def _name(response: Any, *parts: str) -> None:
    """Names the file to save: letters and digits only, whatever the node is called."""
    stem = "-".join(filter(None, (_safe(part)[:60] for part in parts)))
    response["Content-Disposition"] = content_disposition_header(True, f"{stem or 'node'}.log")
