"""The pages on which workflows are built: one for an instance, one for each node and edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import path, reverse
from unfold.decorators import action

from secflow.console.bodies.copying import CopyBody
from secflow.console.copies import CopyColumn
from secflow.console.roles import actor_of
from workflows.admin.building.addresses import PREFIX, page_url
from workflows.admin.building.drafts import Draft, load_draft
from workflows.admin.building.edge_body import EdgeBody
from workflows.admin.building.files import FilePages
from workflows.admin.building.instance_body import InstanceBody, NewInstanceBody
from workflows.admin.building.node_body import NodeBody
from workflows.admin.building.overview import build_context, node_page_context
from workflows.admin.building.picking import template_cards
from workflows.domain.errors import DomainError, NotFound
from workflows.models import WorkflowInstance
from workflows.services import authoring_edges, authoring_nodes, copying


class BuildingPages(FilePages, CopyColumn):
    """Adds the pages to the admin class of instances. Put it before the admin base.

    They take Django's right to add or change instances and the access that the API demands (contract A.3).
    """

    def get_urls(self) -> list[Any]:
        pages: list[tuple[str, str, Callable[..., HttpResponse]]] = [
            ("<path:object_id>/build/", "build", self.build_view),
            ("<path:object_id>/nodes/pick/", "pick_template", self.pick_view),
            ("<path:object_id>/nodes/add/", "add_node", self.node_view),
            ("<path:object_id>/nodes/<str:node_id>/edit/", "edit_node", self.node_view),
            ("<path:object_id>/nodes/<str:node_id>/delete/", "delete_node", self.delete_node_view),
            ("<path:object_id>/edges/add/", "add_edge", self.edge_view),
            ("<path:object_id>/edges/edit/", "edit_edge", self.edge_view),
            ("<path:object_id>/edges/delete/", "delete_edge", self.delete_edge_view),
        ]
        urls = [path(route, self.admin_site.admin_view(view), name=f"{PREFIX}_{name}") for route, name, view in pages]
        return [*urls, *super().get_urls()]

    @action(description="Edit", url_path="edit", permissions=["do_build"], icon="edit")
    def edit_button(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The way to the page on which the workflow is built."""
        return HttpResponseRedirect(page_url("build", unquote(object_id)))

    def buttons_of(self, request: HttpRequest, row: Any) -> list[Any]:
        """The buttons of the operations, and those that lead to pages here."""
        shown = super().buttons_of(request, row)  # type: ignore[misc]
        own = [
            ("edit_button", self.may_build(request, row)),
            ("copy_button", self.may_copy(request)),
            ("dry_run_button", self.has_do_read_permission(request)),
            ("export_button", self.has_do_read_permission(request)),
        ]
        shown += [self.get_unfold_action(name) for name, may in own if may and hasattr(self, name)]  # type: ignore[attr-defined]
        return list(shown)

    def may_copy(self, request: HttpRequest) -> bool:
        return self.has_do_make_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return self.has_do_make_permission(request)

    # Pages.

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """A new workflow: its name, its project and how it runs. Nodes follow on its own page."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def body(posted: QueryDict | None) -> NewInstanceBody:
            return NewInstanceBody(actor=actor_of(request), posted=posted)

        def done(instance_id: str) -> str:
            instance = WorkflowInstance.objects.get(pk=instance_id)
            self.log_addition(request, instance, "made in the console")  # type: ignore[attr-defined]
            messages.success(request, f"{instance.name} was made. Now add its first node.")
            return page_url("build", instance_id)

        context = {"title": "New workflow", "save_label": "Create", "back": reverse(f"admin:{PREFIX}_changelist")}
        return self.form_page(request, body, done, context)

    def build_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Everything that can be edited of one workflow, and what still keeps it from running."""
        drafts: list[Draft] = []

        def body(posted: QueryDict | None) -> InstanceBody:
            draft = self._draft(request, object_id, lock=posted is not None)
            drafts.append(draft)
            return InstanceBody(
                draft.instance, actor=draft.actor, posted=posted, is_disabled=bool(draft.update_refusal)
            )

        def done(instance_id: str) -> str:
            self.note_edit(request, drafts[-1].instance, "settings saved")
            return page_url("build", instance_id)

        def context() -> dict[str, Any]:
            return build_context(drafts[-1])

        return self.form_page(request, body, done, context, template="console/build.html")

    def pick_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Which template a new node is made from."""
        draft = self._draft(request, object_id)
        query = request.GET.get("q", "").strip()
        context = {
            "title": f"{draft.instance.name}: choose a template",
            "instance": draft.instance,
            "refusal": draft.graph_refusal,
            "query": query,
            "back": page_url("build", draft.instance.pk),
        } | template_cards(draft, query)
        return self.own_page(request, "console/pick_template.html", context)

    def node_view(self, request: HttpRequest, object_id: str, node_id: str | None = None) -> HttpResponse:
        """A node, new or existing, with what it runs after."""
        drafts: list[Draft] = []
        chosen = request.GET.get("template", "")
        if node_id is None and ":" not in chosen:
            return HttpResponseRedirect(page_url("pick_template", unquote(object_id)))

        def body(posted: QueryDict | None) -> NodeBody:
            draft = self._draft(request, object_id, lock=posted is not None)
            drafts.append(draft)
            return draft.node_body(chosen, node_id and unquote(node_id), posted=posted)

        def done(made_id: str) -> str:
            draft = drafts[-1]
            self.note_edit(request, draft.instance, "node saved")
            if "_another" in request.POST:
                return page_url("pick_template", draft.instance.pk)
            return page_url("build", draft.instance.pk)

        def context() -> dict[str, Any]:
            return node_page_context(drafts[-1])

        return self.form_page(request, body, done, context, template="console/node_form.html")

    def edge_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """An edge, new or existing (`?edge=`)."""
        drafts: list[Draft] = []
        edge_id = request.GET.get("edge")

        def body(posted: QueryDict | None) -> EdgeBody:
            draft = self._draft(request, object_id, lock=posted is not None)
            drafts.append(draft)
            return draft.edge_body(edge_id, posted=posted)

        def done(made_id: str) -> str:
            self.note_edit(request, drafts[-1].instance, "edge saved")
            return page_url("build", drafts[-1].instance.pk) + "#edges"

        def context() -> dict[str, Any]:
            instance = drafts[-1].instance
            return {
                "title": f"{instance.name}: {'new edge' if edge_id is None else 'edge'}",
                "back": page_url("build", instance.pk) + "#edges",
                "refusal": drafts[-1].graph_refusal,
            }

        return self.form_page(request, body, done, context)

    @action(description="Copy", url_path="copy", permissions=["do_make"], icon="content_copy")
    def copy_button(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A second workflow like this one, under another name."""
        instance = self.readable(request, object_id)
        if not self.may_copy(request):
            raise PermissionDenied
        actor = actor_of(request)

        def body(posted: QueryDict | None) -> CopyBody:
            return CopyBody(
                lambda name: copying.copy_instance(actor=actor, instance_id=instance.pk, name=name),
                name=copying.name_of_copy(instance.name),
                help="A draft with the same settings, nodes and edges, made from the same templates. Fixed Service names are "
                "kept: change them when both are to be up at once.",
                posted=posted,
            )

        def done(made_id: str) -> str:
            made = WorkflowInstance.objects.get(pk=made_id)
            self.log_addition(request, made, f"copied from {instance.pk}")  # type: ignore[attr-defined]
            messages.success(request, f"{made.name} was made.")
            return page_url("build", made_id)

        back = reverse(f"admin:{PREFIX}_change", args=[quote(instance.pk)])
        context = {"title": f"Copy {instance.name}", "save_label": "Copy", "back": back}
        return self.form_page(request, body, done, context)

    def delete_node_view(self, request: HttpRequest, object_id: str, node_id: str) -> HttpResponse:
        """Asks, then removes a node with its edges."""
        draft = self._draft(request, object_id)
        try:
            node = draft.node(unquote(node_id))
        except NotFound as err:
            return self._gone(request, draft, err, anchor="#nodes")

        def call() -> None:
            authoring_nodes.delete_node(instance_id=draft.instance.pk, node_id=node.pk, actor=draft.actor)

        edges = sum(1 for edge in draft.instance.edges if node.pk in (edge["source"], edge["target"]))
        effect = (
            f"The node goes, and {edges or 'no'} edge{'' if edges == 1 else 's'} with it. Inputs of other nodes that "
            "come from it are dropped; the page of the workflow then says what is missing."
        )
        return self._deletion(request, draft, f"Delete node {node.name}", effect, call, anchor="#nodes")

    def delete_edge_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks, then removes the edge `?edge=`."""
        draft = self._draft(request, object_id)
        try:
            edge = draft.edge(request.GET.get("edge", ""))
        except NotFound as err:
            return self._gone(request, draft, err, anchor="#edges")

        def call() -> None:
            authoring_edges.delete_edge(instance_id=draft.instance.pk, edge_id=edge["edge_id"], actor=draft.actor)

        ends = [draft.neighbours.names.get(edge[end], edge[end]) for end in ("source", "target")]
        effect = f"{ends[1]} no longer waits for {ends[0]}."
        return self._deletion(request, draft, f"Delete the edge {ends[0]} → {ends[1]}", effect, call, anchor="#edges")

    # What they share.

    def _draft(self, request: HttpRequest, object_id: str, *, lock: bool = False) -> Draft:
        if not self.has_do_build_permission(request):
            raise PermissionDenied
        if self.get_object(request, unquote(object_id)) is None:  # type: ignore[attr-defined]
            raise Http404(f"there is no workflow with the id {object_id}")
        return load_draft(actor_of(request), unquote(object_id), lock=lock)

    def _gone(self, request: HttpRequest, draft: Draft, err: NotFound, *, anchor: str) -> HttpResponse:
        """For what is to be deleted and is not there: it was asked for twice, or somebody else was faster."""
        if request.method != "POST":
            raise Http404(err.message) from err
        messages.warning(request, f"{err.message}: there was nothing left to delete.")
        return HttpResponseRedirect(page_url("build", draft.instance.pk) + anchor)

    def _deletion(
        self, request: HttpRequest, draft: Draft, title: str, effect: str, call: Callable[[], None], *, anchor: str
    ) -> HttpResponse:
        back = page_url("build", draft.instance.pk) + anchor
        if request.method != "POST":
            context = {"title": title, "effect": effect, "back": back, "refusal": draft.graph_refusal}
            return self.own_page(request, "console/delete_part.html", context)
        try:
            call()
        except DomainError as err:
            messages.error(request, err.message)
        else:
            self.note_edit(request, draft.instance, title)
        return HttpResponseRedirect(back)

    def note_edit(self, request: HttpRequest, instance: WorkflowInstance, what: str) -> None:
        self.log_change(request, instance, what)  # type: ignore[attr-defined]
        messages.success(request, f"{instance.name}: {what}.")
