"""Cells that several pages of the engine share."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from secflow.console.display import badge, duration, link, moment, shortened

WORKFLOWS = "workflows"


def instance_link(pk: str, text: str | None = None) -> SafeString:
    """A link to an instance's page."""
    return link(WORKFLOWS, "workflowinstance", pk, text or pk)


def template_link(node_type: str, template_id: str) -> SafeString | str:
    """A link to the template of a node."""
    model = {"app": "apptemplate", "job": "jobtemplate"}.get(node_type)
    return link("templates_app", model, template_id, template_id) if model else template_id


class InstanceColumn:
    """A column with a link to the instance that a row belongs to."""

    @display(description="Instance", ordering="instance__name")
    def instance_cell(self, row: Any) -> SafeString:
        return instance_link(row.instance_id, row.instance.name)

    @display(description="Project", ordering="instance__project_id")
    def project_cell(self, row: Any) -> str:
        return str(row.instance.project_id)


class StatusColumn:
    """A coloured status, and the message in short."""

    @display(description="Status", ordering="status")
    def status_cell(self, row: Any) -> SafeString | str:
        return badge(row.status)

    @display(description="Message")
    def message_cell(self, row: Any) -> str:
        return shortened(row.message)


class TimesColumns:
    """When a row began and how long it took."""

    @display(description="Started", ordering="started_at")
    def started_cell(self, row: Any) -> SafeString | str:
        return moment(row.started_at)

    @display(description="Took")
    def took_cell(self, row: Any) -> str:
        return duration(row.started_at, row.finished_at, now=timezone.now())


class ActorColumn:
    """Who did it: a user's name where it is known, otherwise the id that the token had."""

    @display(description="By")
    def actor_cell(self, row: Any) -> str:
        return str(getattr(row, "actor_name", None) or getattr(row, self.actor_field))  # type: ignore[attr-defined]
