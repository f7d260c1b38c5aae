"""People who use the console, and rows for it to show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client

from k8s_bridge.evidence import LastLines, build_evidence
from k8s_bridge.results import WarningEvent
from secflow.http.roles import Role
from secflow.projects.roles import give_roles
from tests.factories import (
    NOON,
    InstanceFactory,
    NodeFactory,
    NodeRunFactory,
    ProjectMemberFactory,
    RunFactory,
    UserFactory,
)
from tests.following import no_streams_left
from workflows.domain.statuses import CleanupGoal
from workflows.models import Cleanup, Event, NodeLog, NodeRun, WorkflowInstance

__all__ = ["no_streams_left"]


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
    """An auditor's browser: sees everything and changes nothing."""
    return signed_in(with_roles("viewer", Role.AUDITOR))


def with_roles(username: str, *roles: Role, projects: Iterable[str] = ()) -> Any:
    """A user with these roles, who is a member of the projects."""
    user = UserFactory(username=username)
    give_roles(user, list(roles))
    for project_id in projects:
        ProjectMemberFactory(project_id=project_id, user_id=str(user.pk))
    return user


def evidence(text: str) -> dict[str, Any]:
    """What may be kept of a failed node, with `text` wherever the cluster's or the pod's words are."""
    pod = {
        "metadata": {"name": "pod-1"},
        "spec": {"nodeName": text},
        "status": {
            "phase": "Failed",
            "message": text,
            "conditions": [{"type": "DisruptionTarget", "status": "True", "message": text}],
            "containerStatuses": [
                {
                    "name": "main",
                    "image": text,
                    "restartCount": 2,
                    "state": {"terminated": {"exitCode": 3, "message": text}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": text}},
                }
            ],
        },
    }
    warning = WarningEvent("Pod", "pod-1", "BackOff", text, 7, "2026-03-01T12:00:00Z")
    return build_evidence([pod], [warning], [LastLines("pod-1", "main", True, text)])


def make_history(instance: WorkflowInstance, *, text: str = "a line", name: str = "crawler") -> NodeRun:
    """One failed run of the instance with a node, its log, journal entries and an open clean-up."""
    node = NodeFactory(instance=instance, name=name, message=text)
    record: NodeRun = NodeRunFactory(
        run=RunFactory(instance=instance, message=text, edges=[[node.pk, node.pk]]),
        node=node,
        spec={"note": text},
        message=text,
        diagnosis={"summary": text},
        evidence=evidence(text),
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
