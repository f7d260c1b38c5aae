"""The engine inside the test process: a real Celery worker, a real watcher, real PostgreSQL, Valkey and cluster."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.contrib.testing.worker import start_worker
from django.db import connections

from k8s_bridge.names import namespace_of
from k8s_bridge.watcher import Watcher
from secflow.celery import app
from templates_app.models import AppTemplate, JobTemplate
from workflows.domain.ids import INSTANCE, NODE, TEMPLATE, make_id, new_suffix
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.cluster import gateway
from workflows.services.following import Pipeline
from workflows.services.reconciling import reconcile, sweep

BUSYBOX = "busybox:latest"


def fresh_id(prefix: str, name: str) -> str:
    return make_id(prefix, name, new_suffix(secrets.choice))


def container(command: str, **fields: Any) -> dict[str, Any]:
    """A container in the stored form that runs one shell command."""
    return {
        "name": "main",
        "image": BUSYBOX,
        "command": ["sh", "-c", command],
        "args": None,
        "env_vars": [],
        "volume_mounts": [],
        "input_env_vars": [],
        "input_volume_mounts": [],
        "privileged": False,
        "image_pull_policy": "IfNotPresent",
        "resources": None,
        "liveness_probe": None,
        "readiness_probe": None,
    } | fields


def job(command: str = "true", *, backoff_limit: int = 0, **fields: Any) -> JobTemplate:
    """A saved job template that runs one shell command."""
    return JobTemplate.objects.create(
        id=fresh_id(TEMPLATE, "job"),
        name="job",
        scope="global",
        containers=[container(command, **fields)],
        backoff_limit=backoff_limit,
        created_by="1",
    )


def http_probe(port: int = 8080) -> dict[str, Any]:
    return {
        "type": "http",
        "port": port,
        "path": "/",
        "command": None,
        "initial_delay_seconds": 0,
        "period_seconds": 1,
        "timeout_seconds": 1,
        "failure_threshold": 3,
        "success_threshold": 1,
    }


WEB = (
    "import http.server, os; http.server.ThreadingHTTPServer(('', int(os.environ.get('PORT', '8080'))),"
    " http.server.SimpleHTTPRequestHandler).serve_forever()"
)


def web_app(*, port: int = 8080, service_name: str | None = None, **fields: Any) -> AppTemplate:
    """A saved app template that serves its folder by HTTP, ready when it answers."""
    return AppTemplate.objects.create(
        id=fresh_id(TEMPLATE, "web"),
        name="web",
        scope="global",
        containers=[
            container("", image="python:3.11-slim", readiness_probe=http_probe(port))
            | {"command": ["python", "-c", WEB]}
            | fields
        ],
        service_ports=[{"name": "http", "port": port, "target_port": port, "protocol": "TCP"}],
        service_name=service_name,
        created_by="1",
    )


def workflow(
    nodes: dict[str, AppTemplate | JobTemplate], edges: list[tuple[str, str]] | None = None, **fields: Any
) -> WorkflowInstance:
    """A saved draft with named nodes and edges between them, in a project of its own."""
    instance = WorkflowInstance.objects.create(
        id=fresh_id(INSTANCE, "flow"),
        name="flow",
        project_id=fields.pop("project_id", f"t-{secrets.token_hex(5)}"),
        created_by="1",
        **fields,
    )
    ids = {}
    for name, template in nodes.items():
        node = WorkflowNode.objects.create(
            id=fresh_id(NODE, name),
            instance=instance,
            node_type="app" if isinstance(template, AppTemplate) else "job",
            template_id=template.pk,
            name=name,
        )
        ids[name] = node.pk
    instance.edges = [
        {"edge_id": f"{source}-{target}", "source": ids[source], "target": ids[target], "shared_pvc": None}
        for source, target in edges or []
    ]
    instance.save()
    return instance


def node(instance: WorkflowInstance, name: str) -> WorkflowNode:
    return WorkflowNode.objects.get(instance=instance, name=name)


def statuses(instance: WorkflowInstance) -> dict[str, str]:
    """Node name to status, and the instance's own under its empty name."""
    found = dict(WorkflowNode.objects.filter(instance=instance).values_list("name", "status"))
    return found | {"": WorkflowInstance.objects.values_list("status", flat=True).get(pk=instance.pk)}


def eventually(is_true: Callable[[], bool], *, seconds: float = 60.0, what: str = "the condition") -> None:
    """Waits until it is true; fails with `what` when the time is over."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, f"{what} did not come true within {seconds:g} s"
        time.sleep(0.02)


def ends(instance: WorkflowInstance, *, seconds: float = 60.0) -> str:
    """The status in which the instance comes to rest."""
    resting = ("succeeded", "failed", "stopped", "initialized")

    def is_over() -> bool:
        return statuses(instance)[""] in resting

    eventually(is_over, seconds=seconds, what=f"the end of {instance.pk}")
    return statuses(instance)[""]


def objects_of(instance: WorkflowInstance) -> list[str]:
    """What the cluster has of the instance, as Kind/name, without pods that are ending."""
    found = gateway().list_instance(namespace_of(instance.project_id), instance.pk)
    return sorted(
        f"{kind}/{item['metadata']['name']}"
        for kind, items in found.items()
        for item in items
        if not item["metadata"].get("deletionTimestamp")
    )


@contextmanager
def running_worker(threads: int = 4) -> Iterator[None]:
    """A Celery worker in a thread of this process."""
    app.control.purge()
    with start_worker(app, pool="threads", concurrency=threads, perform_ping_check=False, shutdown_timeout=30):
        yield


@contextmanager
def running_watcher() -> Iterator[Watcher]:
    """The watcher and its consumer in threads of this process."""
    stop = threading.Event()
    pipeline = Pipeline()

    def consume() -> None:
        try:
            pipeline.run(stop)
        finally:
            connections.close_all()

    watcher = Watcher(gateway(), pipeline.take)
    consumer = threading.Thread(target=consume, name="observations")
    watcher.start()
    consumer.start()
    try:
        yield watcher
    finally:
        stop.set()
        watcher.stop()
        consumer.join(10)


@contextmanager
def running_sweeps(period: float = 0.5) -> Iterator[None]:
    """Sweep and reconcile again and again in a thread of this process, as beat has them done."""
    stop = threading.Event()

    def tick() -> None:
        try:
            while not stop.wait(period):
                sweep()
                reconcile()
        finally:
            connections.close_all()

    thread = threading.Thread(target=tick, name="sweeps")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
