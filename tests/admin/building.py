"""Addresses of the pages that build workflows, and how their forms are sent."""

from __future__ import annotations

from typing import Any

from django.test import Client

from templates_app.models import AppTemplate
from tests.admin.pages import form_of
from tests.factories import container
from workflows.models import WorkflowInstance, WorkflowNode

INSTANCES = "/admin/workflows/workflowinstance/"


def build_url(instance: WorkflowInstance) -> str:
    return f"{INSTANCES}{instance.pk}/build/"


def add_node_url(instance: WorkflowInstance, template: Any) -> str:
    kind = "app" if isinstance(template, AppTemplate) else "job"
    return f"{INSTANCES}{instance.pk}/nodes/add/?template={kind}:{template.pk}"


def node_url(node: WorkflowNode) -> str:
    return f"{INSTANCES}{node.instance_id}/nodes/{node.pk}/edit/"


def asking(*names: str, **changes: Any) -> list[dict[str, Any]]:
    """Containers that want variables from their node."""
    wanted = [{"name": name, "default_value": None} for name in names]
    return [container(input_env_vars=wanted, **changes)]


def send(client: Client, url: str, **changes: str) -> Any:
    """Opens the form, types into it and saves it."""
    return client.post(url, form_of(client.get(url)) | changes)
