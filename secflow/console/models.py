"""What the console keeps for its users: operations on many rows, and filters under a name."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Bulk(models.Model):
    """One operation on many rows, which are chosen once and dealt with in portions. Nothing happens before `started_at`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=100, help_text="App and model of the rows, such as workflows.run.")
    operation = models.CharField(max_length=50)
    query = models.TextField(blank=True, help_text="What the list was narrowed by.")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="When the user wanted no more of it to be done.")

    class Meta:
        ordering = ["-created_at"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.operation} of {self.model}"


class BulkItem(models.Model):
    """One row of a bulk. `doing` is written down before the service is called, so nothing is ever done twice."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DOING = "doing"
        DONE = "done"
        REFUSED = "refused"

    bulk = models.ForeignKey(Bulk, on_delete=models.CASCADE, related_name="items")
    object_id = models.CharField(max_length=64)
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    message = models.TextField(blank=True, help_text="Why it was refused.")
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        default_permissions = ()
        indexes = [models.Index(fields=["bulk", "state", "id"], name="console_bulk_item_next")]

    def __str__(self) -> str:
        return f"{self.object_id} {self.state}"


class SavedFilter(models.Model):
    """A narrowed list under a name: for the user who saved it, or for everybody who may see the list."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=100, help_text="App and model of the list, such as workflows.run.")
    name = models.CharField(max_length=100)
    query = models.CharField(max_length=2000)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["user", "model", "name"], name="console_saved_filter_name")]

    def __str__(self) -> str:
        return self.name
