"""Runs: one row per run, one per node in it, and the log texts kept of them (contract D.9, E.5)."""

from django.db import models

from workflows.domain.statuses import NodeStatus, RunPurpose, RunStatus
from workflows.models.fields import choices_of, one_of
from workflows.models.instance import WorkflowInstance


class Run(models.Model):
    """One execution of an instance's graph, or its set-up. Templates and graph are frozen into it when it is accepted.

    `number` is the instance's run count when it was accepted; a set-up has the number of the run before it. At most one run of
    an instance is open (`finished_at` null).
    """

    instance = models.ForeignKey(WorkflowInstance, on_delete=models.CASCADE, related_name="run_set")
    number = models.IntegerField()
    purpose = models.CharField(max_length=20, choices=choices_of(RunPurpose), default=RunPurpose.RUN)
    trigger = models.CharField(max_length=20, help_text="What asked for it: start, trigger, http or initialize.")
    actor = models.CharField(max_length=64)
    status = models.CharField(max_length=20, choices=choices_of(RunStatus), default=RunStatus.RUNNING)
    edges = models.JSONField(default=list, help_text="Frozen graph: list of [source, target].")
    message = models.TextField(null=True, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "secflow_platform_workflow_run"
        ordering = ["-id"]
        constraints = [
            one_of("status", RunStatus, "secflow_run_status"),
            one_of("purpose", RunPurpose, "secflow_run_purpose"),
            models.UniqueConstraint(
                fields=["instance", "number"], condition=models.Q(purpose="run"), name="secflow_run_number"
            ),
            models.UniqueConstraint(
                fields=["instance"], condition=models.Q(finished_at__isnull=True), name="secflow_run_one_open"
            ),
        ]
        indexes = [
            # The first page counts what ended in the last day, and shows what failed.
            models.Index(
                fields=["finished_at"],
                include=["status"],
                condition=models.Q(purpose="run", finished_at__isnull=False),
                name="secflow_run_ended",
            ),
            models.Index(fields=["-finished_at"], condition=models.Q(status="failed"), name="secflow_run_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.number} of {self.instance_id}"


class NodeRun(models.Model):
    """One node in one run: its frozen specification, its result, its clock. It is also the log record of contract D.9.

    `due_at` is set as long as the node runs: when it passes, the node has used up the limit named by `due_reason` (`timeout`,
    `pull` or `claim`). `clock_used` are the seconds that counted before the clock was last stopped (contract E.6).
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="node_runs")
    instance = models.ForeignKey(WorkflowInstance, on_delete=models.CASCADE, related_name="+")
    node_id = models.CharField(max_length=64, db_index=True)
    node_name = models.CharField(max_length=128)
    node_type = models.CharField(max_length=20)
    attempt = models.IntegerField(default=1)
    status = models.CharField(max_length=20, choices=choices_of(NodeStatus), default=NodeStatus.PENDING)
    spec = models.JSONField(help_text="The workload to make, with every input resolved.")
    resource_name = models.CharField(max_length=128)
    resource_type = models.CharField(max_length=20)
    timeout_seconds = models.IntegerField()
    workload = models.ForeignKey("Workload", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    message = models.TextField(null=True, blank=True)
    diagnosis = models.JSONField(null=True, blank=True)
    evidence = models.JSONField(null=True, blank=True, help_text="What the cluster showed when the node failed.")
    clock_started_at = models.DateTimeField(null=True, blank=True)
    clock_used = models.FloatField(default=0.0)
    due_at = models.DateTimeField(null=True, blank=True)
    due_reason = models.CharField(max_length=20, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "secflow_platform_workflow_node_run"
        ordering = ["-id"]
        constraints = [
            one_of("status", NodeStatus, "secflow_node_run_status"),
            models.UniqueConstraint(fields=["run", "node_id", "attempt"], name="secflow_node_run_once"),
        ]
        indexes = [
            models.Index(fields=["instance", "-id"], name="secflow_node_run_newest"),
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="secflow_node_run_due"),
        ]

    def __str__(self) -> str:
        return f"{self.node_name} in run {self.run_id}"


class NodeLog(models.Model):
    """The text that a node's pod wrote, kept because the pod may be gone later. `due_at` is set until it was fetched."""

    class Part(models.TextChoices):
        INIT = "init"
        EXECUTION = "execution"

    node_run = models.ForeignKey(NodeRun, on_delete=models.CASCADE, related_name="logs")
    part = models.CharField(max_length=20, choices=Part.choices)
    text = models.TextField(default="", blank=True)
    pod_name = models.CharField(max_length=253, null=True, blank=True)
    container = models.CharField(max_length=63, null=True, blank=True)
    status_when_fetched = models.CharField(max_length=20, null=True, blank=True)
    fetched_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    tries = models.IntegerField(default=0)
    error = models.TextField(null=True, blank=True)

    class Meta:
        db_table = "secflow_platform_workflow_node_log"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["node_run", "part"], name="secflow_node_log_once")]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="secflow_node_log_due"),
        ]

    def __str__(self) -> str:
        return f"{self.part} log of {self.node_run_id}"
