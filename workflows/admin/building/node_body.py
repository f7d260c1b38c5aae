"""A node as a form, with the nodes that it runs after: one save, all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from secflow.console.bodies.writing import WritingBody
from workflows.admin.building.edge_body import free_edge_id, named_cycle
from workflows.admin.building.neighbours import Neighbours
from workflows.admin.building.node_parts import node_parts
from workflows.domain.actors import Actor
from workflows.domain.errors import CycleFound, DomainError, UnmetInputs
from workflows.domain.inputs import NodeView, TemplateView, unmet_inputs
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services import authoring_edges, authoring_nodes
from workflows.services.bodies import NodeChangesInput, NodeInput

_COLUMNS = {"service_name": "requested_service_name"}
_GAP_X, _GAP_Y = 280.0, 120.0


class NodeBody(WritingBody):
    """A node, new or existing."""

    new_input, change_input = NodeInput, NodeChangesInput

    def __init__(
        self,
        instance: WorkflowInstance,
        template: TemplateView,
        neighbours: Neighbours,
        *,
        actor: Actor,
        node: WorkflowNode | None = None,
        initial: Mapping[str, Any] | None = None,
        posted: QueryDict | None = None,
        is_disabled: bool = False,
    ) -> None:
        self.actor, self.instance, self.template = actor, instance, template
        self.neighbours, self.node = neighbours, node
        columns = _stored(node, neighbours) if node is not None else None
        parts, folds = node_parts(template, neighbours, columns)
        stored = None
        if columns is not None:
            stored = {part.name: columns[part.name] for part in parts}
        super().__init__(parts, stored=stored, initial=initial, posted=posted, folds=folds, is_disabled=is_disabled)

    def given(self) -> Mapping[str, Any]:
        values = {name: value for name, value in super().given().items() if name != "runs_after"}
        if self.node is None:
            values |= {"node_type": self.template.kind, "template_id": self.template.id, "position": self._place()}
        return values

    def write(self, values: Mapping[str, Any]) -> str:
        """The id of the node; its edges are made to agree with the boxes."""
        instance_id = self.instance.pk
        if self.node is None:
            node_id = authoring_nodes.create_node(instance_id=instance_id, actor=self.actor, config=values)
        else:
            node_id = self.node.pk
            authoring_nodes.update_node(instance_id=instance_id, node_id=node_id, actor=self.actor, changes=values)
        self._write_edges(node_id)
        return node_id

    def _write_edges(self, node_id: str) -> None:
        wanted = self._wanted_parents()
        for edge in self.instance.edges:
            if edge["target"] == node_id and edge["source"] not in wanted:
                authoring_edges.delete_edge(instance_id=self.instance.pk, actor=self.actor, edge_id=edge["edge_id"])
        for source in wanted:
            if source not in self.neighbours.parents:
                edge = {
                    "edge_id": free_edge_id(self.instance, source, node_id),
                    "source": source,
                    "target": node_id,
                    "shared_pvc": None,
                }
                authoring_edges.add_edge(instance_id=self.instance.pk, actor=self.actor, edge=edge)

    def _wanted_parents(self) -> list[str]:
        """The ticked nodes, those beyond the page's boxes, and sources that nothing else would bring before the node."""
        boxes = self.values["runs_after"]
        parents = [pk for pk in self.neighbours.parents if boxes.get(pk, True)]
        parents += [pk for pk, is_ticked in boxes.items() if is_ticked and pk not in parents]
        for key in ("input_env_vars", "input_volume_mounts"):
            for entry in self.values[key] if key in self.changes else ():
                source = entry["source_node_id"]
                if source in self.neighbours.possible and source not in self.neighbours.with_parents(
                    parents, self.instance.edges
                ):
                    parents.append(source)
        return parents

    def _place(self) -> dict[str, float]:
        """A free place on the canvas, to the right of what it runs after."""
        parents = set(self._wanted_parents())
        spots = WorkflowNode.objects.filter(instance=self.instance).values_list("pk", "position")
        places = {pk: (float(spot.get("x", 0.0)), float(spot.get("y", 0.0))) for pk, spot in spots}
        column = max((places[pk][0] + _GAP_X for pk in parents if pk in places), default=0.0)
        taken = [y for x, y in places.values() if x == column]
        return {"x": column, "y": max(taken) + _GAP_Y if taken else 0.0}

    def try_out(self) -> None:
        super().try_out()
        if self.errors:
            # Typing errors end the asking early; what the template still wants is said all the same.
            self._add_unmet()

    def apply(self) -> Any:
        made = super().apply()
        if self.errors:
            self._add_unmet()
        return made

    def _add_unmet(self) -> None:
        view = NodeView(
            id="",
            name="",
            node_type=self.template.kind,
            template=self.template,
            env_vars=_named(self.values["env_vars"]),
            volume_mounts=_named(self.values["volume_mounts"]),
            input_env_vars=_named(self.values["input_env_vars"]),
            input_volume_mounts=_named(self.values["input_volume_mounts"]),
        )
        for item in unmet_inputs(view):
            self._say_unmet(item)

    def refuse(self, err: DomainError) -> None:
        if isinstance(err, UnmetInputs) and isinstance(err.details, list):
            for item in err.details:
                self._say_unmet(item)
        elif isinstance(err, CycleFound):
            self.add_error(["runs_after"], named_cycle(err, self.neighbours.names))
        else:
            super().refuse(err)

    def _say_unmet(self, item: Mapping[str, Any]) -> None:
        """Beside the row that was proposed for it, or above all rows of its kind."""
        is_variable = item["type"] == "env_var"
        name, key = ("env_vars", "name") if is_variable else ("volume_mounts", "mount_path")
        rows = next(part for part in self.whole.fields if part.name == name)
        proposals: Any = getattr(rows, "proposals", ())
        place = next((f"{name}.p{at}" for at, row in enumerate(proposals) if row[key] == item[key]), name)
        if isinstance(self.tree.get(name), dict) and place != name and self._is_removed(name, place):
            place = name
        text = f"{item['message']} (container {item['container']})"
        texts = self.errors.setdefault(place, [])
        if text not in texts:
            texts.append(text)

    def _is_removed(self, name: str, place: str) -> bool:
        rows = self.tree[name]
        return bool(rows) and place.rpartition(".")[2] not in rows


def _named(rows: Any) -> list[dict[str, Any]]:
    """The rows that say what they supply, however unfinished they are otherwise."""
    return [row for row in rows or () if isinstance(row, dict) and (row.get("name") or row.get("mount_path"))]


def _stored(node: WorkflowNode, neighbours: Neighbours) -> dict[str, Any]:
    columns = {field.name: getattr(node, field.attname) for field in WorkflowNode._meta.concrete_fields}
    columns |= {name: columns[column] for name, column in _COLUMNS.items()}
    return columns | {"runs_after": dict.fromkeys(neighbours.parents, True)}
