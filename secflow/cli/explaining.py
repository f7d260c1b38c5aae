"""Why something failed and what to do about it, in the words of the diagnosis."""

from __future__ import annotations

from typing import Any

from secflow.cli.output import Output
from secflow.cli.safe import one_line
from secflow.cli.times import duration

Json = dict[str, Any]


def failed_nodes(instance: Json) -> list[Json]:
    """The nodes that failed, and those that have a trouble now."""
    return [node for node in instance["nodes"] if node["status"] == "failed" or node.get("diagnosis")]


def explain(out: Output, instance: Json, *, detail: bool = False) -> None:
    """A paragraph for each node that failed or does not get on."""
    for node in failed_nodes(instance):
        diagnosis = node.get("diagnosis") or {}
        summary = diagnosis.get("summary") or node.get("message") or "no reason was recorded"
        word = "failed" if node["status"] == "failed" else f"{node['status']}, with a trouble"
        out.say(f"  {out.styled(node['name'], 'bold')} {out.styled(word, 'red')}: {one_line(summary)}", raw=True)
        if detail and diagnosis.get("detail"):
            out.say(f"    the cluster says   {one_line(diagnosis['detail'])}", raw=True)
        if diagnosis.get("resolution"):
            out.say(f"    what to do         {one_line(diagnosis['resolution'])}", raw=True)
        if detail and diagnosis.get("category"):
            out.say(f"    category           {one_line(diagnosis['category'])}", raw=True)


def conclude(out: Output, instance: Json) -> None:
    """The last line of a watched run, and why when it did not succeed."""
    style = {"succeeded": "green", "failed": "bold red"}.get(instance["status"], "yellow")
    took = f" after {duration(instance)}" if instance["started_at"] else ""
    out.say(f"{out.styled(instance['name'], 'bold')} {out.styled(instance['status'], style)}{took}.", raw=True)
    if instance["status"] == "failed":
        if instance["message"] and not failed_nodes(instance):
            out.say(f"  {one_line(instance['message'])}", raw=True)
        explain(out, instance)
