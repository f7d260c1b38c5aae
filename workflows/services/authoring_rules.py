"""What every write of a draft checks before it changes anything (contract D.2, F, G.4, H.2).

None of these functions writes.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Final

from django.db import models
from django.db.models.functions import Right

from workflows.domain.errors import Conflict, Invalid, UnmetInputs
from workflows.domain.ids import SUFFIX_LENGTH, make_id, new_suffix
from workflows.domain.inputs import NodeView, effective_service, unmet_inputs
from workflows.domain.statuses import CleanupGoal
from workflows.domain.transitions import Verb
from workflows.locks import lock_instance
from workflows.models import Cleanup, WorkflowInstance, WorkflowNode
from workflows.services.building import service_of
from workflows.services.moves import require

MAX_NODES: Final = 5_000  # in one instance: a plan over them still takes well under a second
MAX_EDGES: Final = 20_000


def open_draft(instance_id: str, verb: Verb) -> WorkflowInstance:
    """The instance, locked until the transaction ends, in a status that allows the verb.

    Raises NotFound, WrongStatus (contract D.2), and Conflict when the instance is being deleted.
    """
    instance = lock_instance(instance_id)
    require(instance, verb)
    refuse_deleting(instance)
    return instance


def refuse_deleting(instance: WorkflowInstance) -> None:
    """Raises Conflict when the instance only waits for the cluster before it goes."""
    if Cleanup.objects.filter(instance=instance, goal=CleanupGoal.DELETE).exists():
        raise Conflict(
            f"workflow {instance.pk} is being deleted and cannot be changed any more; make a new one instead",
            {"resource": "workflow_instance", "id": instance.pk},
        )


def refuse_too_many(what: str, count: int, limit: int) -> None:
    """Raises Invalid when an instance would get more of something than the engine is made for."""
    if count > limit:
        raise Invalid(
            f"an instance can have at most {limit} {what}, this would make {count}; split it into several instances",
            {"limit": limit, "count": count},
        )


def refuse_unmet(views: Sequence[NodeView], *, name_node: bool) -> None:
    """Raises UnmetInputs with the array of contract G.4 when an input of these nodes has no supply."""
    items = [item for view in views for item in unmet_inputs(view, name_node=name_node)]
    if items:
        missing = {item["node"] for item in items} if name_node else {view.name for view in views}
        names = ", ".join(sorted(missing))
        raise UnmetInputs(f"inputs of node {names} are not supplied; give each a value, a mount or a source", items)


def refuse_taken_service_names(views: Sequence[NodeView], *, instance_id: str) -> None:
    """Raises Conflict when two nodes of the instance choose one Service name, themselves or by template (H.2)."""
    holders: dict[str, str] = {}
    for view in views:
        service = service_of(view, instance_id=instance_id)
        for name in {service.name, view.requested_service_name} - {None}:
            assert name is not None
            if name in holders:
                raise Conflict(
                    f"the Service name {name} is chosen by two nodes of this instance, {holders[name]} and {view.name};"
                    " give one of them another service_name",
                    {"service_name": name, "nodes": [holders[name], view.name]},
                )
            holders[name] = view.name


def refuse_incomplete_ingress(node: WorkflowNode, view: NodeView, *, prefix: str = "") -> None:
    """Raises Invalid for an ingress that lacks a setting or leads to no Service (contract C.7)."""
    if not node.create_ingress:
        return
    if not effective_service(view, generated_name="generated").create:
        raise Invalid.field(
            f"{prefix}create_ingress", "an ingress needs a Service: set create_service and give service_ports"
        )
    for field in ("ingress_type", "ingress_host", "ingress_ip"):
        if not getattr(node, field):
            raise Invalid.field(f"{prefix}{field}", "is required when create_ingress is true")


def new_ids(model: type[models.Model], prefix: str, names: Sequence[str]) -> list[str]:
    """One fresh id per name; no suffix comes twice in the table (contract A.8). One query, more after a collision."""
    ids: list[str] = []
    used: set[str] = set()
    while len(ids) < len(names):
        suffixes = _distinct_suffixes(len(names) - len(ids), used)
        used |= set(suffixes)
        used_in_table = _suffixes_in_table(model, suffixes)
        free = [suffix for suffix in suffixes if suffix not in used_in_table]
        waiting = names[len(ids) :]
        ids += [make_id(prefix, name, suffix) for name, suffix in zip(waiting, free, strict=False)]
    return ids


def _distinct_suffixes(count: int, used: Collection[str]) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        suffix = new_suffix(secrets.choice)
        if suffix not in used:
            found[suffix] = None
    return list(found)


def _suffixes_in_table(model: type[models.Model], suffixes: Sequence[str]) -> set[str]:
    rows = model._default_manager.annotate(suffix=Right("id", SUFFIX_LENGTH)).filter(suffix__in=suffixes)
    return set(rows.values_list("suffix", flat=True))
