"""Membership of projects (contract A.3)."""

from django.db import models


class ProjectMember(models.Model):
    """One user's place in one project. A project without any row is open to every authenticated caller."""

    class Role(models.TextChoices):
        MEMBER = "member"
        MANAGER = "manager"

    project_id = models.CharField(max_length=64)
    user_id = models.CharField(max_length=64, db_index=True, help_text="The id of the user as it stands in tokens.")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "secflow_platform_workflow_project_member"
        ordering = ["project_id", "user_id"]
        constraints = [
            models.UniqueConstraint(fields=["project_id", "user_id"], name="secflow_project_member_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=["member", "manager"]), name="secflow_project_member_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} ({self.role}) of {self.project_id}"
