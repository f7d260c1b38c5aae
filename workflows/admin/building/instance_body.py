"""The inputs of an instance (contract C.6): what it is called, whose it is, and how runs are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from secflow.console.bodies.groups import Fold
from secflow.console.bodies.parts import Choice, Flag, Option, Part, Text
from secflow.console.bodies.writing import WritingBody
from secflow.console.projects import usable_projects
from templates_app.admin_parts import project_part
from workflows.domain.actors import Actor
from workflows.domain.statuses import RunMode, TriggerType
from workflows.models import WorkflowInstance
from workflows.services import authoring
from workflows.services.bodies import InstanceChangesInput, InstanceInput

_ENABLED_HELP = "Only with the trigger http in the run mode persistent: whoever knows the address may ask for a run."


def _texts() -> list[Part]:
    return [
        Text(name="name", label="Name", empty="", is_required=True, width="half", placeholder="nightly scan"),
        Text(name="description", label="Description", rows=2, help="What it is for, for whoever finds it."),
    ]


class NewInstanceBody(WritingBody):
    """A new workflow without nodes; they are added on its own page."""

    new_input = InstanceInput

    def __init__(self, *, actor: Actor, posted: QueryDict | None = None) -> None:
        self.actor = actor
        modes = (
            Option("once", RunMode.ONCE.value, "once: for one run, then it can be run again by hand"),
            Option(
                "persistent", RunMode.PERSISTENT.value, "persistent: its apps stay, and it is triggered again and again"
            ),
        )
        triggers = (
            Option("manual", TriggerType.MANUAL.value, "manual: by people, the API and the command line"),
            Option("http", TriggerType.HTTP.value, "http: also by a call of its own address"),
        )
        projects = usable_projects(actor)
        name, description = _texts()
        parts: list[Part] = [
            name,
            project_part(
                projects,
                is_required=True,
                help="Lower-case letters, digits and -. Its runs share the namespace secflow-<project>. "
                "A name that nobody uses yet makes a new project.",
            ),
            description,
            Choice(name="run_mode", label="Run mode", options=modes, default="once", width="half"),
            Choice(name="trigger_type", label="Trigger", options=triggers, default="manual", width="half"),
            Flag(name="trigger_enabled", label="Trigger enabled", help=_ENABLED_HELP),
        ]
        initial = {"project_id": projects[0]} if len(projects) == 1 else {}
        super().__init__(
            parts,
            initial=initial,
            posted=posted,
            folds=[
                Fold("", ("name", "project_id", "description"), is_open=True),
                Fold("How it runs", ("run_mode", "trigger_type", "trigger_enabled"), is_open=True),
            ],
        )

    def write(self, values: Mapping[str, Any]) -> str:
        """The id of the new instance."""
        return authoring.create_instance(actor=self.actor, values=values)


class InstanceBody(WritingBody):
    """What may be changed of an instance that exists."""

    change_input = InstanceChangesInput

    def __init__(
        self,
        instance: WorkflowInstance,
        *,
        actor: Actor,
        posted: QueryDict | None = None,
        is_disabled: bool = False,
    ) -> None:
        self.actor, self.instance = actor, instance
        parts = _texts()
        if instance.run_mode == RunMode.PERSISTENT:
            parts += [
                Flag(name="trigger_enabled", label="Trigger enabled", help=_ENABLED_HELP),
                Flag(name="is_active", label="Active", help="Inactive ones accept no trigger of any kind."),
            ]
        super().__init__(
            parts,
            stored={part.name: getattr(instance, part.name) for part in parts},
            posted=posted,
            is_disabled=is_disabled,
        )

    def write(self, values: Mapping[str, Any]) -> str:
        authoring.update_instance(instance_id=self.instance.pk, actor=self.actor, changes=values)
        return self.instance.pk
