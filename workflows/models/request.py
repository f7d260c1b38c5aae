"""What makes the repetition of a request, or of a periodic pass, recognizable."""

from django.db import models

from workflows.models.instance import WorkflowInstance


class RequestKey(models.Model):
    """A caller's `Idempotency-Key` for a run of one instance. It is written with the run or not at all."""

    instance = models.ForeignKey(WorkflowInstance, on_delete=models.CASCADE, related_name="+")
    action = models.CharField(max_length=20, help_text="What asked for the run: start, trigger or http.")
    caller = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    run_number = models.IntegerField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "secflow_platform_workflow_request_key"
        constraints = [
            models.UniqueConstraint(fields=["instance", "action", "caller", "key"], name="secflow_request_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.instance_id} by {self.caller}"


class Turn(models.Model):
    """When a periodic pass was last taken on by anybody: several clocks that tick for it share one rhythm."""

    name = models.CharField(max_length=40, primary_key=True)
    taken_at = models.DateTimeField()

    class Meta:
        db_table = "secflow_platform_workflow_turn"

    def __str__(self) -> str:
        return self.name
