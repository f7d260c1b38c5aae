"""Examples for the OpenAPI document, all about one small workflow."""

from __future__ import annotations

import json
from typing import Any

_INSTANCE_ID = "wf-inst-nightly-scan-x81m44zt"
_APP_ID, _JOB_ID = "wf-node-nightly-scan-target-app-m3n5b7v9", "wf-node-nightly-scan-crawler-7h2k9q0d"
_APP_TEMPLATE, _JOB_TEMPLATE = "wf-tmpl-target-app-p0a9c3fe", "wf-tmpl-crawler-7h2k9q0d"

EDGE: dict[str, Any] = {"edge_id": "e1", "source": _APP_ID, "target": _JOB_ID, "shared_pvc": None}

NODE_REQUEST: dict[str, Any] = {
    "node_type": "job",
    "template_id": _JOB_TEMPLATE,
    "name": "crawler",
    "position": {"x": 320.0, "y": 80.0},
    "env_vars": [{"name": "DEPTH", "value": "3"}],
    "input_env_vars": [{"name": "TARGET", "source_node_id": _APP_ID}],
}
NODE: dict[str, Any] = {
    "id": _JOB_ID,
    "instance_id": _INSTANCE_ID,
    "node_type": "job",
    "template_id": _JOB_TEMPLATE,
    "name": "crawler",
    "status": "pending",
    "k8s_resource_name": None,
    "k8s_resource_type": None,
    "depends_on": [_APP_ID],
    "downstream_node_ids": [],
    "timeout_seconds": None,
    "position": {"x": 320.0, "y": 80.0},
    "env_vars": [{"name": "DEPTH", "value": "3"}],
    "volume_mounts": [],
    "resources": None,
    "input_env_vars": [
        {
            "name": "TARGET",
            "source_node_id": _APP_ID,
            "default_value": None,
            "value": "svc-wf-x81m44zt-m3n5b7v9",
        }
    ],
    "input_volume_mounts": [],
    "service_name": None,
    "started_at": None,
    "finished_at": None,
    "message": None,
    "created_at": "2026-03-01T09:12:44",
}
INSTANCE_REQUEST: dict[str, Any] = {
    "name": "nightly scan",
    "project_id": "p1",
    "run_mode": "persistent",
    "trigger_type": "http",
    "trigger_enabled": True,
    "nodes": [
        {"ref": "target", "node_type": "app", "template_id": _APP_TEMPLATE, "name": "target app"},
        {
            "node_type": "job",
            "template_id": _JOB_TEMPLATE,
            "name": "crawler",
            "input_env_vars": [{"name": "TARGET", "source_node_id": "target"}],
        },
    ],
    "edges": [{"edge_id": "e1", "source": "target", "target": "crawler"}],
}
INSTANCE: dict[str, Any] = {
    "id": _INSTANCE_ID,
    "name": "nightly scan",
    "description": None,
    "project_id": "p1",
    "status": "initialized",
    "readiness": "ready",
    "run_mode": "persistent",
    "trigger_type": "http",
    "trigger_enabled": True,
    "trigger_url": f"/api/workflow/trigger/{_INSTANCE_ID}",
    "is_active": True,
    "run_count": 3,
    "last_run_at": "2026-03-01T02:00:00",
    "nodes": [NODE],
    "edges": [EDGE],
    "message": None,
    "has_warning": False,
    "last_sync_at": None,
    "created_by": "17",
    "started_at": None,
    "finished_at": None,
    "created_at": "2026-02-28T18:40:02",
    "updated_at": "2026-03-01T02:00:00",
}
TRIGGERED: dict[str, Any] = {"message": f"Workflow {_INSTANCE_ID} triggered successfully"}
POD_LOG: dict[str, Any] = {
    "resource_name": "wf-x81m44zt-7h2k9q0d",
    "pod_name": "wf-x81m44zt-7h2k9q0d-2xk9p",
    "namespace": "secflow-p1",
    "logs": "2026-03-01T09:13:12.000000000Z done\n",
    "container": "crawler",
    "previous": False,
}
LOG_RECORD: dict[str, Any] = {
    "id": "log-1",
    "task_id": "run-4",
    "node_id": _JOB_ID,
    "node_name": "crawler",
    "instance_id": _INSTANCE_ID,
    "project_id": "p1",
    "node_type": "job",
    "k8s_resource_name": "wf-x81m44zt-7h2k9q0d",
    "k8s_resource_type": "Job",
    "status": "succeeded",
    "started_at": "2026-03-01T09:13:00",
    "finished_at": "2026-03-01T09:13:12",
    "duration_seconds": 12,
    "message": None,
    "init_logs": {"logs": "", "fetched_at": None},
    "execution_logs": {
        "task_id": "run-4",
        "pod_name": "wf-x81m44zt-7h2k9q0d-2xk9p",
        "container": "crawler",
        "logs": "done\n",
        "fetched_at": "2026-03-01T09:13:30",
        "status_when_fetched": "succeeded",
    },
    "log_updated_at": "2026-03-01T09:13:30",
    "metadata": {"purpose": "run"},
    "created_at": "2026-03-01T09:13:00",
    "updated_at": "2026-03-01T09:13:30",
}
STATISTICS: dict[str, Any] = {
    "total_instances": 3,
    "status_distribution": {
        "pending": 1,
        "initializing": 0,
        "initialized": 0,
        "running": 2,
        "succeeded": 0,
        "failed": 0,
        "stopped": 0,
    },
    "templates": {"app_templates": 4, "job_templates": 7},
}
EVENT: dict[str, Any] = {
    "cursor": "81244-1302",
    "instance_id": _INSTANCE_ID,
    "sequence": 12,
    "project_id": "p1",
    "kind": "node.succeeded",
    "node_id": _JOB_ID,
    "run_number": 4,
    "actor": "system",
    "message": "",
    "data": {},
    "created_at": "2026-03-01T09:13:12.040211",
}
EVENT_MESSAGE = f"id: {EVENT['cursor']}\nevent: {EVENT['kind']}\ndata: {json.dumps(EVENT)}\n\n"
