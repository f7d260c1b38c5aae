"""What an answer that is no success means, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from secflow.cli.errors import CliError, Missing, NotLoggedIn, Refused, Unreachable
from secflow.cli.safe import one_line
from secflow.cli.transport import Answer

LOG_IN = "Run `secflow login`, or set SECFLOW_TOKEN."

# What helps when the status of a workflow forbids a verb, by the status it has.
_BY_STATUS = {
    "running": "It runs: follow it with `secflow watch NAME`, or end it with `secflow stop NAME`.",
    "initializing": "It is being set up: see `secflow ps`, and try again when it is initialized.",
    "initialized": "It is set up: `secflow start NAME`, or take it down with `secflow uninit NAME` to edit it.",
    "pending": "It is a draft: `secflow start NAME` or `secflow init NAME` first.",
    "succeeded": "Its run ended: `secflow trigger NAME` runs it again, `secflow uninit NAME` makes it a draft.",
    "failed": "Its run failed: `secflow describe NAME` says why. `secflow trigger NAME` runs it again, `secflow uninit NAME` makes"
    " it a draft that can be changed.",
    "stopped": "It was stopped: `secflow start NAME` runs it again, `secflow uninit NAME` makes it a draft.",
}

# Where the verb matters: what helps for the status is something else, or is refused too.
_BY_VERB = {
    ("stop", "pending"): "It is a draft and does not run: there is nothing to stop. `secflow start NAME` runs it.",
    (
        "stop",
        "stopped",
    ): "It is stopped already: `secflow start NAME` runs it again, `secflow uninit NAME` makes it a draft.",
    ("stop", "succeeded"): "Its run ended: `secflow uninit NAME` removes what it still has in the cluster.",
    ("stop", "failed"): "Its run ended: `secflow uninit NAME` removes what it still has in the cluster.",
    (
        "uninitialize",
        "pending",
    ): "It is a draft already: nothing of it is in the cluster, and it can be changed as it is.",
    (
        "initialize",
        "initialized",
    ): "It is set up: `secflow start NAME` runs it, `secflow init NAME --force` sets it up anew.",
    (
        "initialize",
        "stopped",
    ): "It was stopped: `secflow init NAME --force` sets it up anew, `secflow start NAME` runs it.",
    (
        "initialize",
        "running",
    ): "It runs: end it with `secflow stop NAME`; then `secflow init NAME --force` sets it up anew.",
    ("initialize", "succeeded"): "Its run ended: `secflow uninit NAME` makes it a draft, which can be set up.",
    ("initialize", "failed"): "Its run failed: `secflow uninit NAME` makes it a draft, which can be set up.",
    ("trigger", "pending"): "It is a draft: `secflow start NAME` runs it.",
}


def refusal(answer: Answer, *, what: str, url: str) -> CliError:
    """The error for an answer of status 300 and above. `what` is the request in words for the message of foreign answers."""
    if 300 <= answer.status < 400:
        place = one_line(answer.headers.get("Location", "another place"))
        return Unreachable(
            f"{url} sends us on to {place}", hint="Use the address that it names, with --url or `secflow login`."
        )
    body = _body(answer)
    if body is None:
        return Unreachable(
            f"{url} answers {answer.status} to {what}, but not as SecFlow does",
            hint="Is the address right? `secflow version` asks what is there.",
        )
    message = str(body.get("message") or body["code"])
    details = body.get("details")
    if answer.status == 401:
        return NotLoggedIn(message, hint=LOG_IN)
    if answer.status >= 500:
        return Unreachable(f"the server cannot do it now: {message}", details=details, hint=_later(answer))
    lines = detail_lines(details)
    if len(lines) == 1 and lines[0] in message:
        lines = []
    refused = Missing if answer.status == 404 else Refused
    return refused(
        message,
        status=answer.status,
        details=details,
        hint=_hint(answer, details, verb=what.rpartition("/")[2]),
        lines=lines,
        after_lost_answer=answer.after_lost_answer,
    )


def details_of(answer: Answer) -> Any:
    """The details of an error answer; None when it is none of SecFlow's."""
    return (_body(answer) or {}).get("details")


def _body(answer: Answer) -> dict[str, Any] | None:
    try:
        body = json.loads(answer.content)
    except ValueError:
        return None
    return body if isinstance(body, dict) and "code" in body else None


def detail_lines(details: Any) -> list[str]:
    """The items of `details`, a line for each: fields, unmet inputs, findings."""
    if isinstance(details, dict):
        items: Iterable[Any] = details.get("fields") or details.get("findings") or ()
    else:
        items = details or ()
    return [line for line in map(_line, items) if line] if not isinstance(items, str) else []


def _line(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    place = item.get("field") or item.get("path") or ""
    if not place and item.get("container"):
        wanted = item.get("name") or item.get("mount_path") or ""
        place = " / ".join(str(part) for part in (item.get("node"), item["container"], wanted) if part)
    return f"{place}: {item.get('message', '')}" if place else str(item.get("message", ""))


def _forbids_verb(details: Any) -> bool:
    """Whether it is the status of the workflow that does not allow it."""
    return isinstance(details, dict) and isinstance(details.get("allowed"), list) and "status" in details


def _hint(answer: Answer, details: Any, *, verb: str) -> str:
    if answer.status == 403:
        return "`secflow whoami` says who you are here; a manager of the project or an administrator can add you."
    if answer.status == 404:
        if isinstance(details, dict) and details.get("resource") == "route":
            return "This server does not offer that: it is older than this command, or its tokens come from elsewhere."
        return "`secflow ps --all` lists the workflows that you may see."
    if answer.status in (429, 503):
        return _later(answer)
    if answer.status == 409:
        return "See who uses it with `secflow ps --all`; somebody else may have been quicker, then try again."
    if answer.status == 413:
        return "Send less: what is large belongs into an image or a volume, not into a workflow."
    if _forbids_verb(details):
        status = str(details["status"])
        return _BY_VERB.get((verb, status)) or _BY_STATUS.get(status, "`secflow describe NAME` shows where it is.")
    if isinstance(details, dict) and details.get("is_active") is False:
        return "It refuses triggers: `secflow activate NAME` lets it accept them."
    if details:
        return "Change what is named above, and try again."
    return "`secflow describe NAME` shows where it is; every command explains itself with --help."


def _later(answer: Answer) -> str:
    seconds = answer.headers.get("Retry-After", "")
    when = f"in {seconds} seconds" if seconds.isdigit() else "in a moment"
    return f"Try again {when}; `make doctor` on the server checks its parts."
