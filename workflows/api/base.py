"""What the views of instances share: which words the caller wants, and the instance as an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.errors import field_error
from secflow.http.openapi import path_parameter
from secflow.http.views import ApiView
from workflows.api.outputs import Row, instance_output, node_outputs
from workflows.domain.actors import Right
from workflows.domain.errors import NotFound
from workflows.selectors.instances import VisibleInstance, get_visible_instance, instance_row
from workflows.selectors.nodes import has_inputs, node_row, node_rows, template_views

DIALECT_HEADER = "X-SecFlow-Status-Dialect"
KEY_HEADER = "Idempotency-Key"
SEED, READINESS = "seed", "readiness"

INSTANCE_ID = path_parameter("instance_id", "Id of the workflow instance.")
NODE_ID = path_parameter("node_id", "Id of a node of the instance.")


class InstanceView(ApiView):
    """A view whose answers hold instances, in the status dialect of the caller or the settings (contract B)."""

    shows_readiness: bool

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # Read before anything is done: a wrong word must not leave a change behind an error.
        self.shows_readiness = dialect_of(request) == READINESS

    def visible(self, instance_id: str, right: Right | None = None) -> VisibleInstance:
        """The instance, if the caller has the right on it. Raises NotFound or Forbidden.

        When no right is named, it takes one to read for GET, and one to edit for all else.
        """
        if right is None:
            right = Right.READ if self.request.method in ("GET", "HEAD") else Right.EDIT
        return get_visible_instance(actor=self.actor, instance_id=instance_id, right=right)

    def answer(self, instance_id: str, *, status: int = 200) -> Response:
        """The whole instance as it is now."""
        return Response(self.outputs([instance_row(instance_id)])[0], status=status)

    def outputs(self, rows: Sequence[Row]) -> list[Row]:
        """Instances with their nodes: one query for the nodes of all, one per kind of template."""
        nodes = node_rows([row["id"] for row in rows])
        templates = template_views([node for group in nodes.values() for node in group])
        return [
            instance_output(row, nodes.get(row["id"], ()), templates, readiness=self.shows_readiness) for row in rows
        ]

    def node_answer(self, instance_id: str, node_id: str) -> dict[str, Any]:
        """One node as it is now. Raises NotFound, also for a node of another instance."""
        row = node_row(instance_id=instance_id, node_id=node_id)
        if not has_inputs(row):
            return node_outputs({}, [row], template_views([row]))[0]
        for node in self.node_answers(instance_id):
            if node["id"] == node_id:
                return node
        raise NotFound("workflow_node", node_id)

    def node_answers(self, instance_id: str) -> list[dict[str, Any]]:
        """The nodes of one instance as they are now."""
        nodes = node_rows([instance_id]).get(instance_id, [])
        return node_outputs(instance_row(instance_id), nodes, template_views(nodes))


def key_of(request: Request) -> str | None:
    """The caller's key that makes a repeated request recognizable. Raises a 400 for one that cannot be kept."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise field_error(KEY_HEADER, "must be 1 to 255 visible ASCII characters without spaces")
    return key


def dialect_of(request: Request) -> str:
    """`seed` or `readiness`: the header wins over the setting STATUS_DIALECT. Raises a 400 for another word."""
    word = request.headers.get(DIALECT_HEADER, "").strip().lower()
    if word and word not in (SEED, READINESS):
        raise field_error(DIALECT_HEADER, f"must be {SEED} or {READINESS}")
    return word or settings.SECFLOW.status_dialect
