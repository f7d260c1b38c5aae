"""Which watcher follows which part of the cluster."""

from django.db import models


class ClusterWatcher(models.Model):
    """One watcher process, by its name. It counts as living until `until`; `incarnation` tells it from a later process of
    the same name.
    """

    name = models.CharField(max_length=200, primary_key=True)
    incarnation = models.CharField(max_length=32)
    until = models.DateTimeField()

    class Meta:
        db_table = "secflow_platform_workflow_watcher"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ShardLease(models.Model):
    """Who follows the objects of one shard. `token` grows with each new holder, also when it has the name of the last one.

    A lease that is over, or that has no holder, is anybody's.
    """

    shard = models.SmallIntegerField(primary_key=True)
    holder = models.CharField(max_length=200, null=True, blank=True)
    token = models.IntegerField(default=0)
    until = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "secflow_platform_workflow_shard"
        ordering = ["shard"]

    def __str__(self) -> str:
        return f"{self.shard} of {self.holder or 'nobody'}"
