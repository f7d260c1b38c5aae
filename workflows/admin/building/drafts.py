"""An instance as somebody edits it: read once for a page, under its lock when the page writes."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import QueryDict

from templates_app.kinds import KINDS
from templates_app.models import Template
from templates_app.selectors import get_visible_template
from workflows.admin.building.edge_body import EdgeBody
from workflows.admin.building.neighbours import Neighbours, neighbours_of
from workflows.admin.building.node_body import NodeBody
from workflows.domain.actors import Actor, Right
from workflows.domain.edges import Edge
from workflows.domain.errors import DomainError, Forbidden, NotFound
from workflows.domain.transitions import Verb
from workflows.locks import lock_instance
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.selectors.instances import get_visible_instance
from workflows.services.authoring_rules import refuse_deleting
from workflows.services.building import template_view
from workflows.services.moves import require
from workflows.services.preflight import templates_of


@dataclass
class Draft:
    """The instance, who edits it, and why it may not be edited now: the services' own sentences, or nothing."""

    instance: WorkflowInstance
    actor: Actor
    update_refusal: str
    graph_refusal: str
    neighbours: Neighbours
    shown_template: Template | None = None
    shown_node: WorkflowNode | None = None

    def node(self, node_id: str) -> WorkflowNode:
        """One of the nodes. Raises NotFound."""
        found = WorkflowNode.objects.filter(instance=self.instance, pk=node_id).first()
        if found is None:
            raise NotFound("workflow_node", node_id)
        return found

    def edge(self, edge_id: str) -> Edge:
        """One of the edges. Raises NotFound."""
        found = next((edge for edge in self.instance.edges if edge["edge_id"] == edge_id), None)
        if found is None:
            raise NotFound("edge", edge_id)
        return found

    def edge_body(self, edge_id: str | None, *, posted: QueryDict | None) -> EdgeBody:
        """The form of an edge."""
        return EdgeBody(
            self.instance,
            self.neighbours,
            actor=self.actor,
            edge=None if edge_id is None else self.edge(edge_id),
            posted=posted,
            is_disabled=bool(self.graph_refusal),
        )

    def node_body(self, chosen: str, node_id: str | None, *, posted: QueryDict | None) -> NodeBody:
        """The form of a node; `chosen` is `<kind>:<template id>` for a new one. Raises NotFound."""
        node = self.node(node_id) if node_id else None
        if node is not None:
            template = templates_of([node]).get(node.template_id)
            if template is None:
                raise NotFound(f"{node.node_type}_template", node.template_id)
        else:
            word, _, template_id = chosen.partition(":")
            if word not in KINDS:
                raise NotFound("template", chosen)
            template = _visible(word, template_id, self.actor)
        self.shown_template, self.shown_node = template, node
        return NodeBody(
            self.instance,
            template_view(template),
            neighbours_of(self.instance, node.pk) if node else self.neighbours,
            actor=self.actor,
            node=node,
            initial={"name": template.name},
            posted=posted,
            is_disabled=bool(self.graph_refusal),
        )


def _visible(word: str, template_id: str, actor: Actor) -> Template:
    try:
        return get_visible_template(KINDS[word], actor=actor, template_id=template_id)
    except Forbidden as err:
        raise PermissionDenied(err.message) from err


def load_draft(actor: Actor, instance_id: str, *, lock: bool = False) -> Draft:
    """Raises NotFound, and PermissionDenied as the API says Forbidden. With `lock` inside a transaction."""
    try:
        get_visible_instance(actor=actor, instance_id=instance_id, right=Right.EDIT)
    except Forbidden as err:
        raise PermissionDenied(err.message) from err
    if lock and connection.in_atomic_block:
        instance = lock_instance(instance_id)
    else:
        instance = WorkflowInstance.objects.get(pk=instance_id)
    return Draft(
        instance=instance,
        actor=actor,
        update_refusal=_refusal(instance, Verb.UPDATE),
        graph_refusal=_refusal(instance, Verb.EDIT_GRAPH),
        neighbours=neighbours_of(instance, None),
    )


def _refusal(instance: WorkflowInstance, verb: Verb) -> str:
    try:
        require(instance, verb)
        refuse_deleting(instance)
    except DomainError as err:
        return err.message
    return ""
