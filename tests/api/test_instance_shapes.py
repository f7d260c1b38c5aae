"""What answers hold is what the document says they hold (contract C.6 to C.9, D.9, D.10)."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework import serializers

from tests.api.conftest import Api
from tests.api.test_logs import record
from tests.factories import AppTemplateFactory, NodeFactory
from workflows.api import examples, schemas
from workflows.models import NodeLog, WorkflowInstance, WorkflowNode


def assert_documented(document: Any, shape: serializers.BaseSerializer[Any], path: str = "") -> None:
    """Every documented field is there unless it is optional, and nothing else is."""
    if isinstance(shape, serializers.ListSerializer):
        for place, item in enumerate(document):
            assert_documented(item, shape.child, f"{path}.{place}")
        return
    assert isinstance(shape, serializers.Serializer)
    fields = shape.fields
    assert set(document) <= set(fields), path
    assert {name for name, field in fields.items() if field.required} <= set(document), path
    for name, value in document.items():
        field = fields[name]
        if value is None:
            assert field.allow_null, f"{path}.{name}"
        elif isinstance(field, serializers.BaseSerializer):
            assert_documented(value, field, f"{path}.{name}")
        elif isinstance(field, serializers.ChoiceField):
            assert value in field.choices, f"{path}.{name}"
        elif isinstance(field, serializers.CharField):
            assert isinstance(value, str), f"{path}.{name}"


@pytest.fixture
def full(db: None) -> WorkflowInstance:
    """An instance that uses every field."""
    ports = [{"name": "http", "port": 80, "target_port": 80, "protocol": "TCP"}]
    template = AppTemplateFactory(service_ports=ports).pk
    app = NodeFactory(
        node_type="app",
        template_id=template,
        resources={"requests": {"cpu": "1"}, "limits": None},
        env_vars=[{"name": "A", "value": "b"}],
        volume_mounts=[{"pvc_name": "data", "mount_path": "/data"}],
        create_ingress=True,
        ingress_type="nginx",
        ingress_host="a.example.org",
        ingress_ip="10.0.0.1",
    )
    job = NodeFactory(
        instance=app.instance,
        input_env_vars=[{"name": "T", "source_node_id": app.pk}],
        input_volume_mounts=[{"mount_path": "/in", "source_node_id": app.pk, "read_only": True}],
    )
    WorkflowInstance.objects.update(edges=[{"edge_id": "e", "source": app.pk, "target": job.pk, "shared_pvc": "data"}])
    NodeLog.objects.create(node_run=record(job, 1, diagnosis={"a": 1}), part="execution", text="x")
    record(app, 1)
    instance: WorkflowInstance = app.instance
    return instance


def test_instances_and_lists(member: Api, full: WorkflowInstance) -> None:
    path = f"/workflow-instances/{full.pk}"

    assert_documented(member.read(path), schemas.InstanceOutput())
    assert_documented(member.read("/workflow-instances"), schemas.InstanceListOutput())
    assert_documented(member.read("/workflow-instances?page=1"), schemas.InstanceListOutput())


def test_nodes(member: Api, full: WorkflowInstance) -> None:
    path = f"/workflow-instances/{full.pk}/nodes"

    assert_documented(member.read(path), schemas.NodeOutput(many=True))
    for node in WorkflowNode.objects.all():
        assert_documented(member.read(f"{path}/{node.pk}"), schemas.NodeOutput())


def test_log_records_and_counts(member: Api, full: WorkflowInstance) -> None:
    assert_documented(member.read(f"/workflow-instances/{full.pk}/logs"), schemas.LogRecordListOutput())
    assert_documented(member.read("/statistics"), schemas.StatisticsOutput())


@pytest.mark.parametrize(
    ("example", "shape"),
    [
        (examples.INSTANCE, schemas.InstanceOutput()),
        (examples.NODE, schemas.NodeOutput()),
        (examples.EDGE, schemas.EdgeOutput()),
        (examples.LOG_RECORD, schemas.LogRecordOutput()),
        (examples.POD_LOG, schemas.PodLogOutput()),
        (examples.STATISTICS, schemas.StatisticsOutput()),
    ],
)
def test_examples(example: Any, shape: serializers.Serializer[Any]) -> None:
    assert_documented(example, shape)
