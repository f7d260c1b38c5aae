"""Bodies of templates (contract C.1 to C.3). `validated_data` is the stored form, with all defaults filled in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from secflow.http.fields import MAX_INT32, FlagField, ItemsField, TextField, WholeNumberField, WordField, name_field
from secflow.http.serializers import Input, refuse_repeated
from templates_app import specs
from templates_app.api.parts import (
    VALUE_LIMIT,
    DeclaredEnvVarInput,
    DeclaredVolumeMountInput,
    EnvVarInput,
    HealthCheckInput,
    LivenessCheckInput,
    ResourceRequirementsInput,
    ServicePortInput,
    VolumeMountInput,
    checked,
    service_name_field,
)
from workflows.domain.statuses import Scope, ServiceType

PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def _words_field() -> ItemsField:
    return ItemsField(
        child=TextField(allow_blank=True, verbatim=True, max_length=VALUE_LIMIT),
        required=False,
        allow_null=True,
        default=None,
    )


class JobContainerInput(Input):
    """ContainerConfig of a job template: probes are accepted and dropped (C.2)."""

    name = name_field()
    image = TextField(max_length=1024, validators=[checked(specs.image_problem)])
    command = _words_field()
    args = _words_field()
    env_vars = EnvVarInput(many=True, required=False, default=list)
    volume_mounts = VolumeMountInput(many=True, required=False, default=list)
    input_env_vars = DeclaredEnvVarInput(many=True, required=False, default=list)
    input_volume_mounts = DeclaredVolumeMountInput(many=True, required=False, default=list)
    privileged = FlagField(required=False, default=False)
    image_pull_policy = WordField(PULL_POLICIES, required=False, default="IfNotPresent")
    resources = ResourceRequirementsInput(required=False, allow_null=True, default=None)

    def check_items(self, items: list[dict[str, Any]]) -> None:
        refuse_repeated(items, "name", lambda item: item["name"])

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {"liveness_probe": None, "readiness_probe": None} | attrs


class AppContainerInput(JobContainerInput):
    """ContainerConfig of an app template."""

    liveness_probe = LivenessCheckInput(required=False, allow_null=True, default=None)
    readiness_probe = HealthCheckInput(required=False, allow_null=True, default=None)


class _TemplateInput(Input):
    refuses_ids = True

    name = name_field()
    description = TextField(required=False, allow_null=True, default=None, multiline=True)
    scope = WordField(Scope, required=False, default=Scope.PROJECT.value)
    project_id = TextField(required=False, allow_null=True, default=None, max_length=64)


def _replicas_in_bounds(count: int) -> None:
    if count > settings.SECFLOW.max_replicas:
        raise serializers.ValidationError(f"must be at most {settings.SECFLOW.max_replicas} in this installation")


class AppTemplateInput(_TemplateInput):
    """A new app template (C.1)."""

    containers = AppContainerInput(many=True, allow_empty=False)
    service_ports = ServicePortInput(many=True, required=False, default=list)
    service_name = service_name_field()
    create_service = FlagField(required=False, default=True)
    service_type = WordField(ServiceType, required=False, default=ServiceType.CLUSTER_IP.value)
    replicas = WholeNumberField(required=False, default=1, min_value=1, validators=[_replicas_in_bounds])


class AppTemplateChangesInput(AppTemplateInput):
    """Changes of an app template: any subset of the fields (D.3)."""

    all_optional = True
    refuses_ids = False


class JobTemplateInput(_TemplateInput):
    """A new job template (C.2)."""

    containers = JobContainerInput(many=True, allow_empty=False)
    ttl_seconds_after_finished = WholeNumberField(
        required=False, allow_null=True, default=3600, min_value=0, max_value=MAX_INT32
    )
    backoff_limit = WholeNumberField(required=False, default=3, min_value=0)


class JobTemplateChangesInput(JobTemplateInput):
    """Changes of a job template: any subset of the fields (D.3)."""

    all_optional = True
    refuses_ids = False


class CopyTemplateInput(Input):
    """What a copy has of its own."""

    name = name_field(required=False, allow_null=True, default=None, help_text="Left out: the old name with (copy).")
    project_id = TextField(
        required=False, allow_null=True, default=None, max_length=64, help_text="Left out: as the old one."
    )
