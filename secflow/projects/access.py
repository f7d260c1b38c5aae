"""Who may do what in a project (contract A.3). Every question here costs at most one query."""

from __future__ import annotations

from django.db import connection, transaction
from django.db.models import QuerySet

from secflow.projects.models import ProjectMember
from workflows.domain.actors import Actor
from workflows.domain.errors import Forbidden


def member_projects(actor: Actor) -> QuerySet[ProjectMember, str]:
    """The ids of the projects that the actor is a member or manager of, as a subquery."""
    return ProjectMember.objects.filter(user_id=actor.id).values_list("project_id", flat=True)


def is_member(actor: Actor, project_id: str | None) -> bool:
    """Whether the actor is a member or manager of the project."""
    return bool(project_id) and ProjectMember.objects.filter(project_id=project_id, user_id=actor.id).exists()


def is_manager(actor: Actor, project_id: str | None) -> bool:
    """Whether the actor manages the project."""
    members = ProjectMember.objects.filter(user_id=actor.id, role=ProjectMember.Role.MANAGER)
    return bool(project_id) and members.filter(project_id=project_id).exists()


def join_or_refuse(actor: Actor, project_id: str) -> None:
    """Lets members and administrators create in a project; whoever first creates in an open one becomes its manager,
    if the actor may found projects.

    Call it inside the transaction of the create. Raises Forbidden for everybody else.
    """
    if actor.is_admin:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # Two first callers at once would both find the project open: they take turns on a lock named after it.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"project:{project_id}"])
        roles = dict(ProjectMember.objects.filter(project_id=project_id).values_list("user_id", "role"))
        if not roles and not actor.may_found_projects:
            raise Forbidden(
                f"operators and auditors change nothing by these roles; to create in project {project_id}, be made a"
                " member of it",
                {"project_id": project_id},
            )
        if not roles:
            ProjectMember.objects.create(project_id=project_id, user_id=actor.id, role=ProjectMember.Role.MANAGER)
        elif actor.id not in roles:
            raise Forbidden(
                f"only members of project {project_id} may create in it; ask one of its managers to add you",
                {"project_id": project_id},
            )
