"""Callers for the API tests: each of the contract's roles, with a real token, through Django's whole request path."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from django.core.cache import cache
from django.test import Client

from secflow.http.tokens import token_pair
from tests.factories import PROJECT, ProjectMemberFactory, UserFactory
from tests.following import no_streams_left

__all__ = ["no_streams_left"]
BASE = "/api/workflow"


class Api(Client):
    """A client that speaks JSON with a bearer token. Paths without `/api` in front are below /api/workflow.

    `user_id` is the id that stands in `created_by`; None for a caller without a token.
    """

    def __init__(self, user: Any = None, **headers: str) -> None:
        super().__init__(raise_request_exception=True)
        self.user_id = None if user is None else str(user.pk)
        self.extra_headers = dict(headers)
        if user is not None:
            self.extra_headers["Authorization"] = f"Bearer {token_pair(user)['access']}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The response; `response.json()` is its document. `body` is sent as JSON, bytes as they are, None as no
        body.
        """
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.generic(
            method,
            path if path.startswith(("/api", "/livez", "/readyz")) else BASE + path,
            data,
            content_type="application/json",
            headers=self.extra_headers | headers,
        )

    def read(self, path: str) -> Any:
        """The document of a GET that must work."""
        return self._document(self.call("GET", path), 200)

    def send(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The document of a call that must answer with this status."""
        return self._document(self.call(method, path, body), status)

    def refused(self, method: str, path: str, body: Any = None, *, status: int) -> dict[str, Any]:
        """The envelope of a call that must be refused with this status. Its three keys are checked here."""
        document = self._document(self.call(method, path, body), status)
        assert set(document) == {"code", "message", "details"}
        return cast("dict[str, Any]", document)

    @staticmethod
    def _document(response: Any, status: int) -> Any:
        assert response.status_code == status, response.content.decode()[:2000]
        assert response["Content-Type"] == "application/json"
        return response.json()


@pytest.fixture(autouse=True)
def _quick_and_fresh(settings: Any) -> Iterator[None]:
    """Nothing slow that is not asked about: strong hashing, and the index of all static files that every client would
    make.
    """
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def client_for(db: None) -> Callable[..., Api]:
    """Makes an Api for a user."""
    return Api


@pytest.fixture
def anonymous(db: None) -> Api:
    """A caller without a token."""
    return Api()


@pytest.fixture
def admin(db: None) -> Api:
    """A superuser."""
    return Api(UserFactory(username="admin", is_superuser=True, is_staff=True))


@pytest.fixture
def member(db: None) -> Api:
    """A member of project p1."""
    return _in_project("member")


@pytest.fixture
def colleague(db: None) -> Api:
    """Another member of project p1."""
    return _in_project("colleague")


@pytest.fixture
def manager(db: None) -> Api:
    """A manager of project p1."""
    return _in_project("manager", role="manager")


@pytest.fixture
def stranger(db: None) -> Api:
    """A user who is in project p2 only, while p1 is closed to others."""
    user = UserFactory(username="stranger")
    ProjectMemberFactory(project_id="p2", user_id=str(user.pk))
    if not ProjectMemberFactory._meta.model.objects.filter(project_id=PROJECT).exists():
        ProjectMemberFactory(user_id="0")
    return Api(user)


def _in_project(name: str, role: str = "member") -> Api:
    user = UserFactory(username=name)
    ProjectMemberFactory(user_id=str(user.pk), role=role)
    return Api(user)
