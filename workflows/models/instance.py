"""The workflow instance, exactly the columns of the contract's section I."""

from datetime import datetime

from django.db import models
from django.db.models.functions import Right

from workflows.domain.ids import SUFFIX_LENGTH
from workflows.domain.statuses import InstanceStatus, RunMode, TriggerType
from workflows.models.fields import choices_of, one_of


class WorkflowInstance(models.Model):
    """A graph of nodes with its life cycle (contract C.6, E). Only `workflows.services` changes it.

    `version` counts the events of the journal: it is the sequence number of the newest one and grows by one with each, under
    the row's lock.
    """

    id = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=128, db_index=True)
    description = models.TextField(null=True, blank=True)
    project_id = models.CharField(max_length=64, db_index=True)
    status = models.CharField(max_length=20, choices=choices_of(InstanceStatus), default=InstanceStatus.PENDING)
    run_mode = models.CharField(max_length=20, choices=choices_of(RunMode), default=RunMode.ONCE)
    trigger_type = models.CharField(max_length=20, choices=choices_of(TriggerType), default=TriggerType.MANUAL)
    trigger_enabled = models.BooleanField(default=False)
    trigger_url = models.CharField(
        max_length=256, null=True, blank=True, help_text="Kept for compatibility; the API computes it."
    )
    is_active = models.BooleanField(default=True)
    nodes = models.JSONField(default=list, blank=True, help_text="Legacy column; nodes are rows of their own.")
    edges = models.JSONField(default=list, blank=True, help_text="List of edges (contract C.9).")
    run_count = models.IntegerField(default=0)
    last_run_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    last_sync_at = models.DateTimeField(null=True, blank=True)
    message = models.TextField(null=True, blank=True)
    has_warning = models.BooleanField(default=False)
    created_by = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    version = models.IntegerField(default=0)

    locked_at: datetime  # no column: the database's time, on an instance that was read under its lock

    class Meta:
        db_table = "secflow_platform_workflow_workflow_instance"
        ordering = ["-created_at", "id"]
        permissions = [("operate_workflowinstance", "Can run workflow instances: initialize, start, stop, trigger ...")]
        constraints = [
            one_of("status", InstanceStatus, "secflow_instance_status"),
            one_of("run_mode", RunMode, "secflow_instance_run_mode"),
            one_of("trigger_type", TriggerType, "secflow_instance_trigger_type"),
            # Kubernetes names are made of the suffix alone (contract A.8, H.2).
            models.UniqueConstraint(Right("id", SUFFIX_LENGTH), name="secflow_instance_suffix"),
        ]
        indexes = [
            models.Index(fields=["-created_at", "id"], name="secflow_instance_newest"),
            models.Index(fields=["project_id", "-created_at", "id"], name="secflow_instance_by_project"),
            models.Index(fields=["created_by"], name="secflow_instance_by_creator"),
            # The console's order by status, either way. Each transition writes to it: one entry, where `db_index=True` is two
            # indexes (the second for LIKE, which nobody asks of a status).
            models.Index(fields=["status", "-id"], name="secflow_instance_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"
