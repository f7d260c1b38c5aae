"""Diagnosis and evidence of a node as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from secflow.console.display import NONE, text_box
from secflow.console.help import error_url
from secflow.console.plain_text import plain

_WORDS = {"exitCode": "exit code", "startedAt": "started", "finishedAt": "finished"}


def diagnosis_box(diagnosis: dict[str, str] | None) -> SafeString | str:
    """What is wrong, the cluster's own words, what to do, and where to read more."""
    if not diagnosis:
        return NONE
    category = diagnosis.get("category", "")
    return format_html(
        '<p>{}</p>{}<p class="mt-2">{}</p>{}',
        plain(diagnosis.get("summary", "")),
        text_box(plain(diagnosis["detail"])) if diagnosis.get("detail") else "",
        plain(diagnosis.get("resolution", "")),
        format_html(
            '<p class="mt-2"><a href="{}" class="text-link">More about {}</a></p>', error_url(category), category
        )
        if category
        else "",
    )


def evidence_box(evidence: dict[str, Any] | None) -> SafeString | str:
    """States and warnings as one text, then the last lines of each container; everything in it is escaped."""
    if not evidence:
        return NONE
    lines = [*_pods(evidence), *_warnings(evidence)]
    logs = format_html_join(
        "",
        '<p class="mt-2">{}</p>{}',
        ((_title(log), text_box(plain(log["text"]) or "nothing")) for log in evidence.get("logs") or ()),
    )
    return format_html("{}{}", text_box(plain("\n".join(lines)) or "the cluster showed no pod and no warning"), logs)


def _pods(evidence: dict[str, Any]) -> Iterator[str]:
    for pod in evidence.get("pods") or ():
        place = f" on {pod['node']}" if pod.get("node") else ""
        yield f"Pod {pod['name']}{place}: {_joined(pod.get('phase'), pod.get('reason'), pod.get('message'))}"
        for item in pod.get("conditions") or ():
            said = _joined(item.get("reason"), item.get("message"))
            yield f"  {item['type']}: {item.get('status')}{f', {said}' if said else ''}"
        for container in pod.get("containers") or ():
            restarts = f", {container['restarts']} restarts" if container.get("restarts") else ""
            yield f"  Container {container['name']} ({container.get('image')}{restarts}): {_state(container['state'])}"
            if container.get("last_state"):
                yield f"    before: {_state(container['last_state'])}"


def _warnings(evidence: dict[str, Any]) -> Iterator[str]:
    for event in evidence.get("events") or ():
        where = f"{event['kind']} {event['name']}"
        yield f"Warning {event['reason']} ({event['count']} x, last {event['last_seen']}), {where}: {event['message']}"


def _state(state: dict[str, Any] | None) -> str:
    if not state:
        return "unknown"
    facts = (f"{_WORDS.get(key, key)} {value}" for key, value in state.items() if key != "is")
    return _joined(state["is"], *facts)


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _title(log: dict[str, Any]) -> str:
    before = ", before its last restart" if log.get("previous") else ""
    return f"Last lines of container {log['container']} of pod {log['pod']}{before}"
