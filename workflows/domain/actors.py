"""Who acts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """What somebody may do with a workflow: look at it, run it (initialize, start, stop, trigger ...), or change and
    delete it. Creators and members of the project have all three (contract A.3).
    """

    READ = "read"
    OPERATE = "operate"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller as every service and selector sees one, whatever issued the token.

    `id` is the text written to `created_by` (contract A.2). `is_admin` holds for the role `admin` and for the platform
    role `super_admin` (contract A.3). Operators read and run every workflow, auditors read every workflow; neither edits
    more than its own projects. `may_found_projects`: may create in a project without members and so become its manager.
    """

    id: str
    name: str = ""
    is_admin: bool = False
    is_operator: bool = False
    is_auditor: bool = False
    may_found_projects: bool = True

    def has_everywhere(self, right: Right) -> bool:
        """Whether the actor has the right on everybody's workflows, without being a member of their projects."""
        match right:
            case Right.READ:
                return self.is_admin or self.is_operator or self.is_auditor
            case Right.OPERATE:
                return self.is_admin or self.is_operator
            case Right.EDIT:
                return self.is_admin


SYSTEM = Actor(id="system", name="SecFlow", is_admin=True)
ANONYMOUS_TRIGGER = Actor(id="http-trigger", name="HTTP trigger")
