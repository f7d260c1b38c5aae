"""The workflow node, exactly the columns of the contract's section I."""

from typing import Any

from django.db import models
from django.db.models.functions import Right

from workflows.domain.ids import SUFFIX_LENGTH
from workflows.domain.statuses import NodeStatus, ServiceType
from workflows.models.fields import choices_of, one_of
from workflows.models.instance import WorkflowInstance


def origin() -> dict[str, float]:
    """The default place on the canvas."""
    return {"x": 0.0, "y": 0.0}


class WorkflowNode(models.Model):
    """One node of an instance (contract C.8). `depends_on` and `downstream_node_ids` are derived from the edges (F.1)."""

    id = models.CharField(max_length=64, primary_key=True)
    instance = models.ForeignKey(WorkflowInstance, on_delete=models.CASCADE, related_name="node_set")
    node_id = models.CharField(max_length=64, help_text="Always equal to the id; legacy.")
    node_type = models.CharField(max_length=20)
    template_id = models.CharField(max_length=64, db_index=True)
    name = models.CharField(max_length=128)
    status = models.CharField(max_length=20, choices=choices_of(NodeStatus), default=NodeStatus.PENDING)
    k8s_resource_name = models.CharField(max_length=128, null=True, blank=True)
    k8s_resource_type = models.CharField(max_length=20, null=True, blank=True)
    service_name = models.CharField(max_length=128, null=True, blank=True)
    requested_service_name = models.CharField(max_length=63, null=True, blank=True)
    position = models.JSONField(default=origin)
    env_vars = models.JSONField(default=list, blank=True)
    volume_mounts = models.JSONField(default=list, blank=True)
    input_env_vars = models.JSONField(default=list, blank=True)
    input_volume_mounts = models.JSONField(default=list, blank=True)
    resources = models.JSONField(null=True, blank=True)
    depends_on = models.JSONField(default=list, blank=True)
    downstream_node_ids = models.JSONField(default=list, blank=True)
    timeout_seconds = models.IntegerField(null=True, blank=True)
    create_service = models.BooleanField(null=True, blank=True)
    service_ports = models.JSONField(null=True, blank=True)
    service_type = models.CharField(max_length=20, choices=choices_of(ServiceType), null=True, blank=True)
    create_ingress = models.BooleanField(null=True, blank=True)
    ingress_type = models.CharField(max_length=20, null=True, blank=True)
    ingress_host = models.CharField(max_length=256, null=True, blank=True)
    ingress_ip = models.CharField(max_length=64, null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    message = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "secflow_platform_workflow_workflow_node_instance"
        ordering = ["created_at", "id"]
        constraints = [
            one_of("status", NodeStatus, "secflow_node_status"),
            models.CheckConstraint(condition=models.Q(node_id=models.F("id")), name="secflow_node_id_is_id"),
            # Kubernetes names are made of the suffix alone (contract A.8, H.2).
            models.UniqueConstraint(Right("id", SUFFIX_LENGTH), name="secflow_node_suffix"),
            models.CheckConstraint(
                condition=models.Q(timeout_seconds__isnull=True) | models.Q(timeout_seconds__gte=1),
                name="secflow_node_timeout",
            ),
            # Two nodes of one instance may not choose the same Service name (contract H.2).
            models.UniqueConstraint(
                fields=["instance", "requested_service_name"],
                condition=models.Q(requested_service_name__isnull=False),
                name="secflow_node_service_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.node_id = self.id
        super().save(*args, **kwargs)
