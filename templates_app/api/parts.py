"""Bodies of the small objects (contract C.4, C.5). Nodes have the same ones: the API of the engine uses them too.

`validated_data` of each is the stored form, with all defaults filled in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework import serializers

from secflow.http.fields import FlagField, ItemsField, TextField, WholeNumberField, WordField
from secflow.http.serializers import Input, refuse_repeated
from templates_app import specs

PROTOCOLS = ("TCP", "UDP", "SCTP")
PROBE_TYPES = ("http", "tcp", "exec")
TEXT_LIMIT = 1024
VALUE_LIMIT = 262_144


def checked(problem_of: Callable[[str], str | None]) -> Callable[[str], None]:
    """A validator of a field out of a `*_problem` function."""

    def check(text: str) -> None:
        problem = problem_of(text)
        if problem:
            raise serializers.ValidationError(problem)

    return check


def env_name_field() -> TextField:
    return TextField(max_length=TEXT_LIMIT, validators=[checked(specs.env_name_problem)])


class MountPathField(TextField):
    """A path in a container, kept in one spelling: two of them would be two mounts (G.2)."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        path = super().run_validation(data)
        return specs.same_path(path) if isinstance(path, str) else path


def mount_path_field() -> TextField:
    return MountPathField(max_length=TEXT_LIMIT, validators=[checked(specs.mount_path_problem)])


def sub_path_field() -> TextField:
    return TextField(
        required=False,
        allow_null=True,
        default=None,
        max_length=TEXT_LIMIT,
        validators=[checked(specs.sub_path_problem)],
    )


def service_name_field() -> TextField:
    """A Service name; null and absent mean: generated (H.2)."""
    return TextField(
        required=False, allow_null=True, default=None, max_length=63, validators=[checked(specs.service_name_problem)]
    )


class EnvVarInput(Input):
    """EnvVar of the contract: a variable with a fixed value, which may be empty."""

    name = env_name_field()
    value = TextField(allow_blank=True, verbatim=True, max_length=VALUE_LIMIT)


class DeclaredEnvVarInput(Input):
    """EnvVarInput of the contract: a variable that a template's container wants from its node."""

    name = env_name_field()
    default_value = TextField(
        required=False, allow_null=True, allow_blank=True, default=None, verbatim=True, max_length=VALUE_LIMIT
    )

    def check_items(self, items: list[dict[str, Any]]) -> None:
        refuse_repeated(items, "name", lambda item: item["name"])


class _AtPath(Input):
    def check_items(self, items: list[dict[str, Any]]) -> None:
        refuse_repeated(items, "mount_path", lambda item: specs.same_path(item["mount_path"]))


class VolumeMountInput(_AtPath):
    """VolumeMount of the contract: an existing claim at a path; paths differ within one list."""

    pvc_name = TextField(max_length=253)
    mount_path = mount_path_field()
    sub_path = sub_path_field()
    read_only = FlagField(required=False, default=False)  # type: ignore[assignment]


class NodeVolumeMountInput(VolumeMountInput):
    """A VolumeMount of a node. Without `read_only` it takes what the template declares for the path (G.2), so none is
    filled in.
    """

    read_only = FlagField(required=False)


class DeclaredVolumeMountInput(_AtPath):
    """VolumeMountInput of the contract: a path where a template's container wants a claim from its node."""

    mount_path = mount_path_field()
    read_only = FlagField(required=False, default=True)  # type: ignore[assignment]
    sub_path = sub_path_field()


class ServicePortInput(Input):
    """ServicePort of the contract. Within one list names differ, and so do port and protocol together."""

    name = TextField(max_length=128)
    port = WholeNumberField(min_value=1, max_value=65535)
    target_port = WholeNumberField(min_value=1, max_value=65535)
    protocol = WordField(PROTOCOLS, required=False, default="TCP")

    def check_items(self, items: list[dict[str, Any]]) -> None:
        refuse_repeated(items, "name", lambda item: item["name"])
        refuse_repeated(items, "port", lambda item: (item["port"], item["protocol"]))


class ResourceRequirementsInput(Input):
    """ResourceRequirements of the contract. Empty values are dropped; when nothing is left the whole is null."""

    aliases = {"limit": "limits"}

    requests = serializers.DictField(
        child=TextField(allow_blank=True, max_length=specs.QUANTITY_LIMIT),
        required=False,
        allow_null=True,
        default=None,
    )
    limits = serializers.DictField(
        child=TextField(allow_blank=True, max_length=specs.QUANTITY_LIMIT),
        required=False,
        allow_null=True,
        default=None,
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        cleaned = specs.cleaned_resources(attrs) or {"requests": None, "limits": None}
        errors: dict[str, Any] = {}
        for part, key, problem in specs.resource_problems(cleaned["requests"], cleaned["limits"]):
            errors.setdefault(part, {})[key] = [problem]
        if errors:
            raise serializers.ValidationError(errors)
        return cleaned

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return specs.cleaned_resources(super().run_validation(data))


class HealthCheckInput(Input):
    """HealthCheck of the contract (C.5)."""

    liveness = False

    type = WordField(PROBE_TYPES)
    port = WholeNumberField(required=False, allow_null=True, default=None, min_value=1, max_value=65535)
    path = TextField(required=False, allow_null=True, default=None, max_length=TEXT_LIMIT)
    command = ItemsField(
        child=TextField(allow_blank=True, verbatim=True, max_length=VALUE_LIMIT),
        required=False,
        allow_null=True,
        default=None,
    )
    initial_delay_seconds = WholeNumberField(required=False, default=10, min_value=0)
    period_seconds = WholeNumberField(required=False, default=10, min_value=1)
    timeout_seconds = WholeNumberField(required=False, default=5, min_value=1)
    failure_threshold = WholeNumberField(required=False, default=3, min_value=1)
    success_threshold = WholeNumberField(required=False, default=1, min_value=1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        problems = dict(specs.probe_problems(attrs, liveness=self.liveness))
        if problems:
            raise serializers.ValidationError({field: [problem] for field, problem in problems.items()})
        return attrs


class LivenessCheckInput(HealthCheckInput):
    """A HealthCheck that restarts the container: one success must do."""

    liveness = True
