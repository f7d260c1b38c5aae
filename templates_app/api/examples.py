"""Examples for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from templates_app.api.outputs import container_output

_CONTAINER: dict[str, Any] = {
    "name": "web",
    "image": "nginx:1.29",
    "env_vars": [{"name": "MODE", "value": "fast"}],
    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": None},
}
_TIMES = {"created_by": "17", "created_at": "2026-02-25T10:00:00", "updated_at": "2026-02-25T10:00:00"}

APP_REQUEST: dict[str, Any] = {
    "name": "Target app",
    "project_id": "p1",
    "containers": [_CONTAINER],
    "service_ports": [{"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}],
}
APP: dict[str, Any] = {
    "id": "wf-tmpl-target-app-p0a9c3fe",
    "name": "Target app",
    "description": None,
    "scope": "project",
    "project_id": "p1",
    "containers": [container_output(_CONTAINER)],
    "service_ports": APP_REQUEST["service_ports"],
    "service_name": None,
    "create_service": True,
    "service_type": "ClusterIP",
    "replicas": 1,
    **_TIMES,
}
_JOB_CONTAINER: dict[str, Any] = {
    "name": "crawler",
    "image": "registry.example.com/crawler:2",
    "command": ["crawl"],
    "input_env_vars": [{"name": "TARGET", "default_value": None}],
}
JOB_REQUEST: dict[str, Any] = {
    "name": "Crawler",
    "project_id": "p1",
    "containers": [_JOB_CONTAINER],
    "backoff_limit": 1,
}
JOB: dict[str, Any] = {
    "id": "wf-tmpl-crawler-7h2k9q0d",
    "name": "Crawler",
    "description": None,
    "scope": "project",
    "project_id": "p1",
    "containers": [container_output(_JOB_CONTAINER)],
    "ttl_seconds_after_finished": 3600,
    "backoff_limit": 1,
    **_TIMES,
}
