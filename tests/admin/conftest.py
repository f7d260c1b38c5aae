"""People who use the console, and rows for it to show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client

from tests.factories import InstanceFactory, NodeFactory, UserFactory
from workflows.domain.statuses import CleanupGoal
from workflows.models import Cleanup, Event, NodeLog, NodeRun, Run, WorkflowInstance

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODELS = ("workflowinstance", "workflownode", "run", "noderun", "nodelog", "event", "cleanup")


@pytest.fixture(autouse=True)
def _quick(settings: Any) -> Iterator[None]:
    """Neither strong hashing nor an index of all static files for every client."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
    cache.clear()
    yield
    cache.clear()


def signed_in(user: Any) -> Client:
    """A browser of this user."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin(db: None) -> Client:
    """An administrator's browser."""
    return signed_in(UserFactory(username="root", is_staff=True, is_superuser=True))


def staff(username: str, *rights: str) -> Any:
    """A staff user with rights such as `view_run`."""
    user = UserFactory(username=username, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    return user


@pytest.fixture
def viewer(db: None) -> Client:
    """A staff user's browser, who may view everything of the engine and of templates, and change nothing."""
    rights = [f"view_{model}" for model in (*MODELS, "apptemplate", "jobtemplate", "projectmember")]
    return signed_in(staff("viewer", *rights))


def make_history(instance: WorkflowInstance, *, text: str = "a line", name: str = "crawler") -> NodeRun:
    """One failed run of the instance with a node, its log, journal entries and an open clean-up."""
    node = NodeFactory(instance=instance, name=name, message=text)
    run = Run.objects.create(
        instance=instance,
        number=1,
        trigger="start",
        actor="1",
        status="failed",
        started_at=NOON,
        finished_at=NOON,
        message=text,
        edges=[[node.pk, node.pk]],
    )
    record = NodeRun.objects.create(
        run=run,
        instance=instance,
        node_id=node.pk,
        node_name=name,
        node_type="job",
        status="failed",
        spec={"note": text},
        resource_name="job-crawler",
        resource_type="Job",
        timeout_seconds=3600,
        started_at=NOON,
        finished_at=NOON,
        message=text,
        diagnosis={"summary": text},
    )
    NodeLog.objects.create(node_run=record, part="execution", text=text, pod_name="pod-1", fetched_at=NOON)
    NodeLog.objects.create(node_run=record, part="init", due_at=NOON, error=text)
    Event.objects.create(
        instance_id=instance.pk,
        sequence=1,
        project_id=instance.project_id,
        kind="run.failed",
        actor="1",
        message=text,
        data={"note": text},
        created_at=NOON,
    )
    Cleanup.objects.create(
        instance=instance, goal=CleanupGoal.TIDY, actor="1", due_at=NOON, requested_at=NOON, error=text
    )
    return record


@pytest.fixture
def history(db: None) -> NodeRun:
    """An instance with something on every page of the engine."""
    return make_history(InstanceFactory(status="failed", message="it failed", run_count=1))


def said(response: Any) -> list[str]:
    """The messages that the page shows after an operation."""
    return [str(message) for message in response.context["messages"]]
