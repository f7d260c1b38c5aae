"""App and job templates, exactly the columns of the contract's section I."""

from django.db import models


class Template(models.Model):
    """What app and job templates have in common. Ids are unique over both kinds (contract A.8)."""

    class Scope(models.TextChoices):
        GLOBAL = "global"
        PROJECT = "project"

    id = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=128, db_index=True)
    description = models.TextField(null=True, blank=True)
    scope = models.CharField(max_length=20, choices=Scope.choices, default=Scope.PROJECT)
    project_id = models.CharField(max_length=64, null=True, blank=True, db_index=True)
    containers = models.JSONField(help_text="List of containers (contract C.3).")
    created_by = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class AppTemplate(Template):
    """A long-running app: a Deployment and, when it has ports, a Service (contract C.1)."""

    class ServiceType(models.TextChoices):
        CLUSTER_IP = "ClusterIP"
        LOAD_BALANCER = "LoadBalancer"
        NODE_PORT = "NodePort"

    service_ports = models.JSONField(default=list, blank=True)
    service_name = models.CharField(max_length=128, null=True, blank=True)
    create_service = models.BooleanField(default=True)
    service_type = models.CharField(max_length=20, choices=ServiceType.choices, default=ServiceType.CLUSTER_IP)
    replicas = models.IntegerField(default=1)

    class Meta(Template.Meta):
        db_table = "secflow_platform_workflow_app_template"
        constraints = [
            models.CheckConstraint(condition=models.Q(replicas__gte=1), name="secflow_app_template_replicas"),
            models.CheckConstraint(
                condition=models.Q(scope="global") | models.Q(scope="project", project_id__isnull=False),
                name="secflow_app_template_scope",
            ),
        ]
        indexes = [models.Index(fields=["-created_at", "id"], name="secflow_app_template_newest")]


class JobTemplate(Template):
    """A one-shot job (contract C.2)."""

    ttl_seconds_after_finished = models.IntegerField(null=True, blank=True, default=3600)
    backoff_limit = models.IntegerField(default=3)

    class Meta(Template.Meta):
        db_table = "secflow_platform_workflow_job_template"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(backoff_limit__gte=0)
                & (models.Q(ttl_seconds_after_finished__isnull=True) | models.Q(ttl_seconds_after_finished__gte=0)),
                name="secflow_job_template_limits",
            ),
            models.CheckConstraint(
                condition=models.Q(scope="global") | models.Q(scope="project", project_id__isnull=False),
                name="secflow_job_template_scope",
            ),
        ]
        indexes = [models.Index(fields=["-created_at", "id"], name="secflow_job_template_newest")]
