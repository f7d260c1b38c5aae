"""From what a person types to the thing that is meant: an id, or a name that only one has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from secflow.cli.client import Client
from secflow.cli.errors import Missing, UsageProblem
from secflow.cli.routes import READ_INSTANCE
from secflow.cli.session import Session

Json = dict[str, Any]
_INSTANCE_ID = re.compile(r"wf-inst-[a-z0-9-]+-[a-z0-9]{8}")
_MOST_SHOWN = 10


def find_instance(session: Session, name: str) -> Json:
    """The workflow. Raises Missing when there is none, UsageProblem when several have the name."""
    if _INSTANCE_ID.fullmatch(name):
        try:
            return read_instance(session.client, name)
        except Missing:
            pass  # it may be somebody's name all the same
    found = _named(session, name)
    where = f" in project {session.project}" if session.project else ""
    if not found:
        raise Missing(f"there is no workflow {name!r}{where}", hint=_elsewhere(session))
    if len(found) > 1:
        raise UsageProblem(
            f"{len(found)} workflows are called {name!r}{where}",
            lines=[
                f"{item['id']}  project {item['project_id']}, {item['status']}, of {item['created_at'][:10]}"
                for item in found[:_MOST_SHOWN]
            ]
            + (["..."] if len(found) > _MOST_SHOWN else []),
            hint="Give one of these ids" + ("." if session.project else ", or a project with --project."),
        )
    return found[0]


def _named(session: Session, name: str) -> list[Json]:
    # A server that does not know the filter answers with everything, which is filtered here.
    found, _ = session.client.instances(project_id=session.project, name=name)
    return [item for item in found if item["name"] == name]


def _elsewhere(session: Session) -> str:
    if session.project:
        return "`secflow ps --all` lists its workflows; --project all looks into every project."
    return "`secflow ps --all` lists the workflows that you may see."


def read_instance(client: Client, instance_id: str) -> Json:
    """The workflow as it is now."""
    found: Json = client.get(READ_INSTANCE, instance_id=instance_id)
    return found


def find_node(instance: Json, name: str) -> Json:
    """The node with this id or name. Raises Missing or UsageProblem."""
    nodes: Sequence[Json] = instance["nodes"]
    by_id = [node for node in nodes if node["id"] == name]
    found = by_id or [node for node in nodes if node["name"] == name]
    if not found:
        names = ", ".join(sorted({node["name"] for node in nodes})[:20]) or "none"
        raise Missing(f"{instance['name']} has no node {name!r}", hint=f"Its nodes: {names}.")
    if len(found) > 1:
        raise UsageProblem(
            f"{len(found)} nodes of {instance['name']} are called {name!r}",
            lines=[f"{node['id']}  {node['node_type']}, {node['status']}" for node in found],
            hint="Give one of these ids.",
        )
    return found[0]
