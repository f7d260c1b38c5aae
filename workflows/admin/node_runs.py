"""What each node did in each run, with the texts that its pods wrote."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Case, F, TextField, Value, When
from django.db.models.functions import Concat, Length, Right
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    MultipleChoicesDropdownFilter,
)
from unfold.decorators import display

from secflow.console.display import NONE, badge, json_field, link, moment, once, shortened, text_box
from secflow.console.filters import ExactFilter, TimeFilter
from secflow.console.pages import UncountedAdmin
from secflow.console.plain_text import plain
from workflows.admin.cells import WORKFLOWS, InstanceColumn, StatusColumn, TimesColumns, instance_link
from workflows.admin.evidence import diagnosis_box, evidence_box
from workflows.models import NodeLog, NodeRun

TAIL = 32_768  # characters of a log on the page of its node run; the log's own page has all
_CUT = "[the beginning is left out]\n"


@admin.register(NodeRun)
class NodeRunAdmin(InstanceColumn, StatusColumn, TimesColumns, UncountedAdmin):
    """Records of nodes in runs, newest first."""

    project_field, creator_field = "instance__project_id", "instance__created_by"
    linked_lookups = ("workload__state__exact", "run__finished_at__isnull")  # the first page links by them
    list_select_related = ("instance", "run")
    list_defer = ("spec", "diagnosis", "evidence", "run__edges", "instance__edges", "instance__nodes")
    list_display = (
        "node_cell",
        "instance_cell",
        "project_cell",
        "run_cell",
        "status_cell",
        "resource_name",
        "started_cell",
        "took_cell",
        "message_cell",
    )
    list_display_links = ("node_cell",)
    list_filter = (
        ("status", MultipleChoicesDropdownFilter),
        ("node_type", ExactFilter),
        ("instance__project_id", ExactFilter),
        ("started_at", TimeFilter),
        ("finished_at", TimeFilter),
    )
    search_ids = {"wf-inst-": "instance_id"}
    search_fields = ("node_name", "node_id__exact", "instance__id__exact", "resource_name", "message")
    search_help_text = "Node, cluster object, instance's id, or words of the message, in the newest 100,000"
    fieldsets = (
        (
            "State",
            {
                "fields": (
                    "node_field",
                    "instance_field",
                    "run_field",
                    "attempt",
                    "status_badge",
                    "message",
                    "diagnosis_field",
                    "started_at",
                    "finished_at",
                )
            },
        ),
        ("Logs", {"fields": ("execution_log", "init_log")}),
        ("Evidence", {"fields": ("evidence_field",)}),
        (
            "Clock",
            {"fields": ("timeout_seconds", "due_at", "due_reason", "clock_started_at", "clock_used")},
        ),
        ("Workload", {"fields": ("resource_type", "resource_name", "workload_field", "spec_json")}),
    )
    readonly_fields = (
        "node_field",
        "instance_field",
        "run_field",
        "status_badge",
        "workload_field",
        "execution_log",
        "init_log",
        "evidence_field",
        "diagnosis_field",
        "spec_json",
    )

    spec_json = json_field("spec")

    @display(description="Node", ordering="node_name", header=True)
    def node_cell(self, row: NodeRun) -> list[str]:
        return [row.node_name, row.node_id]

    @display(description="Run", ordering="run_id")
    def run_cell(self, row: NodeRun) -> SafeString:
        return link(WORKFLOWS, "run", row.run_id, f"{row.run.purpose}\N{NO-BREAK SPACE}#{row.run.number}")

    @display(description="Node")
    def node_field(self, row: NodeRun) -> SafeString:
        return link(WORKFLOWS, "workflownode", row.node_id, row.node_name)

    @display(description="Instance")
    def instance_field(self, row: NodeRun) -> SafeString:
        return instance_link(row.instance_id, row.instance.name)

    @display(description="Run")
    def run_field(self, row: NodeRun) -> SafeString:
        return self.run_cell(row)

    @display(description="Status")
    def status_badge(self, row: NodeRun) -> SafeString | str:
        return badge(row.status)

    @display(description="Why")
    @once
    def diagnosis_field(self, row: NodeRun) -> SafeString | str:
        return diagnosis_box(row.diagnosis)

    @display(description="Attempt in the cluster")
    def workload_field(self, row: NodeRun) -> str:
        return str(row.workload) if row.workload else NONE

    @display(description="Execution log")
    @once
    def execution_log(self, row: NodeRun) -> SafeString | str:
        return _log_field(row, NodeLog.Part.EXECUTION)

    @display(description="Set-up log")
    @once
    def init_log(self, row: NodeRun) -> SafeString | str:
        return _log_field(row, NodeLog.Part.INIT)

    @display(description="Evidence")
    @once
    def evidence_field(self, row: NodeRun) -> SafeString | str:
        return evidence_box(row.evidence)


def _log_field(record: NodeRun, part: str) -> SafeString | str:
    log = (
        NodeLog.objects.filter(node_run=record, part=part)
        .annotate(size=Length("text"))
        .annotate(
            tail=Case(
                When(size__gt=TAIL, then=Concat(Value(_CUT), Right("text", TAIL))),
                default=F("text"),
                output_field=TextField(),
            )
        )
        .defer("text")
        .first()
    )
    if log is None:
        return "none was kept"
    if not log.tail:
        return _waiting(log) or link(WORKFLOWS, "nodelog", log.pk, "the pod wrote nothing")
    whole = link(WORKFLOWS, "nodelog", log.pk, f"The whole log, {log.size} characters")
    return format_html('{}<p class="mt-2">{}</p>', text_box(plain(log.tail)), whole)


def _waiting(log: NodeLog) -> str:
    if log.due_at is None:
        return ""
    problem = f"; the last try met: {log.error}" if log.error else ""
    return f"to be fetched at {date_format(timezone.localtime(log.due_at), 'DATETIME_FORMAT')}{problem}"


@admin.register(NodeLog)
class NodeLogAdmin(UncountedAdmin):
    """Kept log texts. A list does not load them."""

    project_field, creator_field = "node_run__instance__project_id", "node_run__instance__created_by"
    list_select_related = ("node_run__instance", "node_run__run")
    list_defer = (
        "text",
        "node_run__spec",
        "node_run__diagnosis",
        "node_run__evidence",
        "node_run__instance__edges",
        "node_run__instance__nodes",
        "node_run__run__edges",
    )
    ordering = ("-id",)
    list_display = (
        "node_cell",
        "instance_cell",
        "part_cell",
        "pod_name",
        "container",
        "status_cell",
        "fetched_cell",
        "error_cell",
    )
    list_display_links = ("node_cell",)
    list_filter = (
        ("part", ChoicesDropdownFilter),
        ("node_run__status", MultipleChoicesDropdownFilter),
        ("node_run__instance__project_id", ExactFilter),
        ("fetched_at", TimeFilter),
    )
    search_ids = {"wf-inst-": "node_run__instance_id"}
    search_fields = ("pod_name", "node_run__node_name", "node_run__node_id__exact", "node_run__instance__id__exact")
    search_help_text = "Pod, node, or an instance's id, in the newest 100,000"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "record_field",
                    "part",
                    "pod_name",
                    "container",
                    "status_when_fetched",
                    "fetched_at",
                    "due_at",
                    "tries",
                    "error",
                )
            },
        ),
        ("Text", {"fields": ("whole_text",)}),
    )
    readonly_fields = ("record_field", "whole_text")

    @display(description="Node", header=True)
    def node_cell(self, row: NodeLog) -> list[str]:
        return [row.node_run.node_name, f"{row.node_run.run.purpose}\N{NO-BREAK SPACE}#{row.node_run.run.number}"]

    @display(description="Instance")
    def instance_cell(self, row: NodeLog) -> SafeString:
        return instance_link(row.node_run.instance_id, row.node_run.instance.name)

    @display(description="Part", ordering="part")
    def part_cell(self, row: NodeLog) -> str:
        return "set-up" if row.part == NodeLog.Part.INIT else "execution"

    @display(description="Status then", ordering="status_when_fetched")
    def status_cell(self, row: NodeLog) -> SafeString | str:
        return badge(row.status_when_fetched)

    @display(description="Fetched", ordering="fetched_at")
    def fetched_cell(self, row: NodeLog) -> SafeString | str:
        return moment(row.fetched_at) if row.fetched_at else _waiting(row) or NONE

    @display(description="Problem")
    def error_cell(self, row: NodeLog) -> str:
        return shortened(row.error)

    @display(description="Node run")
    def record_field(self, row: NodeLog) -> SafeString:
        return link(WORKFLOWS, "noderun", row.node_run_id, row.node_run)

    @display(description="Text")
    @once
    def whole_text(self, row: NodeLog) -> SafeString | str:
        return text_box(plain(row.text), is_whole=True) if row.text else _waiting(row) or "the pod wrote nothing"
