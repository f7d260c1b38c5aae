"""Examples of workflow files for the OpenAPI document."""

from __future__ import annotations

from typing import Any

FILE: dict[str, Any] = {
    "apiVersion": "secflow.io/v1",
    "kind": "Workflow",
    "metadata": {"name": "nightly scan", "project": "p1"},
    "spec": {
        "run_mode": "persistent",
        "templates": {
            "target": {
                "kind": "app",
                "name": "target",
                "containers": [
                    {
                        "name": "web",
                        "image": "nginx:1.27",
                        "readiness_probe": {"type": "http", "port": 80, "path": "/"},
                    }
                ],
                "service_ports": [{"name": "http", "port": 80, "target_port": 80}],
            },
            "crawler": {
                "kind": "job",
                "name": "crawler",
                "containers": [
                    {
                        "name": "crawl",
                        "image": "busybox:1.36",
                        "command": ["sh", "-c", "wget -qO- http://$TARGET/"],
                        "input_env_vars": [{"name": "TARGET"}],
                    }
                ],
                "backoff_limit": 0,
            },
        },
        "nodes": [
            {"name": "target", "template": "target"},
            {
                "name": "crawl",
                "template": "crawler",
                "timeout_seconds": 600,
                "input_env_vars": [{"name": "TARGET", "source_node": "target"}],
            },
        ],
        "edges": [{"from": "target", "to": "crawl"}],
    },
}
FILE_TEXT = """\
apiVersion: secflow.io/v1
kind: Workflow
metadata: {name: hello, project: p1}
spec:
  templates:
    hello:
      kind: job
      containers:
      - name: main
        image: busybox:1.36
        command: [echo, hello]
  nodes:
  - {name: hello, template: hello}
"""
FINDING: dict[str, Any] = {
    "severity": "info",
    "path": "spec.templates.hello.containers[0].resources",
    "message": "asks for no resources: it is the first that a full cluster removes; set requests and limits",
    "line": 8,
}
MANIFEST: dict[str, Any] = {
    "node": "hello",
    "kind": "Job",
    "name": "wf-x81m44zt-7h2k9q0d",
    "manifest": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "wf-x81m44zt-7h2k9q0d"}},
}
OUTCOME: dict[str, Any] = {
    "dry_run": False,
    "instance": {"id": "wf-inst-hello-x81m44zt", "name": "hello", "action": "created"},
    "templates": [
        {"handle": "hello", "id": "wf-tmpl-hello-p0a9c3fe", "kind": "job", "name": "hello", "action": "created"}
    ],
    "findings": [FINDING],
    "manifests": [MANIFEST],
}
PREVIEW: dict[str, Any] = {
    "findings": [
        {
            "severity": "error",
            "path": "spec.nodes[1]",
            "message": "container crawl: variable TARGET has no value: no path of edges leads from its source target to"
            " this node",
            "node": "crawl",
            "node_id": "wf-node-crawl-7h2k9q0d",
        }
    ],
    "manifests": [MANIFEST],
    "unmet_inputs": [
        {
            "type": "env_var",
            "container": "crawl",
            "name": "TARGET",
            "message": "variable TARGET has no value: no path of edges leads from its source target to this node",
            "node": "crawl",
        }
    ],
}
