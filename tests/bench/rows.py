"""Rows in bulk: instances at rest with their nodes."""

from __future__ import annotations

import json

import psycopg

from tests.bench.driver import CONTAINER

NODES = 5  # of each instance
QUERIES = "X-Bench-Queries"  # the header of the bench's web process that tells how many queries a view made

# Half of them are drafts, half have been run.
_STATEMENTS = """
INSERT INTO secflow_platform_workflow_job_template
  (id, name, scope, containers, created_by, created_at, updated_at, ttl_seconds_after_finished, backoff_limit)
VALUES ('wf-tmpl-bulk-bench000', 'bulk bench', 'global', %(containers)s, '1', now(), now(), 3600, 3);
INSERT INTO secflow_platform_workflow_workflow_instance
  (id, name, project_id, status, run_mode, trigger_type, trigger_enabled, is_active, nodes, edges, run_count, has_warning,
   created_by, created_at, updated_at, version)
SELECT 'wf-inst-bulk-' || lpad(i::text, 8, '0'), 'bulk ' || i, 'bench-bulk',
       CASE i %% 2 WHEN 0 THEN 'pending' ELSE 'succeeded' END, 'once', 'manual', false, true, '[]', '[]', i %% 2, false, '1',
       now() + i * interval '1 millisecond', now(), 0
  FROM generate_series(1, %(instances)s) AS i;
INSERT INTO secflow_platform_workflow_workflow_node_instance
  (id, instance_id, node_id, node_type, template_id, name, status, position, env_vars, volume_mounts, input_env_vars,
   input_volume_mounts, depends_on, downstream_node_ids, created_at)
SELECT 'wf-node-' || lpad((i * 100 + n)::text, 8, '0'), 'wf-inst-bulk-' || lpad(i::text, 8, '0'),
       'wf-node-' || lpad((i * 100 + n)::text, 8, '0'), 'job', 'wf-tmpl-bulk-bench000', 'node ' || n,
       CASE i %% 2 WHEN 0 THEN 'pending' ELSE 'succeeded' END, '{"x": 0.0, "y": 0.0}', '[]', '[]', '[]', '[]', '[]', '[]', now()
  FROM generate_series(1, %(instances)s) AS i, generate_series(1, %(nodes)s) AS n;
ANALYZE
"""


def fill(database_url: str, instances: int) -> None:
    """So many instances of NODES nodes each, in a database that has none of them yet."""
    values = {"containers": json.dumps([CONTAINER]), "instances": instances, "nodes": NODES}
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in _STATEMENTS.split(";\n"):
            connection.execute(statement, values if "%(" in statement else None)


def instance_id(number: int) -> str:
    """The id of one of them, from 1 on; the newest has the highest number."""
    return f"wf-inst-bulk-{number:08d}"
