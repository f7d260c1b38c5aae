"""Answers as the OpenAPI document shows them. `workflows.api.outputs` builds them; a test holds the two together."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from templates_app.api.outputs import EnvVarOutput, ResourceRequirementsOutput, ServicePortOutput, VolumeMountOutput
from workflows.domain.statuses import NodeStatus, Readiness, RunMode, ServiceType, TriggerType
from workflows.selectors.instances import STATUS_WORDS
from workflows.services.bodies import INGRESS_TYPES, NODE_TYPES

_TIME = "UTC without offset, `2026-02-25T10:00:00`."


class PositionOutput(serializers.Serializer[Any]):
    """A place on the canvas."""

    x = serializers.FloatField()
    y = serializers.FloatField()


class SourcedEnvVarOutput(serializers.Serializer[Any]):
    """A variable from an upstream node (C.10)."""

    name = serializers.CharField()
    source_node_id = serializers.CharField()
    default_value = serializers.CharField(allow_null=True, allow_blank=True)
    value = serializers.CharField(allow_null=True, help_text="What it comes to now; null when that is not known yet.")


class SourcedVolumeMountOutput(serializers.Serializer[Any]):
    """A claim from an upstream node (C.10)."""

    mount_path = serializers.CharField()
    sub_path = serializers.CharField(allow_null=True)
    source_node_id = serializers.CharField()
    source_pvc_name = serializers.CharField(allow_null=True)
    read_only = serializers.BooleanField()  # type: ignore[assignment]
    pvc_name = serializers.CharField(allow_null=True, help_text="The claim it comes to now; null when not known yet.")


class DiagnosisOutput(serializers.Serializer[Any]):
    """Why a node failed or does not get on; the words of `category` are stable."""

    category = serializers.CharField(help_text="Such as image_pull, out_of_memory, unschedulable, quota or timeout.")
    summary = serializers.CharField(help_text="What is wrong.")
    detail = serializers.CharField(allow_blank=True, help_text="The cluster's own words; may be empty.")
    resolution = serializers.CharField(help_text="What to do about it.")


class NodeOutput(serializers.Serializer[Any]):
    """Node (C.8). The Service and ingress fields after `service_name` are there for app nodes only."""

    id = serializers.CharField()
    instance_id = serializers.CharField()
    node_type = serializers.ChoiceField(choices=NODE_TYPES)
    template_id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=[word.value for word in NodeStatus])
    k8s_resource_name = serializers.CharField(allow_null=True)
    k8s_resource_type = serializers.ChoiceField(choices=["Deployment", "Job"], allow_null=True)
    depends_on = serializers.ListField(child=serializers.CharField(), help_text="Direct upstream nodes.")
    downstream_node_ids = serializers.ListField(child=serializers.CharField(), help_text="Direct downstream nodes.")
    timeout_seconds = serializers.IntegerField(allow_null=True, help_text="null: 300 for app nodes, 3600 for jobs.")
    position = PositionOutput()
    env_vars = EnvVarOutput(many=True)
    volume_mounts = VolumeMountOutput(many=True)
    resources = ResourceRequirementsOutput(allow_null=True)
    input_env_vars = SourcedEnvVarOutput(many=True)
    input_volume_mounts = SourcedVolumeMountOutput(many=True)
    service_name = serializers.CharField(allow_null=True, help_text="Real or chosen name; null when generated.")
    create_service = serializers.BooleanField(required=False)
    service_ports = ServicePortOutput(many=True, required=False)
    service_type = serializers.ChoiceField(choices=[word.value for word in ServiceType], required=False)
    create_ingress = serializers.BooleanField(required=False)
    ingress_type = serializers.ChoiceField(choices=INGRESS_TYPES, allow_null=True, required=False)
    ingress_host = serializers.CharField(allow_null=True, required=False)
    ingress_ip = serializers.CharField(allow_null=True, required=False)
    started_at = serializers.CharField(allow_null=True, help_text=_TIME)
    finished_at = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_null=True)
    diagnosis = DiagnosisOutput(required=False, help_text="Only while the node has a trouble or failed by one.")
    created_at = serializers.CharField()


class EdgeOutput(serializers.Serializer[Any]):
    """Edge (C.9)."""

    edge_id = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    target = serializers.CharField()
    shared_pvc = serializers.CharField(allow_null=True)


class InstanceOutput(serializers.Serializer[Any]):
    """WorkflowInstance (C.6)."""

    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True, allow_blank=True)
    project_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUS_WORDS, help_text="In the status dialect of the request.")
    readiness = serializers.ChoiceField(choices=[word.value for word in Readiness])
    run_mode = serializers.ChoiceField(choices=[word.value for word in RunMode])
    trigger_type = serializers.ChoiceField(choices=[word.value for word in TriggerType])
    trigger_enabled = serializers.BooleanField()
    trigger_url = serializers.CharField(allow_null=True)
    is_active = serializers.BooleanField()
    run_count = serializers.IntegerField()
    last_run_at = serializers.CharField(allow_null=True, help_text=_TIME)
    nodes = NodeOutput(many=True)
    edges = EdgeOutput(many=True)
    message = serializers.CharField(allow_null=True)
    has_warning = serializers.BooleanField()
    last_sync_at = serializers.CharField(allow_null=True)
    created_by = serializers.CharField()
    started_at = serializers.CharField(allow_null=True)
    finished_at = serializers.CharField(allow_null=True)
    created_at = serializers.CharField()
    updated_at = serializers.CharField()


class InstanceListOutput(serializers.Serializer[Any]):
    """Instances (A.6). `page` and `page_size` are there when paging is on."""

    total = serializers.IntegerField()
    page = serializers.IntegerField(required=False)
    page_size = serializers.IntegerField(required=False)
    items = InstanceOutput(many=True)


class PodLogOutput(serializers.Serializer[Any]):
    """PodLog (C.11)."""

    resource_name = serializers.CharField()
    pod_name = serializers.CharField()
    namespace = serializers.CharField()
    logs = serializers.CharField(allow_blank=True)
    container = serializers.CharField(allow_null=True)
    previous = serializers.BooleanField()


class KeptLogOutput(serializers.Serializer[Any]):
    """A kept text. Only `logs` and `fetched_at` are there when nothing was kept."""

    logs = serializers.CharField(allow_blank=True)
    fetched_at = serializers.CharField(allow_null=True)
    task_id = serializers.CharField(required=False)
    pod_name = serializers.CharField(allow_null=True, required=False)
    container = serializers.CharField(allow_null=True, required=False)
    status_when_fetched = serializers.CharField(allow_null=True, required=False)


class LogRecordOutput(serializers.Serializer[Any]):
    """One node in one run, with the texts kept of it (D.9)."""

    id = serializers.CharField()
    task_id = serializers.CharField(
        help_text="`run-<number>`; of a set-up, that of the run before it (`metadata.purpose` tells them apart)."
    )
    node_id = serializers.CharField()
    node_name = serializers.CharField()
    instance_id = serializers.CharField()
    project_id = serializers.CharField()
    node_type = serializers.ChoiceField(choices=NODE_TYPES)
    k8s_resource_name = serializers.CharField()
    k8s_resource_type = serializers.ChoiceField(choices=["Deployment", "Job"])
    status = serializers.ChoiceField(choices=[word.value for word in NodeStatus])
    started_at = serializers.CharField(allow_null=True)
    finished_at = serializers.CharField(allow_null=True)
    duration_seconds = serializers.IntegerField(allow_null=True)
    message = serializers.CharField(allow_null=True)
    init_logs = KeptLogOutput()
    execution_logs = KeptLogOutput()
    log_updated_at = serializers.CharField(allow_null=True)
    metadata = serializers.DictField()
    created_at = serializers.CharField()
    updated_at = serializers.CharField()


class LogRecordListOutput(serializers.Serializer[Any]):
    """Log records, newest first."""

    total = serializers.IntegerField()
    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    items = LogRecordOutput(many=True)


class TemplateCountsOutput(serializers.Serializer[Any]):
    """Templates by kind."""

    app_templates = serializers.IntegerField()
    job_templates = serializers.IntegerField()


class StatisticsOutput(serializers.Serializer[Any]):
    """Counts (D.10)."""

    total_instances = serializers.IntegerField()
    status_distribution = serializers.DictField(child=serializers.IntegerField())
    templates = TemplateCountsOutput()


class EventOutput(serializers.Serializer[Any]):
    """One entry of the journal."""

    cursor = serializers.CharField(help_text="Where to go on after this event; a text without a meaning of its own.")
    instance_id = serializers.CharField()
    sequence = serializers.IntegerField(help_text="Counts the events of one instance from 1, without a gap.")
    project_id = serializers.CharField()
    kind = serializers.CharField(help_text="`<noun>.<fact>`, such as `node.succeeded`.")
    node_id = serializers.CharField(allow_null=True)
    run_number = serializers.IntegerField(allow_null=True)
    actor = serializers.CharField(help_text="The id of whoever caused it; `system` is the engine.")
    message = serializers.CharField(allow_blank=True)
    data = serializers.DictField(help_text="What the kind needs, such as a diagnosis.")  # type: ignore[assignment]
    created_at = serializers.CharField()


class EventsOutput(serializers.Serializer[Any]):
    """Events in order, and the cursor to ask with next time."""

    items = EventOutput(many=True)
    cursor = serializers.CharField()
