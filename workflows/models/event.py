"""The journal: what happened to every instance, in order."""

from django.db import models
from django.db.models import Func


class Event(models.Model):
    """One fact. Rows are only ever added. `sequence` counts from 1 without a gap within one instance.

    There is no foreign key on purpose: the journal outlives the instance. `kind` is `<noun>.<fact>`, such as `node.succeeded`;
    `data` holds what the kind needs, such as the old and new status. Entries of the kinds `template.*` are about a template: its
    id stands in `instance_id`, and the project is empty when the template is global.
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
    # Nobody who follows the journal is shown the row before this transaction and all before it have ended (decision 0012).
    transaction_id = models.BigIntegerField(
        db_default=Func(template="(pg_current_xact_id())::text::bigint", output_field=models.BigIntegerField()),
        editable=False,
    )

    class Meta:
        db_table = "secflow_platform_workflow_event"
        ordering = ["-id"]
        indexes = [models.Index(fields=["transaction_id", "id"], name="secflow_event_feed")]
        constraints = [models.UniqueConstraint(fields=["instance_id", "sequence"], name="secflow_event_sequence")]

    def __str__(self) -> str:
        return f"{self.instance_id} #{self.sequence} {self.kind}"
