"""The feed of events under the console's session."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.admin.conftest import signed_in
from tests.factories import InstanceFactory, ProjectMemberFactory, UserFactory
from tests.following import following
from workflows.feed import streams
from workflows.services.journal import Entry, append

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_streams_left")]
EVENTS = "/admin/events"


def happens(*kinds: str, project_id: str = "p1") -> None:
    append(InstanceFactory(project_id=project_id), *[Entry(kind, "1") for kind in kinds])


def kinds(response: Any) -> list[str]:
    assert response.status_code == 200
    return [item["kind"] for item in response.json()["items"]]


def test_an_administrator_sees_everything_and_a_member_the_projects(admin: Client) -> None:
    user = UserFactory(is_staff=True)
    ProjectMemberFactory(user_id=str(user.pk))
    happens("test.p1")
    happens("test.p2", project_id="p2")

    assert kinds(admin.get(f"{EVENTS}?after=0")) == ["test.p1", "test.p2"]
    assert kinds(admin.get(f"{EVENTS}?after=0&project_id=p2")) == ["test.p2"]
    assert kinds(signed_in(user).get(f"{EVENTS}?after=0")) == ["test.p1"]


def test_only_who_may_use_the_console_follows_here(db: None) -> None:
    for client in (Client(), signed_in(UserFactory())):
        response = client.get(EVENTS)
        assert (response.status_code, response.json()["code"]) == (401, "UNAUTHORIZED")
    assert Client().post(EVENTS).status_code == 401


def test_a_token_is_no_way_into_the_console(admin: Client) -> None:
    token = UserFactory(is_superuser=True)
    response = Client().get(EVENTS, headers={"Authorization": f"Bearer {token.pk}"})

    assert response.status_code == 401


def test_a_page_follows_by_its_session_until_it_is_signed_out(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SCOPE_KEPT", 0.0)
    with following(admin, EVENTS) as stream:
        happens("test.first")
        stream.until(lambda stream: len(stream.events) == 1)
        admin.logout()
        happens("test.second")
        stream.ended()

    assert [event["kind"] for event in stream.events] == ["test.first"]
