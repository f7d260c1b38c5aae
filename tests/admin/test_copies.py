"""Workflows and templates are copied by a button."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.admin.conftest import said
from tests.admin.pages import form_of, problems_of
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory
from workflows.models import WorkflowInstance


def test_a_workflow_is_copied(admin: Client) -> None:
    node = NodeFactory(name="crawl", instance=InstanceFactory(name="scan"))
    other = NodeFactory(instance=node.instance, name="report")
    node.instance.edges = [{"edge_id": "e", "source": node.pk, "target": other.pk, "shared_pvc": None}]
    node.instance.save()
    url = reverse("admin:workflows_workflowinstance_copy_button", args=[node.instance_id])

    proposed = form_of(admin.get(url))["name"]
    nameless = admin.post(url, {"name": ""})
    copied = admin.post(url, {"name": "scan 2"}, follow=True)

    made = WorkflowInstance.objects.get(name="scan 2")
    assert proposed == "scan (copy)"
    assert problems_of(nameless) == {"name": "must not be empty"}
    assert said(copied) == ["scan 2 was made."]
    assert sorted(made.node_set.values_list("name", flat=True)) == ["crawl", "report"]
    assert len(made.edges) == 1
    assert made.edges[0]["source"] != node.pk


@pytest.mark.parametrize("page", ["apptemplate", "jobtemplate"])
def test_a_template_is_copied(admin: Client, viewer: Client, page: str) -> None:
    row = (AppTemplateFactory if page == "apptemplate" else JobTemplateFactory)(name="web")
    url = reverse(f"admin:templates_app_{page}_copy_button", args=[row.pk])

    refused = viewer.post(url, {"name": "mine"})
    copied = admin.post(url, form_of(admin.get(url)), follow=True)

    rows = type(row).objects.order_by("created_at")
    assert refused.status_code == 403
    assert said(copied) == ["web (copy) was made."]
    assert [made.name for made in rows] == ["web", "web (copy)"]
    assert rows[0].containers == rows[1].containers
