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
        hint=_hint(answer, details),
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


def _hint(answer: Answer, details: Any) -> str:
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
    if isinstance(details, dict) and isinstance(details.get("allowed"), list):
        return _BY_STATUS.get(str(details.get("status")), "`secflow describe NAME` shows where it is.")
    if details:
        return "Change what is named above, and try again."
    return "`secflow describe NAME` shows where it is; every command explains itself with --help."


def _later(answer: Answer) -> str:
    seconds = answer.headers.get("Retry-After", "")
    when = f"in {seconds} seconds" if seconds.isdigit() else "in a moment"
    return f"Try again {when}; `make doctor` on the server checks its parts."
