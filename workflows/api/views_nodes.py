"""Reading and writing nodes, and what their pods wrote (contract D.1 rows 23 to 28, 34)."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.openapi import PAGING, MessageOutput, documented, query_parameter
from secflow.http.query import list_body, page_or_first, query_bool, query_int, query_text
from secflow.http.serializers import read_body
from workflows.api import examples
from workflows.api.base import INSTANCE_ID, NODE_ID, InstanceView
from workflows.api.outputs import record_output
from workflows.api.schemas import LogRecordListOutput, NodeOutput, PodLogOutput
from workflows.selectors.logs import list_log_records
from workflows.selectors.nodes import get_node, node_type_of
from workflows.services import authoring_nodes, logs
from workflows.services.bodies import NodeChangesInput, NodeInput

TAG = "Nodes"
MAX_TAIL_LINES = 10_000
TAIL_LINES = 100
_FLAG = {"type": "boolean"}


class NodeListView(InstanceView):
    @documented(
        "List nodes",
        "All nodes of an instance, oldest first, as a bare array.",
        tag=TAG,
        operation_id="list_nodes",
        answer=NodeOutput(many=True),
        errors=(403, 404),
        example=[examples.NODE],
        parameters=[INSTANCE_ID],
    )
    def get(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id)
        return Response(self.node_answers(instance_id))

    @documented(
        "Add a node",
        "Makes a node from a template, only in status `pending`. Every declared input must be supplied: unmet ones are"
        " 400 with an array in `details`.",
        tag=TAG,
        operation_id="create_node",
        answer=NodeOutput,
        status=201,
        errors=(400, 403, 404, 409),
        request=NodeInput,
        example=examples.NODE,
        request_example=examples.NODE_REQUEST,
        parameters=[INSTANCE_ID],
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id)
        config = read_body(request, NodeInput)
        node_id = authoring_nodes.create_node(instance_id=instance_id, actor=self.actor, config=config)
        return Response(self.node_answer(instance_id, node_id), status=201)


class NodeDetailView(InstanceView):
    @documented(
        "Read a node",
        "The whole node. A node of another instance is 404.",
        tag=TAG,
        operation_id="read_node",
        answer=NodeOutput,
        errors=(403, 404),
        example=examples.NODE,
        parameters=[INSTANCE_ID, NODE_ID],
    )
    def get(self, request: Request, instance_id: str, node_id: str) -> Response:
        self.visible(instance_id)
        return Response(self.node_answer(instance_id, node_id))

    @documented(
        "Change a node",
        "Any subset of the fields; what is absent stays. `create_service` false clears name, ports and ingress. Only in"
        " status `pending`.",
        tag=TAG,
        operation_id="update_node",
        answer=NodeOutput,
        errors=(400, 403, 404, 409),
        request=NodeChangesInput,
        example=examples.NODE,
        request_example={"name": "crawler", "position": {"x": 320.0, "y": 80.0}},
        parameters=[INSTANCE_ID, NODE_ID],
    )
    def put(self, request: Request, instance_id: str, node_id: str) -> Response:
        self.visible(instance_id)
        node_type = node_type_of(instance_id=instance_id, node_id=node_id)
        changes = read_body(request, NodeChangesInput, node_type=node_type)
        authoring_nodes.update_node(instance_id=instance_id, node_id=node_id, actor=self.actor, changes=changes)
        return Response(self.node_answer(instance_id, node_id))

    @documented(
        "Delete a node",
        "Its edges go with it, and other nodes no longer name it as a source. Only in status `pending`.",
        tag=TAG,
        operation_id="delete_node",
        answer=MessageOutput,
        errors=(400, 403, 404, 409),
        example={"message": f"Workflow node {examples.NODE['id']} deleted successfully"},
        parameters=[INSTANCE_ID, NODE_ID],
    )
    def delete(self, request: Request, instance_id: str, node_id: str) -> Response:
        self.visible(instance_id)
        authoring_nodes.delete_node(instance_id=instance_id, node_id=node_id, actor=self.actor)
        return Response({"message": f"Workflow node {node_id} deleted successfully"})


class NodeLogsView(InstanceView):
    @documented(
        "Read what a node writes",
        "The end of the log of the node's newest pod, straight from the cluster.",
        tag=TAG,
        operation_id="read_node_logs",
        answer=PodLogOutput,
        errors=(400, 403, 404),
        example=examples.POD_LOG,
        parameters=[
            INSTANCE_ID,
            NODE_ID,
            query_parameter("container", "Container; the first of the template when not given."),
            query_parameter(
                "tail_lines",
                "Lines from the end.",
                kind={"type": "integer", "minimum": 1, "maximum": MAX_TAIL_LINES},
                default=TAIL_LINES,
            ),
            query_parameter("previous", "The log of the container before its last restart.", kind=_FLAG, default=False),
            query_parameter("timestamps", "A time before each line; also `timestamp`.", kind=_FLAG, default=True),
        ],
    )
    def get(self, request: Request, instance_id: str, node_id: str) -> Response:
        self.visible(instance_id)
        node = get_node(instance_id=instance_id, node_id=node_id)
        container = query_text(request, "container")
        tail_lines = query_int(request, "tail_lines", low=1, high=MAX_TAIL_LINES)
        previous = query_bool(request, "previous")
        spellings = [query_bool(request, word) for word in ("timestamps", "timestamp")]
        text = logs.read_node_logs(
            node=node,
            container=container,
            tail_lines=tail_lines or TAIL_LINES,
            previous=previous or False,
            timestamps=next((flag for flag in spellings if flag is not None), True),
        )
        return Response(text)


class LogRecordsView(InstanceView):
    @documented(
        "List log records",
        "One record per node and run, newest first, with the texts kept when the node ended.",
        tag=TAG,
        operation_id="list_log_records",
        answer=LogRecordListOutput,
        errors=(400, 403, 404),
        example={"total": 1, "page": 1, "page_size": 20, "items": [examples.LOG_RECORD]},
        parameters=[INSTANCE_ID, query_parameter("node_id", "Only this node. Unknown: an empty list."), *PAGING],
    )
    def get(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id)
        page = page_or_first(request)
        found = list_log_records(instance_id=instance_id, node_id=query_text(request, "node_id"), page=page)
        items = [record_output(row, found.texts.get(row["id"], {})) for row in found.rows]
        return Response(list_body(items, total=found.total, page=page))
