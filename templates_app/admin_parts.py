"""The inputs of templates (contract C.1 to C.5). Nodes have some of the small ones too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from secflow.console.bodies.groups import Fold, Group, OptionalGroup, Resources, Rows
from secflow.console.bodies.parts import Choice, Flag, Number, Option, Part, Text, Words, words
from templates_app.api.parts import PROTOCOLS
from templates_app.api.serializers import PULL_POLICIES
from templates_app.kinds import APP, TemplateKind
from workflows.domain.statuses import Scope, ServiceType

PORTS_HELP = "Under which ports other nodes reach this one. Without a port no Service is made."


@dataclass(frozen=True, kw_only=True)
class Probe(OptionalGroup):
    """A health check; inputs that mean nothing for its type are hidden by the style sheet."""

    template: ClassVar[str] = "probe"


def env_rows(**changes: object) -> Rows:
    """Rows of variables with fixed values."""
    item = Group(
        name="",
        fields=(
            Text(name="name", label="Name", empty="", placeholder="LOG_LEVEL"),
            Text(name="value", label="Value", empty="", rows=1, is_code=True),
        ),
    )
    return Rows(**{"name": "env_vars", "label": "Environment variables", "noun": "variable", "item": item} | changes)  # type: ignore[arg-type]


def port_rows(name: str, *, help: str = PORTS_HELP) -> Rows:
    """Rows of a Service's ports."""
    item = Group(
        name="",
        fields=(
            Text(name="name", label="Name", empty="", placeholder="http", width="short"),
            Number(name="port", label="Port", minimum=1),
            Number(name="target_port", label="Port of the container", minimum=1),
            Choice(name="protocol", label="Protocol", options=words(*PROTOCOLS), default="TCP", width="short"),
        ),
    )
    return Rows(name=name, label="Ports", noun="port", help=help, item=item)


def _mount_rows() -> Rows:
    item = Group(
        name="",
        fields=(
            Text(name="pvc_name", label="Claim", empty="", placeholder="shared-data"),
            Text(name="mount_path", label="Path in the container", empty="", placeholder="/data"),
            Text(name="sub_path", label="Folder of the claim", placeholder="all of it"),
            Flag(name="read_only", label="Read only"),
        ),
    )
    return Rows(name="volume_mounts", label="Volumes", noun="volume", item=item)


def _declared_env_rows() -> Rows:
    item = Group(
        name="",
        fields=(
            Text(name="name", label="Name", empty="", placeholder="TARGET"),
            Text(name="default_value", label="Default", rows=1, is_code=True, placeholder="none: every node must say"),
        ),
    )
    return Rows(
        name="input_env_vars",
        label="Variables that each node supplies",
        noun="input variable",
        help="Without a default, a node cannot be made before it gives a value or names an upstream node.",
        item=item,
    )


def _declared_mount_rows() -> Rows:
    item = Group(
        name="",
        fields=(
            Text(name="mount_path", label="Path in the container", empty="", placeholder="/input"),
            Text(name="sub_path", label="Folder of the claim", placeholder="all of it"),
            Flag(name="read_only", label="Read only", default=True),
        ),
    )
    return Rows(
        name="input_volume_mounts",
        label="Volumes that each node supplies",
        noun="input volume",
        help="Paths where a claim has to be mounted: the node names the claim, or the upstream node that has it.",
        item=item,
    )


def _probe(name: str, label: str, help: str) -> Probe:
    types = (
        Option("", None, "none"),
        Option("http", "http", "HTTP request"),
        Option("tcp", "tcp", "TCP connection"),
        Option("exec", "exec", "command in the container"),
    )
    return Probe(
        name=name,
        label=label,
        help=help,
        fields=(
            Choice(name="type", label="Check by", options=types, width="short"),
            Number(name="port", label="Port", is_nullable=True),
            Text(name="path", label="Path", placeholder="/health"),
            Words(name="command", label="Command", placeholder="test -f /tmp/ready"),
            Number(name="initial_delay_seconds", label="Wait before the first (s)", default=10),
            Number(name="period_seconds", label="Repeat every (s)", default=10),
            Number(name="timeout_seconds", label="Time for an answer (s)", default=5),
            Number(name="failure_threshold", label="Failures in a row", default=3),
            Number(name="success_threshold", label="Successes in a row", default=1),
        ),
    )


def _container(kind: TemplateKind) -> Group:
    fields: list[Part] = [
        Text(name="name", label="Name", empty="", default="main", is_required=True, width="half"),
        Text(
            name="image",
            label="Image",
            empty="",
            is_required=True,
            width="half",
            placeholder="registry.example.com/team/app:1.2",
            is_code=True,
        ),
        Words(
            name="command",
            label="Command",
            rows=1,
            placeholder="python -m http.server",
            help="Instead of the image's entry point. As in a shell: quotation marks keep words together.",
        ),
        Words(name="args", label="Arguments", rows=1, placeholder="--port 8080", help="Handed to the command."),
        env_rows(),
        _declared_env_rows(),
        _mount_rows(),
        _declared_mount_rows(),
        Resources(
            name="resources",
            label="Resources",
            help="What is reserved for it (request) and where it is stopped (limit): 250m is a quarter of a CPU, "
            "128Mi are 128 mebibytes.",
        ),
        Choice(
            name="image_pull_policy",
            label="Pull the image",
            options=words(*PULL_POLICIES),
            default="IfNotPresent",
            width="half",
        ),
        Flag(name="privileged", label="Privileged", help="All rights on its machine; most installations forbid it."),
    ]
    folds = [
        Fold("", ("name", "image", "command", "args"), is_open=True),
        Fold("Environment variables", ("env_vars",)),
        Fold("Inputs from nodes", ("input_env_vars", "input_volume_mounts")),
        Fold("Volumes", ("volume_mounts",), help="Existing claims of the project; the same ones for every node."),
        Fold("Resources", ("resources",)),
    ]
    if kind is APP:
        fields += [
            _probe(
                "readiness_probe", "Ready when", "Until then the node counts as starting, and nothing after it runs."
            ),
            _probe("liveness_probe", "Alive while", "When it fails the container is started again."),
        ]
        folds.append(Fold("Health checks", ("readiness_probe", "liveness_probe")))
    folds.append(Fold("Image and rights", ("image_pull_policy", "privileged")))
    return Group(name="", fields=fields, folds=folds)


def project_part(projects: Sequence[str], *, is_required: bool, help: str) -> Text:
    """The project: proposals are those that the user works in."""
    return Text(name="project_id", label="Project", choices=projects, is_required=is_required, width="half", help=help)


def template_parts(kind: TemplateKind, projects: Sequence[str]) -> tuple[list[Part], list[Fold]]:
    """All inputs of a kind of template, and how they are arranged."""
    scopes = (
        Option(Scope.PROJECT.value, Scope.PROJECT.value, "project: used only inside its project"),
        Option(Scope.GLOBAL.value, Scope.GLOBAL.value, "global: used by all projects; for administrators"),
    )
    parts: list[Part] = [
        Text(name="name", label="Name", empty="", is_required=True, width="half"),
        Text(name="description", label="Description", rows=2, help="What it does, for whoever picks it."),
        Choice(name="scope", label="Scope", options=scopes, default=Scope.PROJECT.value, width="half"),
        project_part(projects, is_required=False, help="Whose template it is."),
        Rows(
            name="containers",
            label="Containers",
            noun="container",
            item=_container(kind),
            is_cards=True,
            help="One is the usual; further ones run beside it in the same pod.",
        ),
    ]
    folds = [
        Fold("", ("name", "description", "scope", "project_id"), is_open=True),
        Fold("", ("containers",), is_open=True),
    ]
    if kind is APP:
        parts += _service_parts()
        folds += [
            Fold("Copies", ("replicas",), is_open=True),
            Fold("Service", ("create_service", "service_name", "service_type", "service_ports"), is_open=True),
        ]
    else:
        parts += [
            Number(
                name="backoff_limit",
                label="Retries",
                default=3,
                help="How often a failed pod is replaced before the job counts as failed; 0 for never.",
            ),
            Number(
                name="ttl_seconds_after_finished",
                label="Keep for (s)",
                default=3600,
                is_nullable=True,
                help="How long the finished Job stays in the cluster. Empty: until the next run. Logs are kept anyway.",
            ),
        ]
        folds.append(Fold("Job", ("backoff_limit", "ttl_seconds_after_finished"), is_open=True))
    return parts, folds


def _service_parts() -> list[Part]:
    return [
        Number(name="replicas", label="Replicas", default=1, help="How many pods run at once."),
        Flag(
            name="create_service",
            label="Make a Service",
            default=True,
            help="Gives nodes a host name, which is what downstream nodes get as the value of an input.",
        ),
        Text(
            name="service_name",
            label="Service name",
            width="half",
            placeholder="made for each node",
            help="Leave it empty unless a fixed host name is needed: one name can be used once in a project.",
        ),
        Choice(name="service_type", label="Type", options=words(*ServiceType), default="ClusterIP", width="half"),
        port_rows("service_ports"),
    ]
