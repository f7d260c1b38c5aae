"""Rows for tests. Ids look like real ones; everything else is the least that the contract asks for."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

import factory
from django.contrib.auth import get_user_model
from factory.django import DjangoModelFactory

from secflow.projects.models import ProjectMember
from templates_app.models import AppTemplate, JobTemplate
from workflows.domain.ids import INSTANCE, NODE, TEMPLATE, make_id, new_suffix
from workflows.models import NodeRun, Run, WorkflowInstance, WorkflowNode

PROJECT = "p1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "a long enough pass phrase"


def fresh_id(prefix: str) -> Any:
    """An id of the contract's form, made from the row's name."""
    return factory.LazyAttribute(lambda row: make_id(prefix, row.name, new_suffix(secrets.choice)))


def container(**changes: Any) -> dict[str, Any]:
    """A container in its stored form."""
    return {
        "name": "main",
        "image": "busybox:1.36",
        "command": ["sleep", "1"],
        "args": None,
        "env_vars": [],
        "volume_mounts": [],
        "input_env_vars": [],
        "input_volume_mounts": [],
        "privileged": False,
        "image_pull_policy": "IfNotPresent",
        "resources": None,
        "liveness_probe": None,
        "readiness_probe": None,
    } | changes


class UserFactory(DjangoModelFactory[Any]):
    """An active user with PASSWORD; `is_superuser=True` makes an administrator."""

    class Meta:
        model = get_user_model()
        skip_postgeneration_save = True

    username = factory.Sequence(lambda number: f"user{number}")
    # Hashing slowly is the point of the real hasher and no use here: see `fast_hasher` where passwords matter.
    password = factory.django.Password(PASSWORD)


class ProjectMemberFactory(DjangoModelFactory[Any]):
    """Membership; give `user_id` as text."""

    class Meta:
        model = ProjectMember

    project_id = PROJECT
    user_id = "1"
    role = ProjectMember.Role.MEMBER


class _TemplateFactory(DjangoModelFactory[Any]):
    class Meta:
        abstract = True

    name = factory.Sequence(lambda number: f"template {number}")
    id = fresh_id(TEMPLATE)
    scope = "project"
    project_id = PROJECT
    containers = factory.LazyFunction(lambda: [container()])
    created_by = "1"


class AppTemplateFactory(_TemplateFactory):
    """A project template of an app without ports."""

    class Meta:
        model = AppTemplate


class JobTemplateFactory(_TemplateFactory):
    """A project template of a job."""

    class Meta:
        model = JobTemplate


class InstanceFactory(DjangoModelFactory[Any]):
    """A draft."""

    class Meta:
        model = WorkflowInstance

    name = factory.Sequence(lambda number: f"instance {number}")
    id = fresh_id(INSTANCE)
    project_id = PROJECT
    created_by = "1"


class NodeFactory(DjangoModelFactory[Any]):
    """A job node of a new draft, with a template of its own; give `instance`, `node_type` and `template_id` for
    another.
    """

    class Meta:
        model = WorkflowNode

    name = factory.Sequence(lambda number: f"node {number}")
    id = fresh_id(NODE)
    instance = factory.SubFactory(InstanceFactory)
    node_type = "job"
    template_id = factory.LazyAttribute(
        lambda row: (
            (AppTemplateFactory if row.node_type == "app" else JobTemplateFactory)(
                project_id=row.instance.project_id
            ).id
        )
    )


class RunFactory(DjangoModelFactory[Any]):
    """The first run of an instance, which failed at NOON."""

    class Meta:
        model = Run

    instance = factory.SubFactory(InstanceFactory, status="failed")
    number = 1
    trigger = "start"
    actor = "1"
    status = "failed"
    started_at = NOON
    finished_at = NOON


class NodeRunFactory(DjangoModelFactory[Any]):
    """What `node` did in a run that failed: it failed as well."""

    class Meta:
        model = NodeRun
        exclude = ("node",)

    run = factory.SubFactory(RunFactory)
    instance = factory.SelfAttribute("run.instance")
    node = factory.SubFactory(NodeFactory, instance=factory.SelfAttribute("..run.instance"), status="failed")
    node_id = factory.SelfAttribute("node.pk")
    node_name = factory.SelfAttribute("node.name")
    node_type = factory.SelfAttribute("node.node_type")
    status = "failed"
    spec = factory.LazyFunction(dict)
    resource_name = "job-crawler"
    resource_type = "Job"
    timeout_seconds = 3600
    started_at = NOON
    finished_at = NOON
