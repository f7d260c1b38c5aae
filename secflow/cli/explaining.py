"""Why something failed and what to do about it, in the words of the diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from secflow.cli.output import Output
from secflow.cli.safe import one_line
from secflow.cli.times import duration

Json = dict[str, Any]


def failed_nodes(instance: Json) -> list[Json]:
    """The nodes that failed, and those that have a trouble now."""
    return [node for node in instance["nodes"] if node["status"] == "failed" or node.get("diagnosis")]


def explain(
    out: Output, instance: Json, *, detail: bool = False, more: Callable[[Json], Iterable[str]] = lambda node: ()
) -> None:
    """A paragraph for each node that failed or does not get on, with `more` lines at its end."""
    for node in failed_nodes(instance):
        diagnosis = node.get("diagnosis") or {}
        summary = _with_what_came_before(diagnosis.get("summary"), node.get("message")) or "no reason was recorded"
        word = "failed" if node["status"] == "failed" else f"{node['status']}, with a trouble"
        out.say(f"  {out.styled(node['name'], 'bold')} {out.styled(word, 'red')}: {one_line(summary)}", raw=True)
        if detail and diagnosis.get("detail"):
            out.say(f"    the cluster says   {one_line(diagnosis['detail'])}", raw=True)
        if diagnosis.get("resolution"):
            out.say(f"    what to do         {one_line(diagnosis['resolution'])}", raw=True)
        if detail and diagnosis.get("category"):
            out.say(f"    category           {one_line(diagnosis['category'])}", raw=True)
        for line in more(node):
            out.say(f"    {line}", raw=True)


def _with_what_came_before(summary: str | None, message: str | None) -> str:
    """What the pod suffered from, after what the message says of the job before it: the limit that its tries reached."""
    if not summary or not message:
        return summary or message or ""
    before, found, _ = message.partition(summary)
    return f"{before.strip()} {summary}".strip() if found else summary


def conclude(out: Output, instance: Json) -> None:
    """The last line of a watched run, and why when it did not succeed."""
    style = {"succeeded": "green", "failed": "bold red"}.get(instance["status"], "yellow")
    took = f" after {duration(instance)}" if instance["started_at"] else ""
    out.say(f"{out.styled(instance['name'], 'bold')} {out.styled(instance['status'], style)}{took}.", raw=True)
    if instance["status"] == "failed":
        if instance["message"] and not failed_nodes(instance):
            out.say(f"  {one_line(instance['message'])}", raw=True)
        explain(out, instance)
