"""The views of the floor of `reads`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.views import APIView

from secflow import urls
from tests.bench.rows import QUERIES

handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


_ROW = """
SELECT i.*, (SELECT json_agg(n) FROM secflow_platform_workflow_workflow_node_instance AS n WHERE n.instance_id = i.id) AS all_nodes
  FROM secflow_platform_workflow_workflow_instance AS i
"""
_LIST = _ROW + " ORDER BY i.created_at DESC, i.id LIMIT %s OFFSET %s"
_DETAIL = _ROW + " WHERE i.id = %s"


class CountQueries:
    """Middleware: the answer's header tells the number of queries."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        count = 0

        def counted(execute: Callable[..., Any], *args: Any) -> Any:
            nonlocal count
            count += 1
            return execute(*args)

        with connection.execute_wrapper(counted):
            answer = self._get_response(request)
        answer[QUERIES] = str(count)
        return answer


def _rows(query: str, values: list[Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        columns = [column.name for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


class RawList(APIView):
    """One page of instances with their nodes."""

    schema = None

    def get(self, request: Request) -> HttpResponse:
        size = int(request.query_params["page_size"])
        offset = (int(request.query_params["page"]) - 1) * size
        return JsonResponse({"items": _rows(_LIST, [size, offset])})


class RawDetail(APIView):
    """One instance with its nodes."""

    schema = None

    def get(self, request: Request, instance_id: str) -> HttpResponse:
        return JsonResponse(_rows(_DETAIL, [instance_id])[0])


urlpatterns = [
    *urls.urlpatterns,
    path("bench/instances", RawList.as_view()),
    path("bench/instances/<str:instance_id>", RawDetail.as_view()),
]
