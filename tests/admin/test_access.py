"""Project members, users, and the overview."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from secflow.projects.models import ProjectMember
from secflow.runtime import heartbeat
from tests.factories import PASSWORD, UserFactory
from workflows.models import NodeRun, Run

MEMBERS = "/admin/projects/projectmember/"


@pytest.mark.parametrize("given", ["the name", "the id"])
def test_a_member_is_added_by_name_or_id(admin: Client, given: str) -> None:
    user = UserFactory(username="mira")
    typed = "mira" if given == "the name" else str(user.pk)

    admin.post(f"{MEMBERS}add/", {"project_id": "p1", "user_id": typed, "role": "manager"})

    member = ProjectMember.objects.get()
    assert (member.project_id, member.user_id, member.role) == ("p1", str(user.pk), "manager")


def test_a_member_can_be_changed_and_removed(admin: Client) -> None:
    user = UserFactory()
    member = ProjectMember.objects.create(project_id="p1", user_id=str(user.pk))

    admin.post(f"{MEMBERS}{member.pk}/change/", {"project_id": "p1", "user_id": str(user.pk), "role": "manager"})
    role = ProjectMember.objects.get().role
    admin.post(f"{MEMBERS}{member.pk}/delete/", {"post": "yes"})

    assert role == "manager"
    assert not ProjectMember.objects.exists()


def test_unknown_users_and_second_memberships_are_refused(admin: Client) -> None:
    user = UserFactory()
    form = {"project_id": "p1", "user_id": str(user.pk), "role": "member"}
    ProjectMember.objects.create(project_id="p1", user_id=str(user.pk))

    unknown = admin.post(f"{MEMBERS}add/", form | {"user_id": "nobody"})
    second = admin.post(f"{MEMBERS}add/", form)

    assert "there is no user with the name or id nobody" in unknown.content.decode()
    assert second.status_code == 200
    assert ProjectMember.objects.count() == 1


def test_users_of_another_issuer_are_taken_as_they_are(admin: Client, settings: Any) -> None:
    settings.SECFLOW = dataclasses.replace(settings.SECFLOW, auth_mode="jwt")

    admin.post(f"{MEMBERS}add/", {"project_id": "p1", "user_id": "auth0|17", "role": "member"})

    assert ProjectMember.objects.get().user_id == "auth0|17"


def test_a_user_is_made_with_the_themed_form(admin: Client) -> None:
    password = "quite a long pass phrase 42"
    form = {"username": "nora", "usable_password": "true", "password1": password, "password2": password}

    answer = admin.post("/admin/auth/user/add/", form)

    assert answer.status_code == 302
    assert User.objects.get(username="nora").check_password(password)
    assert admin.get(f"/admin/auth/user/{User.objects.get(username='nora').pk}/password/").status_code == 200


def test_the_overview_shows_failures_of_the_last_day_with_links(admin: Client, history: NodeRun) -> None:
    Run.objects.update(finished_at=timezone.now() - timedelta(hours=1))
    NodeRun.objects.update(diagnosis={"summary": "the scan broke"})

    page = admin.get("/admin/").content.decode()

    assert "the scan broke" in page
    assert f'href="/admin/workflows/run/{history.run_id}/change/"' in page
    assert f'href="/admin/workflows/workflowinstance/{history.instance_id}/change/"' in page


def test_the_overview_leaves_older_failures_out(admin: Client, history: NodeRun) -> None:
    Run.objects.update(finished_at=timezone.now() - timedelta(hours=25))
    NodeRun.objects.update(diagnosis={"summary": "the scan broke"})

    assert "the scan broke" not in admin.get("/admin/").content.decode()


def test_the_overview_shows_who_lives_and_who_does_not(admin: Client, redis_url: str) -> None:
    heartbeat.write("worker")

    page = admin.get("/admin/").content.decode()

    assert "worker" in page
    assert "s ago" in page
    assert "No sign of life of: beat, watcher." in page


def test_messages_that_wait_in_the_broker_are_counted(admin: Client, settings: Any, redis_url: str) -> None:
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    queue = f"{prefix}{settings.CELERY_TASK_DEFAULT_QUEUE}"
    with redis.Redis.from_url(redis_url) as client:
        client.delete(queue)
        client.rpush(queue, "one", "two")
        try:
            page = admin.get("/admin/")
        finally:
            client.delete(queue)

    assert page.status_code == 200
    assert "<dt>Messages in the broker</dt><dd>2</dd>" in page.content.decode()


@pytest.mark.parametrize("address", ["redis://127.0.0.1:1/0"])
def test_an_unreachable_broker_is_a_sentence(admin: Client, settings: Any, address: str) -> None:
    settings.SECFLOW = dataclasses.replace(settings.SECFLOW, redis_url=address)

    page = admin.get("/admin/")

    assert page.status_code == 200
    assert "The broker cannot be reached" in page.content.decode()


def test_whoever_logs_in_without_a_page_in_mind_gets_the_first_one(db: None) -> None:
    UserFactory(username="root", is_staff=True, is_superuser=True)

    answer = Client().post("/admin/login/", {"username": "root", "password": PASSWORD})

    assert (answer.status_code, answer.url) == (302, "/admin/")
