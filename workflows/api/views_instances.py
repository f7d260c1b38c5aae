"""Reading and writing instances and their edges (contract D.1 rows 11 to 15, 29, 35)."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from secflow.http.errors import WHOLE_BODY, field_error
from secflow.http.openapi import PAGING, MessageOutput, documented, query_parameter
from secflow.http.query import list_body, page_asked_for, query_choice, query_text
from secflow.http.serializers import read_body
from workflows.api import examples
from workflows.api.base import INSTANCE_ID, InstanceView
from workflows.api.parameters import DIALECT
from workflows.api.schemas import InstanceListOutput, InstanceOutput, StatisticsOutput
from workflows.selectors.instances import STATUS_WORDS, list_instances
from workflows.selectors.statistics import read_statistics
from workflows.services import authoring, authoring_edges, lifecycle
from workflows.services.bodies import EdgeActionInput, InstanceChangesInput, InstanceInput

TAG = "Instances"
_PROJECT = query_parameter("project_id", "Only this project. `all` means every project.")


class InstanceListView(InstanceView):
    @documented(
        "List instances",
        "What the caller may read, newest first, each with its nodes and edges. Whole unless paging is asked for.",
        tag=TAG,
        operation_id="list_instances",
        answer=InstanceListOutput,
        errors=(400,),
        example={"total": 1, "items": [examples.INSTANCE]},
        parameters=[
            _PROJECT,
            query_parameter("name", "Only instances of exactly this name."),
            query_parameter("status", "Life-cycle status or readiness.", choices=STATUS_WORDS),
            *PAGING,
            DIALECT,
        ],
    )
    def get(self, request: Request) -> Response:
        page = page_asked_for(request)
        found = list_instances(
            actor=self.actor,
            project_id=query_text(request, "project_id", absent={"all"}),
            name=query_text(request, "name"),
            status=query_choice(request, "status", STATUS_WORDS),
            page=page,
        )
        return Response(list_body(self.outputs(found.rows), total=found.total, page=page))

    @documented(
        "Create an instance",
        "A draft with its nodes and edges, all or nothing. Edges name nodes by `ref`, or by a name that only one node"
        " has. The first to create in an open project becomes its manager.",
        tag=TAG,
        operation_id="create_instance",
        answer=InstanceOutput,
        status=201,
        errors=(400, 403, 404, 409),
        request=InstanceInput,
        example=examples.INSTANCE,
        request_example=examples.INSTANCE_REQUEST,
        parameters=[DIALECT],
    )
    def post(self, request: Request) -> Response:
        values = read_body(request, InstanceInput)
        return self.answer(authoring.create_instance(actor=self.actor, values=values), status=201)


class InstanceDetailView(InstanceView):
    @documented(
        "Read an instance",
        "The whole instance with its nodes and edges. Never asks the cluster.",
        tag=TAG,
        operation_id="read_instance",
        answer=InstanceOutput,
        errors=(400, 403, 404),
        example=examples.INSTANCE,
        parameters=[INSTANCE_ID, DIALECT],
    )
    def get(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id)
        return self.answer(instance_id)

    @documented(
        "Change an instance",
        "Any subset of the fields; `edges` replaces the whole set and needs status `pending`. The flags are for"
        " persistent instances.",
        tag=TAG,
        operation_id="update_instance",
        answer=InstanceOutput,
        errors=(400, 403, 404, 409),
        request=InstanceChangesInput,
        example=examples.INSTANCE,
        request_example={"name": "nightly scan", "trigger_enabled": True},
        parameters=[INSTANCE_ID, DIALECT],
    )
    def put(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id)
        changes = read_body(request, InstanceChangesInput)
        authoring.update_instance(instance_id=instance_id, actor=self.actor, changes=changes)
        return self.answer(instance_id)

    @documented(
        "Delete an instance",
        "Stops it, removes everything it has in the cluster, then the records. When the cluster cannot be reached the"
        " deletion stays due and the answer is 500.",
        tag=TAG,
        operation_id="delete_instance",
        answer=MessageOutput,
        errors=(403, 404),
        example={"message": f"Workflow instance {examples.INSTANCE['id']} deleted successfully"},
        parameters=[INSTANCE_ID],
    )
    def delete(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id)
        lifecycle.delete_instance(instance_id=instance_id, actor=self.actor)
        return Response({"message": f"Workflow instance {instance_id} deleted successfully"})


_PARTS_OF_AN_EDGE = frozenset({"source", "target", "shared_pvc"})


class EdgesView(InstanceView):
    @documented(
        "Change one edge",
        "`add` needs `source` and `target`; `update` needs `source`, `target` or `shared_pvc` and changes what is given,"
        " null clears `shared_pvc`; `delete` of an edge that does not exist is no error. Only in status `pending`.",
        tag=TAG,
        operation_id="change_edge",
        answer=InstanceOutput,
        errors=(400, 403, 404, 409),
        request=EdgeActionInput,
        example=examples.INSTANCE,
        request_example={"action": "add", **examples.EDGE},
        parameters=[INSTANCE_ID, DIALECT],
    )
    def post(self, request: Request, instance_id: str) -> Response:
        self.visible(instance_id)
        body = read_body(request, EdgeActionInput)
        action, edge_id = body.pop("action"), body["edge_id"]
        if action == "update" and _PARTS_OF_AN_EDGE.isdisjoint(request.data):
            raise field_error(WHOLE_BODY, "needs source, target or shared_pvc to change an edge")
        match action:
            case "add":
                edge = {"shared_pvc": None, **body}
                authoring_edges.add_edge(instance_id=instance_id, actor=self.actor, edge=edge)
            case "update":
                authoring_edges.update_edge(instance_id=instance_id, actor=self.actor, edge_id=edge_id, changes=body)
            case _:
                authoring_edges.delete_edge(instance_id=instance_id, actor=self.actor, edge_id=edge_id)
        return self.answer(instance_id)


class StatisticsView(InstanceView):
    @documented(
        "Count",
        "Counts only what the caller may read, of one project or of all.",
        tag=TAG,
        operation_id="read_statistics",
        answer=StatisticsOutput,
        errors=(400,),
        example=examples.STATISTICS,
        parameters=[_PROJECT, DIALECT],
    )
    def get(self, request: Request) -> Response:
        project_id = query_text(request, "project_id", absent={"all"})
        found = read_statistics(actor=self.actor, project_id=project_id, readiness=self.shows_readiness)
        return Response(
            {
                "total_instances": sum(found.by_status.values()),
                "status_distribution": found.by_status,
                "templates": {"app_templates": found.app_templates, "job_templates": found.job_templates},
            }
        )
