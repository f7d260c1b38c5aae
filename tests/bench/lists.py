"""List of 100 out of 10,000 instances with 10 nodes each, against one raw query rendered as JSON by a bare Django view.

Run by the bench with the environment of its stack; prints one JSON object. Both are called in this process, so that the
network is in neither.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.test import Client, RequestFactory  # noqa: E402
from rest_framework_simplejwt.tokens import AccessToken  # noqa: E402

INSTANCES, NODES, PAGE = 10_000, 10, 100

FILL = """
INSERT INTO secflow_platform_workflow_job_template
  (id, name, scope, containers, created_by, created_at, updated_at, ttl_seconds_after_finished, backoff_limit)
VALUES ('wf-tmpl-list-bench000', 'list bench', 'global', %s, '1', now(), now(), 3600, 3) ON CONFLICT DO NOTHING;
INSERT INTO secflow_platform_workflow_workflow_instance
  (id, name, project_id, status, run_mode, trigger_type, trigger_enabled, is_active, nodes, edges, run_count, has_warning,
   created_by, created_at, updated_at, version)
SELECT 'wf-inst-list-' || lpad(i::text, 8, '0'), 'list ' || i, 'bench-list', 'pending', 'once', 'manual', false, true, '[]', '[]',
       0, false, '1', now() + i * interval '1 millisecond', now(), 0
  FROM generate_series(1, {instances}) AS i ON CONFLICT DO NOTHING;
INSERT INTO secflow_platform_workflow_workflow_node_instance
  (id, instance_id, node_id, node_type, template_id, name, status, position, env_vars, volume_mounts, input_env_vars,
   input_volume_mounts, depends_on, downstream_node_ids, created_at)
SELECT 'wf-node-' || lpad((i * 100 + n)::text, 8, '0'), 'wf-inst-list-' || lpad(i::text, 8, '0'),
       'wf-node-' || lpad((i * 100 + n)::text, 8, '0'), 'job', 'wf-tmpl-list-bench000', 'node ' || n, 'pending',
       '{{"x": 0.0, "y": 0.0}}', '[]', '[]', '[]', '[]', '[]', '[]', now()
  FROM generate_series(1, {instances}) AS i, generate_series(1, {nodes}) AS n ON CONFLICT DO NOTHING;
ANALYZE secflow_platform_workflow_workflow_instance;
ANALYZE secflow_platform_workflow_workflow_node_instance
"""

RAW = """
SELECT i.*, (SELECT json_agg(n) FROM secflow_platform_workflow_workflow_node_instance n WHERE n.instance_id = i.id) AS all_nodes
  FROM secflow_platform_workflow_workflow_instance i ORDER BY i.created_at DESC, i.id LIMIT %s
"""


def fill() -> None:
    container = {"name": "main", "image": "busybox:latest", "command": ["true"]}
    statements = FILL.format(instances=INSTANCES, nodes=NODES).split(";\n")
    with connection.cursor() as cursor:
        cursor.execute(statements[0], [json.dumps([container])])
        for statement in statements[1:]:
            cursor.execute(statement)


def bare_view(request: HttpRequest) -> HttpResponse:
    """The floor: one query, its rows as JSON."""
    with connection.cursor() as cursor:
        cursor.execute(RAW, [PAGE])
        columns = [column.name for column in cursor.description]
        return JsonResponse({"items": [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]})


def timed(call: Callable[[], HttpResponse], *, times: int = 40) -> tuple[float, float, int]:
    """Milliseconds: median and 99th percentile of `times` calls after five that do not count; and the answer's bytes."""
    for _ in range(5):
        call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        answer = call()
        taken.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise SystemExit(f"the list answered {answer.status_code}: {answer.content[:300]!r}")
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98], len(answer.content)


def main() -> None:
    fill()
    user = get_user_model().objects.filter(is_superuser=True).first()
    client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}", "Host": "localhost"})
    path = f"/api/workflow/workflow-instances?page=1&page_size={PAGE}"
    request = RequestFactory().get("/")
    rows = {
        "list": timed(lambda: client.get(path)),
        "floor": timed(lambda: bare_view(request)),
    }
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
