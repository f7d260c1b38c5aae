"""People of each role, made on the running SecFlow as its administrator would."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.stack import ROOT, Stack

PASSWORD = "ui-Password-not-secret"
OPERATOR, AUDITOR, MEMBER, OUTSIDER = "olga", "aldo", "mira", "paul"
_CODE = """
import json
from django.contrib.auth.models import Group, User
from secflow.projects.models import ProjectMember
for name, group, project in json.loads(TEXT):
    user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    user.set_password(PASSWORD)
    user.save()
    user.groups.set(Group.objects.filter(name=group))
    assert user.groups.count() == 1, group
    if project:
        ProjectMember.objects.get_or_create(user_id=str(user.pk), project_id=project)
"""


def make_people(stack: Stack, project: str) -> None:
    """An operator, an auditor, a member of the project, and a member of another one."""
    people = [
        (OPERATOR, "SecFlow operators", ""),
        (AUDITOR, "SecFlow auditors", ""),
        (MEMBER, "SecFlow project members", project),
        (OUTSIDER, "SecFlow project members", f"{project}-other"),
    ]
    code = f"PASSWORD = {PASSWORD!r}\nTEXT = {json.dumps(people)!r}\n{_CODE}"
    in_database(stack, code)


def in_database(stack: Stack, code: str) -> None:
    """Runs Python with the stack's settings."""
    lines = (stack.folder / "env").read_text().splitlines()
    settings = {name: value.strip("'\"") for name, _, value in (line.partition("=") for line in lines) if value}
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "--no-imports", "-c", code]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
