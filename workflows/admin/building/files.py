"""Pages around workflow files: looking at what would be made, taking a workflow out, and bringing one in."""

from __future__ import annotations

import re
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from unfold.decorators import action

from secflow.console.bodies.body import digest
from secflow.console.bodies.pages import FormPages
from secflow.console.roles import actor_of
from secflow.yaml_text import write_yaml
from workflows.admin.building.addresses import PREFIX, page_url
from workflows.domain.actors import Right
from workflows.domain.errors import DomainError, Forbidden, NotFound
from workflows.domain.findings import Finding
from workflows.models import WorkflowInstance
from workflows.services import documents, previews

LONGEST: Final = 2 * 1024 * 1024  # of a file, in bytes
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SOURCE, _FILE, _APPLY, _PLANNED = "source", "file", "_apply", "_planned"


class FilePages(FormPages):
    """Adds dry run, export and import to the admin class of instances. Put it before the admin base."""

    def get_urls(self) -> list[Any]:
        own = [path("import/", self.admin_site.admin_view(self.import_view), name=f"{PREFIX}_import")]
        return [*own, *super().get_urls()]  # type: ignore[misc]

    def has_do_read_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whether the user may look at instances."""
        return bool(
            request.user.has_perm("workflows.view_workflowinstance")
            or request.user.has_perm("workflows.change_workflowinstance")
        )

    def has_do_make_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whether the user may make instances."""
        return bool(request.user.has_perm("workflows.add_workflowinstance"))

    def has_do_build_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whether the user may change instances at all."""
        return bool(request.user.has_perm("workflows.change_workflowinstance"))

    def may_build(self, request: HttpRequest, instance: WorkflowInstance) -> bool:
        """Whether the user may change this instance."""
        may_edit: bool = self.has_right(request, Right.EDIT, instance)  # type: ignore[attr-defined]
        return may_edit and self.has_do_build_permission(request)

    @action(description="Import", url_path="import-file", permissions=["do_make"], icon="upload_file")
    def import_button(self, request: HttpRequest) -> HttpResponse:
        """The way to the page for bringing a workflow in."""
        return HttpResponseRedirect(reverse(f"admin:{PREFIX}_import"))

    @action(description="Dry run", url_path="dry-run", permissions=["do_read"], icon="preview")
    def dry_run_button(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What a start would make in the cluster, and what there is to say about it. Nothing is made."""
        instance = self.readable(request, object_id)
        preview = _allowed(lambda: previews.preview_instance(actor=actor_of(request), instance_id=instance.pk))
        may_build = self.may_build(request, instance)
        context = {
            "title": f"{instance.name}: dry run",
            "instance": instance,
            "findings": [finding_line(item, instance.pk if may_build else None) for item in preview.findings],
            "manifests": manifest_lines(preview.manifests),
            "back": reverse(f"admin:{PREFIX}_change", args=[instance.pk]),
            "build": page_url("build", instance.pk) if may_build else "",
        }
        return self.own_page(request, "console/dry_run.html", context)

    @action(description="Export", url_path="export", permissions=["do_read"], icon="download")
    def export_button(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The workflow as one file, which can be applied by the command line or brought in here again."""
        instance = self.readable(request, object_id)
        text = _allowed(lambda: documents.export_text(actor=actor_of(request), instance_id=instance.pk))
        name = _UNSAFE.sub("-", instance.name).strip("-.")[:80] or instance.pk
        answer = HttpResponse(text, content_type="application/yaml; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{name}.yaml"'
        return answer

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Takes a file, shows what applying it would do, and applies it when that was seen and asked for."""
        if not self.has_do_make_permission(request):
            raise PermissionDenied
        context: dict[str, Any] = {"title": "Import a workflow", "back": reverse(f"admin:{PREFIX}_changelist")}
        if request.method == "POST":
            try:
                text = _sent_text(request)
                context["source"] = text
                outcome = documents.check_document(actor=actor_of(request), source=text)
                planned = _planned(outcome)
                if _APPLY in request.POST and request.POST.get(_PLANNED) == planned and outcome.is_good:
                    return self._apply(request, text)
                context |= {
                    "outcome": outcome,
                    "planned": planned,
                    "has_moved": _APPLY in request.POST,
                    "findings": [finding_line(item, None) for item in outcome.findings],
                    "manifests": manifest_lines(outcome.manifests),
                }
            except documents.FileRefused as err:
                details: Any = err.details
                context |= {"findings": details["findings"], "problem": err.message}
            except (DomainError, ValueError) as err:
                context["problem"] = getattr(err, "message", str(err))
        return self.own_page(request, "console/import.html", context)

    def _apply(self, request: HttpRequest, text: str) -> HttpResponse:
        outcome = documents.apply_document(actor=actor_of(request), source=text)
        instance = WorkflowInstance.objects.get(pk=outcome.instance_id)
        if outcome.action != "unchanged":
            note = self.log_addition if outcome.action == "created" else self.log_change  # type: ignore[attr-defined]
            note(request, instance, f"{outcome.action} from a file")
        messages.success(request, f"{instance.name}: {outcome.action}.")
        return HttpResponseRedirect(reverse(f"admin:{PREFIX}_change", args=[instance.pk]))

    def readable(self, request: HttpRequest, object_id: str) -> WorkflowInstance:
        """The instance, if the user may look at it. Raises PermissionDenied and Http404."""
        if not self.has_do_read_permission(request):
            raise PermissionDenied
        found: WorkflowInstance | None = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        if found is None:
            raise Http404(f"there is no workflow with the id {object_id}")
        return found


def _allowed(call: Any) -> Any:
    try:
        return call()
    except Forbidden as err:
        raise PermissionDenied(err.message) from err
    except NotFound as err:
        raise Http404(err.message) from err


def _sent_text(request: HttpRequest) -> str:
    """The text that was pasted, or that of the file. Raises ValueError with a sentence."""
    upload = request.FILES.get(_FILE)
    if upload is None:
        text = request.POST.get(_SOURCE, "")
        if not text.strip():
            raise ValueError("choose a file or paste its text")
        return text.replace("\r\n", "\n")
    if upload.size is None or upload.size > LONGEST:
        raise ValueError(f"the file is larger than {LONGEST // 1024} KiB")
    try:
        return upload.read().decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ValueError("the file is no UTF-8 text") from err


def _planned(outcome: documents.Outcome) -> str:
    """Stands for what a page has shown: applying does only that, or shows it again."""
    version = None
    if outcome.instance_id:
        version = WorkflowInstance.objects.filter(pk=outcome.instance_id).values_list("version", flat=True).first()
    return digest(
        {
            "instance": outcome.instance_id,
            "version": version,
            "action": outcome.action,
            "templates": [[item["id"], item["action"]] for item in outcome.templates],
        }
    )


def finding_line(finding: Finding, instance_id: str | None) -> dict[str, Any]:
    """A finding for a page, with the way to the form of the node that it is about; none without an `instance_id`."""
    line = finding.output()
    if instance_id and finding.node_id:
        line["url"] = page_url("edit_node", instance_id, finding.node_id)
    return line


def manifest_lines(manifests: Any) -> list[dict[str, str]]:
    """Objects for a page, as YAML."""
    return [
        {"node": item.node, "kind": item.kind, "name": item.name, "text": write_yaml(item.manifest)}
        for item in manifests
    ]
