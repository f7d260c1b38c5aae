"""The inputs of an edge (contract C.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from secflow.console.bodies.groups import Fold
from secflow.console.bodies.parts import Choice, Option, Part, Text
from secflow.console.bodies.writing import WritingBody
from workflows.admin.building.neighbours import Neighbours
from workflows.domain.actors import Actor
from workflows.domain.edges import Edge
from workflows.domain.errors import CycleFound, DomainError
from workflows.models import WorkflowInstance
from workflows.services import authoring_edges
from workflows.services.bodies import EdgeActionInput


class EdgeBody(WritingBody):
    """An edge, new or existing, with pickers for its ends."""

    new_input = change_input = EdgeActionInput
    prefix = "edge"

    def __init__(
        self,
        instance: WorkflowInstance,
        neighbours: Neighbours,
        *,
        actor: Actor,
        edge: Edge | None = None,
        posted: QueryDict | None = None,
        is_disabled: bool = False,
    ) -> None:
        self.actor, self.instance, self.edge, self.names = actor, instance, edge, neighbours.names
        nodes = tuple(Option(pk, pk, name) for pk, name in neighbours.names.items())
        parts: list[Part] = [
            Choice(name="source", label="From", options=nodes, is_required=True, width="half"),
            Choice(name="target", label="To", options=nodes, is_required=True, width="half"),
            Text(
                name="shared_pvc",
                label="Shared claim",
                choices=neighbours.claims,
                width="half",
                placeholder="none",
                help="The volume by which the first hands data to the second, where an input does not name another.",
            ),
        ]
        super().__init__(
            parts,
            stored=None if edge is None else {part.name: edge.get(part.name) for part in parts},
            posted=posted,
            folds=[Fold("", ("source", "target", "shared_pvc"), is_open=True)],
            is_disabled=is_disabled,
        )

    def given(self) -> Mapping[str, Any]:
        if self.edge is None:
            edge_id = free_edge_id(self.instance, str(self.values["source"]), str(self.values["target"]))
            return {"action": "add", "edge_id": edge_id, **self.values}
        return {"action": "update", "edge_id": self.edge["edge_id"], **self.changes}

    def write(self, values: Mapping[str, Any]) -> str:
        changes = {name: value for name, value in values.items() if name not in ("action", "edge_id")}
        edge_id = values["edge_id"]
        if self.edge is None:
            edge = {"shared_pvc": None, **changes, "edge_id": edge_id}
            authoring_edges.add_edge(instance_id=self.instance.pk, actor=self.actor, edge=edge)
        elif changes:
            authoring_edges.update_edge(
                instance_id=self.instance.pk, actor=self.actor, edge_id=edge_id, changes=changes
            )
        return str(edge_id)

    def refuse(self, err: DomainError) -> None:
        if isinstance(err, CycleFound):
            self.add_error(["target"], named_cycle(err, self.names))
        else:
            super().refuse(err)


def free_edge_id(instance: WorkflowInstance, source: str, target: str) -> str:
    """The id that clients give such an edge, or one like it when that is used, by an edge that was moved for example."""
    used = {edge["edge_id"] for edge in instance.edges}
    wanted = f"edge-{source}-{target}"
    candidates = (wanted, *(f"{wanted}-{number}" for number in range(2, len(used) + 3)))
    return next(text for text in candidates if text not in used)


def named_cycle(err: CycleFound, names: Mapping[str, str]) -> str:
    """The cycle with the names of its nodes, which people know, instead of their ids."""
    details: Any = err.details
    return f"the edges form a cycle: {' → '.join(names.get(pk, pk) for pk in details['cycle'])}"
