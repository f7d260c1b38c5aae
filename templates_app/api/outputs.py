"""Templates as the API shows them (contract C.1 to C.5). Built by plain functions: lists are long and must be cheap.

The serializers only document; a test holds their keys and the functions' together.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from secflow.http.rendering import iso
from templates_app.api.parts import PROBE_TYPES, PROTOCOLS
from templates_app.api.serializers import PULL_POLICIES
from templates_app.kinds import AnyTemplate
from templates_app.models import AppTemplate
from workflows.domain.statuses import Scope, ServiceType


def template_output(template: AnyTemplate) -> dict[str, Any]:
    """The full representation of a template of either kind."""
    common = {
        "id": template.id,
        "name": template.name,
        "description": template.description,
        "scope": template.scope,
        "project_id": template.project_id,
        "containers": [container_output(container) for container in template.containers],
    }
    if isinstance(template, AppTemplate):
        own = {
            "service_ports": template.service_ports or [],
            "service_name": template.service_name,
            "create_service": template.create_service,
            "service_type": template.service_type,
            "replicas": template.replicas,
        }
    else:
        own = {
            "ttl_seconds_after_finished": template.ttl_seconds_after_finished,
            "backoff_limit": template.backoff_limit,
        }
    return (
        common
        | own
        | {
            "created_by": template.created_by,
            "created_at": iso(template.created_at),
            "updated_at": iso(template.updated_at),
        }
    )


def container_output(stored: dict[str, Any]) -> dict[str, Any]:
    """One container with every field. Rows that were not written by this API may lack some: the defaults stand in."""
    return {
        "name": stored.get("name", ""),
        "image": stored.get("image", ""),
        "command": stored.get("command"),
        "args": stored.get("args"),
        "env_vars": stored.get("env_vars") or [],
        "volume_mounts": stored.get("volume_mounts") or [],
        "input_env_vars": stored.get("input_env_vars") or [],
        "input_volume_mounts": stored.get("input_volume_mounts") or [],
        "privileged": stored.get("privileged", False),
        "image_pull_policy": stored.get("image_pull_policy", "IfNotPresent"),
        "resources": stored.get("resources"),
        "liveness_probe": stored.get("liveness_probe"),
        "readiness_probe": stored.get("readiness_probe"),
    }


class EnvVarOutput(serializers.Serializer[Any]):
    """EnvVar (C.4)."""

    name = serializers.CharField()
    value = serializers.CharField(allow_blank=True)


class DeclaredEnvVarOutput(serializers.Serializer[Any]):
    """EnvVarInput (C.4)."""

    name = serializers.CharField()
    default_value = serializers.CharField(allow_null=True, allow_blank=True)


class VolumeMountOutput(serializers.Serializer[Any]):
    """VolumeMount (C.4)."""

    pvc_name = serializers.CharField()
    mount_path = serializers.CharField()
    sub_path = serializers.CharField(allow_null=True)
    read_only = serializers.BooleanField()  # type: ignore[assignment]


class DeclaredVolumeMountOutput(serializers.Serializer[Any]):
    """VolumeMountInput (C.4)."""

    mount_path = serializers.CharField()
    read_only = serializers.BooleanField()  # type: ignore[assignment]
    sub_path = serializers.CharField(allow_null=True)


class ServicePortOutput(serializers.Serializer[Any]):
    """ServicePort (C.4)."""

    name = serializers.CharField()
    port = serializers.IntegerField(min_value=1, max_value=65535)
    target_port = serializers.IntegerField(min_value=1, max_value=65535)
    protocol = serializers.ChoiceField(choices=PROTOCOLS)


class ResourceRequirementsOutput(serializers.Serializer[Any]):
    """ResourceRequirements (C.4)."""

    requests = serializers.DictField(child=serializers.CharField(), allow_null=True)
    limits = serializers.DictField(child=serializers.CharField(), allow_null=True)


class HealthCheckOutput(serializers.Serializer[Any]):
    """HealthCheck (C.5)."""

    type = serializers.ChoiceField(choices=PROBE_TYPES)
    port = serializers.IntegerField(allow_null=True)
    path = serializers.CharField(allow_null=True)
    command = serializers.ListField(child=serializers.CharField(allow_blank=True), allow_null=True)
    initial_delay_seconds = serializers.IntegerField()
    period_seconds = serializers.IntegerField()
    timeout_seconds = serializers.IntegerField()
    failure_threshold = serializers.IntegerField()
    success_threshold = serializers.IntegerField()


class ContainerOutput(serializers.Serializer[Any]):
    """ContainerConfig (C.3)."""

    name = serializers.CharField()
    image = serializers.CharField()
    command = serializers.ListField(child=serializers.CharField(allow_blank=True), allow_null=True)
    args = serializers.ListField(child=serializers.CharField(allow_blank=True), allow_null=True)
    env_vars = EnvVarOutput(many=True)
    volume_mounts = VolumeMountOutput(many=True)
    input_env_vars = DeclaredEnvVarOutput(many=True)
    input_volume_mounts = DeclaredVolumeMountOutput(many=True)
    privileged = serializers.BooleanField()
    image_pull_policy = serializers.ChoiceField(choices=PULL_POLICIES)
    resources = ResourceRequirementsOutput(allow_null=True)
    liveness_probe = HealthCheckOutput(allow_null=True)
    readiness_probe = HealthCheckOutput(allow_null=True)


class _TemplateOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    scope = serializers.ChoiceField(choices=[word.value for word in Scope])
    project_id = serializers.CharField(allow_null=True)
    containers = ContainerOutput(many=True)
    created_by = serializers.CharField()
    created_at = serializers.CharField(help_text="UTC without offset, `2026-02-25T10:00:00`.")
    updated_at = serializers.CharField()


class AppTemplateOutput(_TemplateOutput):
    """AppTemplate (C.1)."""

    service_ports = ServicePortOutput(many=True)
    service_name = serializers.CharField(allow_null=True)
    create_service = serializers.BooleanField()
    service_type = serializers.ChoiceField(choices=[word.value for word in ServiceType])
    replicas = serializers.IntegerField()


class JobTemplateOutput(_TemplateOutput):
    """JobTemplate (C.2)."""

    ttl_seconds_after_finished = serializers.IntegerField(allow_null=True)
    backoff_limit = serializers.IntegerField()


class AppTemplateListOutput(serializers.Serializer[Any]):
    """App templates (A.6)."""

    total = serializers.IntegerField()
    items = AppTemplateOutput(many=True)


class JobTemplateListOutput(serializers.Serializer[Any]):
    """Job templates (A.6)."""

    total = serializers.IntegerField()
    items = JobTemplateOutput(many=True)
