"""The sidebar of the admin pages: each entry is shown to whoever may open its page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

_GROUPS: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "Workflows",
        (
            ("Instances", "account_tree", "workflows", "workflowinstance"),
            ("Nodes", "hub", "workflows", "workflownode"),
            ("Runs", "play_circle", "workflows", "run"),
            ("Node runs", "checklist", "workflows", "noderun"),
            ("Logs", "article", "workflows", "nodelog"),
            ("Journal", "history", "workflows", "event"),
            ("Clean-ups", "mop", "workflows", "cleanup"),
        ),
    ),
    (
        "Templates",
        (
            ("App templates", "deployed_code", "templates_app", "apptemplate"),
            ("Job templates", "terminal", "templates_app", "jobtemplate"),
        ),
    ),
    (
        "Access",
        (
            ("Project members", "groups", "projects", "projectmember"),
            ("Users", "person", "auth", "user"),
            ("Groups", "group_work", "auth", "group"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The navigation for this user, as unfold reads it. Groups without an entry are left out."""
    overview = {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}
    groups = [{"separator": False, "items": [overview]}]
    for title, entries in _GROUPS:
        items = [
            {"title": name, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}
            for name, icon, app, model in entries
            if may_view(request, app, model)
        ]
        if title == "Workflows" and request.user.has_perm("workflows.add_workflowinstance"):
            way = reverse("admin:workflows_workflowinstance_import")
            items.append({"title": "Import a file", "icon": "upload_file", "link": way})
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    documents = {"title": "Help", "icon": "help", "link": reverse("console-help", args=["operating"])}
    groups.append({"separator": True, "items": [documents]})
    return groups


def may_view(request: HttpRequest, app: str, model: str) -> bool:
    """Whether the user may open the pages of a model."""
    user = request.user
    return bool(user.has_perm(f"{app}.view_{model}") or user.has_perm(f"{app}.change_{model}"))


def favicon(request: HttpRequest) -> str:
    """The address of the small picture in the browser's tab."""
    return static("console/favicon.svg")


def stylesheet(request: HttpRequest) -> str:
    """The address of our own few rules."""
    return static("console/console.css")


def theme(request: HttpRequest) -> str:
    """The address of the colours."""
    return static("console/theme.css")


def expressions(request: HttpRequest) -> str:
    """The address of the script by which Alpine needs no eval."""
    return static("console/expressions.js")


def no_colors(request: HttpRequest) -> dict[str, dict[str, str]]:
    """Nothing for unfold to write into a page: `theme` has the colours."""
    return {}
