"""Words that a shell may complete. Nothing is waited for: the person is in the middle of a line."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import typer

from secflow.cli.contexts import ContextFile
from secflow.cli.errors import CliError
from secflow.cli.session import Choices, Session

# Shells put completions into the line, and some evaluate them: only these characters ever reach them.
_HARMLESS = re.compile(r"[A-Za-z0-9._-]+")
_PATIENCE = 3.0


def complete_instances(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names of workflows, or ids where a name is not unique or would have to be quoted; newest first."""
    try:
        session = _session(ctx)
        found, _ = session.client.instances(limit=100, project_id=session.project)
    except CliError:
        return []
    counts = Counter(item["name"] for item in found)
    words = []
    for item in found:
        name = str(item["name"])
        is_usable = counts[name] == 1 and _HARMLESS.fullmatch(name) is not None and not name.startswith("-")
        words.append((name if is_usable else str(item["id"]), str(item["status"])))
    return [(word, status) for word, status in words if word.startswith(incomplete) and _HARMLESS.fullmatch(word)]


def complete_contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of remembered logins."""
    import os

    try:
        known = ContextFile(os.environ).read().known
    except CliError:
        return []
    return [name for name in sorted(known) if name.startswith(incomplete) and _HARMLESS.fullmatch(name)]


def _session(ctx: typer.Context) -> Session:
    given: dict[str, Any] = {name.removeprefix("shared_"): value for name, value in ctx.params.items()}
    return Session(
        Choices(
            context=given.get("context"),
            url=given.get("url"),
            project=given.get("project"),
            ca_file=given.get("ca_file"),
            insecure=bool(given.get("insecure")),
            timeout=_PATIENCE,
            tries=1,
        )
    )
