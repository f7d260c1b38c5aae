"""The journal: what happened to every instance, in order."""

from django.db import models


class Event(models.Model):
    """One fact. Rows are only ever added. `sequence` counts from 1 without a gap within one instance.

    There is no foreign key on purpose: the journal outlives the instance. `kind` is `<noun>.<fact>`, such as `node.succeeded`;
    `data` holds what the kind needs, such as the old and new status.
    """

    instance_id = models.CharField(max_length=64)
    sequence = models.IntegerField()
    project_id = models.CharField(max_length=64, db_index=True)
    kind = models.CharField(max_length=64)
    node_id = models.CharField(max_length=64, null=True, blank=True)
    run_number = models.IntegerField(null=True, blank=True)
    actor = models.CharField(max_length=64)
    message = models.TextField(default="", blank=True)
    data = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "secflow_platform_workflow_event"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["instance_id", "sequence"], name="secflow_event_sequence")]

    def __str__(self) -> str:
        return f"{self.instance_id} #{self.sequence} {self.kind}"
