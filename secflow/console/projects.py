"""Which projects a form proposes."""

from __future__ import annotations

from secflow.projects.access import member_projects
from secflow.projects.models import ProjectMember
from workflows.domain.actors import Actor

_MOST = 500


def usable_projects(actor: Actor) -> list[str]:
    """The projects that the actor works in, all known ones for an administrator. One query.

    They are proposals: a project that nobody has joined yet is open to everybody (contract A.3).
    """
    rows = ProjectMember.objects.all() if actor.is_admin else member_projects(actor)
    return list(rows.order_by("project_id").values_list("project_id", flat=True).distinct()[:_MOST])
