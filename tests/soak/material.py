"""The templates and bodies that a planned workflow is made of."""

from __future__ import annotations

from typing import Any

from tests.soak.client import Broken, Client
from tests.soak.plan import Node, Workflow

Json = dict[str, Any]

CLAIM = "soak"
FOLDER = "/tmp/soak"
IMAGE = "busybox:latest"
PORTS = [{"name": "http", "port": 80, "target_port": 8080}]

# Everything that a job does is told by variables; what it finds missing shows that it began too early. The first process of a
# container must ask for signals to be ended by them.
JOB = f"""
trap 'exit 143' TERM
echo "$SOAK_KEY begins"
for name in $SOAK_READS; do
  test -f "{FOLDER}/$name" || {{ echo "$name is missing:"; ls -la "{FOLDER}" | tail -n 40; exit 7; }}
done
sleep "$SOAK_SECONDS" & wait $!
case "$SOAK_FATE" in
  fail) echo "fails as planned"; exit 3 ;;
  retry) test -f "{FOLDER}/$SOAK_KEY.tried" || {{ echo tried > "{FOLDER}/$SOAK_KEY.tried"; exit 4; }} ;;
esac
test -z "$SOAK_WRITES" || echo done > "{FOLDER}/$SOAK_WRITES" || exit 8
echo "$SOAK_KEY ends"
"""
_REST = ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait $!"]
_SERVER = ["sh", "-c", "trap 'kill $!; exit 0' TERM; python -m http.server 8080 & wait $!"]
_QUICK = {"initial_delay_seconds": 0, "period_seconds": 1, "timeout_seconds": 5, "failure_threshold": 60}
APPS: dict[str, Json] = {
    "none": {"command": _REST},
    "exec": {"command": _REST, "readiness_probe": {"type": "exec", "command": ["true"], **_QUICK}},
    "tcp": {
        "image": "python:3.11-slim",
        "command": _SERVER,
        "readiness_probe": {"type": "tcp", "port": 8080, **_QUICK},
    },
    "http": {
        "image": "python:3.11-slim",
        "command": _SERVER,
        "readiness_probe": {"type": "http", "port": 8080, "path": "/", **_QUICK},
    },
}


def job_body(project: str, *, retries: int, has_claim: bool, script: str = JOB) -> Json:
    """A job template."""
    mounts = [{"pvc_name": CLAIM, "mount_path": FOLDER}] if has_claim else []
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script], "volume_mounts": mounts}
    return {"name": "soak", "project_id": project, "backoff_limit": retries, "containers": [container]}


def app_body(project: str, probe: str) -> Json:
    """An app template with this kind of readiness probe."""
    return {"name": "soak", "project_id": project, "containers": [{"name": "main", "image": IMAGE, **APPS[probe]}]}


def needs_claim(node: Node) -> bool:
    return node.writes or bool(node.reads) or node.fate == "retry"


def kind_of(node: Node) -> str:
    """Which of the shared templates the node is made from."""
    if node.kind == "app":
        return f"app-{node.probe}"
    if node.fate == "retry":
        return "job-retry"
    return "job-claim" if needs_claim(node) else "job"


def make_templates(client: Client, project: str) -> dict[str, str]:
    """One template of each kind; ids by kind."""
    bodies = {
        "job": job_body(project, retries=0, has_claim=False),
        "job-claim": job_body(project, retries=0, has_claim=True),
        "job-retry": job_body(project, retries=2, has_claim=True),
        **{f"app-{probe}": app_body(project, probe) for probe in APPS},
    }
    made = {}
    for kind, body in bodies.items():
        path = "/app-templates" if kind.startswith("app") else "/job-templates"
        answer = client.settle(f"template {kind}", "POST", path, body)
        if not answer.is_good:
            raise Broken(f"template {kind} was refused: {answer}")
        made[kind] = str(answer.body["id"])
    return made


def instance_body(plan: Workflow, *, key: str, project: str, templates: dict[str, str]) -> Json:
    """The instance of a planned workflow. `key` is unique: it names the files in the claim."""
    body: Json = {
        "name": key,
        "project_id": project,
        "nodes": [_node_body(node, key, templates) for node in plan.nodes],
        "edges": [{"edge_id": f"{a}-{b}", "source": a, "target": b} for a, b in plan.edges],
    }
    if plan.course == "trigger":
        body |= {"run_mode": "persistent", "trigger_type": "http", "trigger_enabled": True}
    return body


def _node_body(node: Node, key: str, templates: dict[str, str]) -> Json:
    body: Json = {
        "ref": node.name,
        "name": node.name,
        "node_type": node.kind,
        "template_id": templates.get(node.name) or templates[kind_of(node)],
    }
    if node.kind == "app":
        return body | ({"service_ports": PORTS} if node.has_service else {"create_service": False})
    values = {
        "SOAK_KEY": f"{key}-{node.name}",
        "SOAK_SECONDS": f"{node.seconds:g}",
        "SOAK_FATE": node.fate,
        "SOAK_READS": " ".join(f"{key}-{name}" for name in node.reads),
        "SOAK_WRITES": f"{key}-{node.name}" if node.writes else "",
    }
    return body | {"env_vars": [{"name": name, "value": value} for name, value in values.items()]}
