"""The page of a node and what belongs to it: its parts that change, its manifest as a file, its logs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Case, F, TextField, When, functions
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import content_disposition_header

from secflow.console.live import answer, entity_tag
from secflow.console.navigation import may_view
from secflow.console.plain_text import plain
from workflows.admin.building.addresses import page_url
from workflows.admin.cells import WORKFLOWS, instance_link, template_link
from workflows.admin.node_facts import HISTORY, NEVER, history_of, newest_record, run_title, state_of
from workflows.admin.node_logs import LINES, MOST_LINES, kept_note, log_response
from workflows.admin.node_plan import plan_of
from workflows.admin.recipes import recipes_for
from workflows.domain.actors import Right
from workflows.domain.statuses import InstanceStatus, NodeStatus
from workflows.domain.transitions import ALLOWED, Verb
from workflows.models import NodeLog, NodeRun, WorkflowNode

_TAIL = 65_536  # characters of the kept text in the page; a text that is opened has all
_LINE_COUNTS = (100, LINES, 5000, MOST_LINES)


@dataclass(frozen=True, slots=True)
class Choice:
    """A kept text that can be chosen."""

    run: int
    part: str
    title: str
    is_shown: bool


class NodePage:
    """Adds the page to the admin class of nodes. Put it before the admin base."""

    change_form_template = "console/node/page.html"
    admin_site: Any
    model: type[WorkflowNode]

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        name = f"{WORKFLOWS}_workflownode"
        return [
            path("<path:object_id>/logs/", wrap(self.logs_view), name=f"{name}_logs"),
            path("<path:object_id>/live/", wrap(self.live_view), name=f"{name}_live"),
            path("<path:object_id>/manifest.yaml", wrap(self.manifest_view), name=f"{name}_manifest"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def seen_node(self, request: HttpRequest, object_id: str) -> WorkflowNode:
        """The node, if this user may see it. Raises PermissionDenied and Http404."""
        node: WorkflowNode | None = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        if not self.has_view_permission(request, node):  # type: ignore[attr-defined]
            raise PermissionDenied
        if node is None:
            raise Http404("there is no such node")
        return node

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        node: WorkflowNode | None = kwargs.get("obj")
        if node is not None:
            record = newest_record(node)
            plan = plan_of(node, record)
            containers = plan.containers
            context |= _state_context(node, record, timezone.now())
            context |= {
                "edit_url": page_url("edit_node", node.instance_id, node.pk) if self._may_edit(request, node) else "",
                "live_url": _url(node, "live"),
                "manifest_url": _url(node, "manifest"),
                "plan": plan,
                "recipes": recipes_for(node, record, containers[0] if containers else None),
                "logs": _logs_context(node, containers) if may_view(request, WORKFLOWS, "nodelog") else None,
            }
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]
        return response

    def _may_edit(self, request: HttpRequest, node: WorkflowNode) -> bool:
        """Whether the form is worth a link: the graph can be edited in drafts only (contract D.2)."""
        may_edit: bool = self.has_right(request, Right.EDIT, node)  # type: ignore[attr-defined]
        may_edit = may_edit and request.user.has_perm(f"{WORKFLOWS}.change_workflowinstance")
        return may_edit and InstanceStatus(node.instance.status) in ALLOWED[Verb.EDIT_GRAPH]

    def related_tables(self, request: HttpRequest, obj: WorkflowNode) -> list[Any]:
        """What the node did, and what the journal says of it."""
        return history_of(obj, now=timezone.now())

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One of the page's parts that change, as `part` names it. 304 with no body for who has it already."""
        node = self.seen_node(request, object_id)
        # Whoever asks is a script that counts durations itself. With the present time in it, no answer would be like the last.
        if request.GET.get("part") == "history":
            template, context = "console/tables.html", {"tables": history_of(node, now=NEVER)}
        else:
            template, context = "console/node/state.html", _state_context(node, newest_record(node), NEVER)
        html = render_to_string(template, context, request=request)
        return answer(request, entity_tag(html), lambda: html)

    def manifest_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One of the page's manifests as a file."""
        node = self.seen_node(request, object_id)
        manifests = plan_of(node, newest_record(node)).manifests
        number = request.GET.get("number", "1")
        if number not in map(str, range(1, len(manifests) + 1)):
            raise Http404("there is no such manifest")
        response = HttpResponse(manifests[int(number) - 1].text, content_type="application/yaml; charset=utf-8")
        response["X-Content-Type-Options"] = "nosniff"
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", node.name).strip(".-")[:60] or "node"
        response["Content-Disposition"] = content_disposition_header(True, f"{stem}.yaml") or ""
        return response

    def logs_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """What the node writes, as plain text."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        node = self.seen_node(request, object_id)
        if not may_view(request, WORKFLOWS, "nodelog"):
            raise PermissionDenied
        return log_response(request, node)


def _state_context(node: WorkflowNode, record: NodeRun | None, now: datetime) -> dict[str, Any]:
    return state_of(node, record, now=now) | {
        "instance_link": instance_link(node.instance_id, node.instance.name),
        "template_link": template_link(node.node_type, node.template_id),
    }


def _url(node: WorkflowNode, what: str) -> str:
    return reverse(f"admin:{WORKFLOWS}_workflownode_{what}", args=[quote(node.pk)])


def _logs_context(node: WorkflowNode, containers: Sequence[str]) -> dict[str, Any]:
    """Which texts there are, and the newest one that was kept. Two queries."""
    logs = list(
        NodeLog.objects.filter(node_run__node_id=node.pk, node_run__instance_id=node.instance_id)
        .select_related("node_run__run")
        .defer("text", "node_run__spec", "node_run__diagnosis", "node_run__evidence", "node_run__run__edges")
        .order_by("-node_run_id", "part")[:HISTORY]
    )
    shown = next((log for log in logs if log.fetched_at is not None), None)
    return {
        "url": _url(node, "logs"),
        "is_active": bool(node.k8s_resource_name),
        "kept": [
            Choice(
                log.node_run_id,
                log.part,
                f"kept of {run_title(log.node_run)}, {log.status_when_fetched or log.node_run.status}",
                log is shown,
            )
            for log in logs
        ],
        "containers": containers,
        "line_counts": _LINE_COUNTS,
        "lines": LINES,
        "text": _end_of(shown) if shown else "",
        "note": _note(node, logs, shown),
    }


def _end_of(log: NodeLog) -> str:
    # An unsaved copy of a long text costs the database more than its end.
    text = NodeLog.objects.filter(pk=log.pk).annotate(
        size=functions.Length("text"),
        tail=Case(
            When(size__gt=_TAIL, then=functions.Right("text", _TAIL)), default=F("text"), output_field=TextField()
        ),
    )
    size, tail = text.values_list("size", "tail").first() or (0, "")
    if size > _TAIL:
        tail = "[the beginning is left out: open the text for the whole]\n" + tail.partition("\n")[2]
    return plain(tail)


def _note(node: WorkflowNode, logs: Sequence[NodeLog], shown: NodeLog | None) -> str:
    if shown is not None:
        return _sentence(kept_note(shown))
    if logs:
        return _sentence(kept_note(logs[0]))
    if node.status == NodeStatus.PENDING or not node.k8s_resource_name:
        return "The node has not begun: nothing was written yet."
    return "Nothing was kept yet: the text is kept when the node ends. Until then, read it from the pod."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
