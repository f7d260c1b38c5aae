"""A workflow file for tests, and how it is sent."""

from __future__ import annotations

from typing import Any

import yaml

from secflow.projects.models import ProjectMember
from templates_app.models import AppTemplate, JobTemplate
from tests.api.conftest import Api
from workflows.models import Event, WorkflowInstance, WorkflowNode

URL = "/documents"
DRY = "/documents?dry_run=true"

FILE = """
apiVersion: secflow.io/v1
kind: Workflow
metadata: {name: nightly scan, project: p1}
spec:
  description: |
    Looks at the target.
    Every night.
  run_mode: persistent
  templates:
    target:
      kind: app
      containers:
      - name: web
        image: nginx:1.27
        readiness_probe: {type: http, port: 80, path: /}
        resources: {requests: {cpu: 10m}}
      service_ports: [{name: http, port: 80, target_port: 80}]
    scan:
      kind: job
      name: scanner
      containers:
      - name: main
        image: busybox:1.36
        command: [sh, -c, "wget -qO- http://$TARGET"]
        input_env_vars: [{name: TARGET}]
        input_volume_mounts: [{mount_path: /out, read_only: false}]
        resources: {limits: {memory: 64Mi}}
      ttl_seconds_after_finished: null
      backoff_limit: 0
  nodes:
  - {name: target, template: target, position: {x: 10, y: 20}}
  - name: scan
    template: scan
    timeout_seconds: 60
    input_env_vars: [{name: TARGET, source_node: target}]
    volume_mounts: [{pvc_name: data, mount_path: /out}]
  - name: report
    template: scan
    env_vars: [{name: TARGET, value: "none"}]
    input_volume_mounts: [{mount_path: /out, source_node: scan, read_only: false}]
  edges:
  - {from: target, to: scan}
  - {from: scan, to: report, shared_pvc: data}
"""


def value(**spec: Any) -> dict[str, Any]:
    """FILE as a value, with other things in its spec."""
    made: dict[str, Any] = yaml.safe_load(FILE)
    made["spec"] |= spec
    return made


def send(api: Api, text: str | dict[str, Any], *, dry: bool = False, status: int = 200) -> Any:
    """The answer to a file: a text as YAML, a value as JSON."""
    path = DRY if dry else URL
    if isinstance(text, dict):
        return api.send("POST", path, text, status=status)
    response = api.generic(
        "POST", "/api/workflow" + path, text.encode(), content_type="application/yaml", headers=api.extra_headers
    )
    assert response.status_code == status, response.content.decode()[:2000]
    return response.json()


def errors(answer: dict[str, Any]) -> dict[str, str]:
    """Paths and messages of the errors."""
    found = answer["details"]["findings"] if "details" in answer else answer["findings"]
    return {item["path"]: item["message"] for item in found if item["severity"] == "error"}


def exported(api: Api, instance_id: str) -> str:
    response = api.call("GET", f"/workflow-instances/{instance_id}/document")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/yaml"
    return str(response.content.decode())


def rows() -> tuple[Any, ...]:
    """Everything that a file can change, and the journal."""
    return (
        *(list(model.objects.order_by("pk").values()) for model in (AppTemplate, JobTemplate, WorkflowNode)),
        list(WorkflowInstance.objects.order_by("pk").values()),
        list(Event.objects.order_by("pk").values()),
        list(ProjectMember.objects.order_by("pk").values()),
    )
