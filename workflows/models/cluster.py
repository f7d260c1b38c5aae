"""What SecFlow has in the cluster, and what it still has to remove there."""

from django.db import models

from workflows.domain.statuses import WANTED, CleanupGoal, WorkloadState
from workflows.models.fields import choices_of, one_of
from workflows.models.instance import WorkflowInstance


class Installation(models.Model):
    """Which installation this database belongs to: objects of another one are never touched. There is one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    uid = models.CharField(max_length=32)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "secflow_platform_workflow_installation"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="secflow_installation_one")]

    def __str__(self) -> str:
        return self.uid


class Workload(models.Model):
    """One Deployment or Job of one node. Its id is the attempt that the object carries as a label, and is never used again.

    While it is `launching`, `due_at` says when the launch is looked at again; `lease_until` and `lease_token` belong to the
    worker that is talking to the cluster about it. A node has at most one wanted workload.
    """

    instance = models.ForeignKey(WorkflowInstance, on_delete=models.CASCADE, related_name="workloads")
    node_id = models.CharField(max_length=64, db_index=True)
    node_run = models.ForeignKey("NodeRun", on_delete=models.CASCADE, related_name="+", help_text="Made for it.")
    run_number = models.IntegerField()
    kind = models.CharField(max_length=20)
    namespace = models.CharField(max_length=63)
    name = models.CharField(max_length=128)
    service_name = models.CharField(max_length=63, null=True, blank=True)
    state = models.CharField(max_length=20, choices=choices_of(WorkloadState), default=WorkloadState.LAUNCHING)
    uid = models.CharField(max_length=64, null=True, blank=True)
    is_pulled = models.BooleanField(default=False, help_text="The newest pod has all its images.")
    is_ready = models.BooleanField(default=False, help_text="The Deployment was ready when last seen.")
    is_finished = models.BooleanField(default=False, help_text="The Job's end was seen.")
    due_at = models.DateTimeField(null=True, blank=True)
    tries = models.IntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_token = models.IntegerField(default=0)
    error = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    launched_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "secflow_platform_workflow_workload"
        ordering = ["-id"]
        constraints = [
            one_of("state", WorkloadState, "secflow_workload_state"),
            models.UniqueConstraint(
                fields=["node_id"],
                condition=models.Q(state__in=sorted(WANTED)),
                name="secflow_workload_one_wanted",
            ),
        ]
        indexes = [
            models.Index(fields=["instance", "state"], name="secflow_workload_by_state"),
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="secflow_workload_due"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.state})"


class Cleanup(models.Model):
    """An instance has objects in the cluster that are not wanted. The row stays until a list showed none of them.

    `goal` is what follows then. `generation` grows with every new request, so that a worker which finishes an older one leaves
    the newer one standing. `error` is what the last try met.
    """

    instance = models.OneToOneField(
        WorkflowInstance, on_delete=models.CASCADE, primary_key=True, related_name="cleanup"
    )
    goal = models.CharField(max_length=20, choices=choices_of(CleanupGoal), default=CleanupGoal.TIDY)
    actor = models.CharField(max_length=64)
    generation = models.IntegerField(default=1)
    due_at = models.DateTimeField(db_index=True)
    tries = models.IntegerField(default=0)
    error = models.TextField(null=True, blank=True)
    requested_at = models.DateTimeField()

    class Meta:
        db_table = "secflow_platform_workflow_cleanup"
        ordering = ["requested_at"]
        constraints = [one_of("goal", CleanupGoal, "secflow_cleanup_goal")]

    def __str__(self) -> str:
        return f"{self.goal} of {self.instance_id}"
