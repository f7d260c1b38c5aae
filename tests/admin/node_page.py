"""The page of a node: its addresses, who opens it, and what its texts may hold."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from tests.admin.conftest import signed_in, staff
from tests.factories import ProjectMemberFactory

HOSTILE = "</pre><script>alert(1)</script>\u202egnp.exe"
ANSI = "\x1b]0;title\x07\x1b[31mred\x1b[0m \x9b1mbold\r\nbell\x07 back\x08 \x1bPq#0\x1b\\end\rover"
DIAGNOSIS = {
    "category": "image_pull",
    "summary": "Container main: the image nosuch:1 cannot be pulled.",
    "detail": "manifest unknown",
    "resolution": "Check that the image and tag exist.",
}


def address(node_id: str, what: str = "change") -> str:
    return reverse(f"admin:workflows_workflownode_{what}", args=[node_id])


def shown(client: Client, node_id: str) -> str:
    response = client.get(address(node_id))
    assert response.status_code == 200
    return str(response.content.decode())


def member(username: str, *rights: str) -> Client:
    """The browser of a member of p1 with these rights."""
    user = staff(username, *rights)
    ProjectMemberFactory(project_id="p1", user_id=str(user.pk))
    return signed_in(user)
