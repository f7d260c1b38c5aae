"""The roles of SecFlow beside project membership. A role is a word in a token, and a group of SecFlow's own users."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from workflows.domain.actors import Actor

ADMIN_WORD = "admin"  # what the contract calls administrators (A.2)


class Role(StrEnum):
    """What a user is, beside a member of projects. The values are the names of groups, and words of the claim `role`."""

    ADMINISTRATOR = "SecFlow administrators"
    OPERATOR = "SecFlow operators"
    AUDITOR = "SecFlow auditors"
    MEMBER = "SecFlow project members"


def actor_with(*, id: str, name: str, words: Collection[str], is_admin: bool = False) -> Actor:
    """The actor that has these role words. Roles add up; words that mean nothing here are ignored."""
    is_admin = is_admin or ADMIN_WORD in words or Role.ADMINISTRATOR in words
    is_operator, is_auditor = Role.OPERATOR in words, Role.AUDITOR in words
    return Actor(
        id=id,
        name=name,
        is_admin=is_admin,
        is_operator=is_operator,
        is_auditor=is_auditor,
        # Who was given one of these two roles and no other is meant to change nothing, not even in projects of nobody.
        may_found_projects=is_admin or Role.MEMBER in words or not (is_operator or is_auditor),
    )
