"""Who gets in with SecFlow's own tokens, and who gets 401 (contract A.2)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from secflow.http.tokens import token_pair
from tests.api.conftest import Api
from tests.factories import PASSWORD, UserFactory

PATH = "/app-templates"


def claims_of(user: Any, **changes: Any) -> dict[str, Any]:
    """The claims of a good access token of the user, changed; a value of None takes a claim away."""
    claims = dict(AccessToken(token_pair(user)["access"]).payload) | changes
    return {key: value for key, value in claims.items() if value is not None}


def signed(claims: dict[str, Any], *, key: str | None = None, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key or django_settings.SECRET_KEY, algorithm=algorithm)


def unsigned(claims: dict[str, Any]) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def foreign_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def past() -> int:
    return int((timezone.now() - timedelta(hours=1)).timestamp())


def future() -> int:
    return int((timezone.now() + timedelta(hours=1)).timestamp())


BAD_TOKENS: dict[str, Callable[[Any], str]] = {
    "no JWT": lambda user: "abc",
    "alg none": lambda user: unsigned(claims_of(user)),
    "other key": lambda user: signed(claims_of(user), key="x" * 64),
    "other algorithm": lambda user: signed(claims_of(user), algorithm="HS512"),
    "signed by a foreign RSA key": lambda user: signed(claims_of(user), key=foreign_key(), algorithm="RS256"),
    "body changed": lambda user: token_pair(user)["access"].replace(".", ".AA", 1),
    "expired": lambda user: signed(claims_of(user, exp=past())),
    "without an end": lambda user: signed(claims_of(user, exp=None)),
    "not yet": lambda user: signed(claims_of(user, nbf=future())),
    "refresh token": lambda user: token_pair(user)["refresh"],
    "no type": lambda user: signed(claims_of(user, token_type=None)),
    "no user": lambda user: signed(claims_of(user, user_id=None)),
    "odd user": lambda user: signed(claims_of(user, user_id="1 OR 1=1")),
    "huge user": lambda user: signed(claims_of(user, user_id="9" * 40)),
    "unknown user": lambda user: signed(claims_of(user, user_id="987654")),
    "made before the password was changed": lambda user: signed(claims_of(user, hash_password="old")),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_a_bad_token_is_401(anonymous: Api, case: str) -> None:
    token = BAD_TOKENS[case](UserFactory())

    response = anonymous.call("GET", PATH, Authorization=f"Bearer {token}")

    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert set(response.json()) == {"code", "message", "details"}
    assert response.json()["code"] == "UNAUTHORIZED"
    assert token not in response.content.decode()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Token abc",
        "Bearer a b",
        "Bearer é",
        "Bearer a,b",
        "abc",
        "Bearer \x00",
    ],
)
def test_another_header_is_401(anonymous: Api, header: str) -> None:
    response = anonymous.call("GET", PATH, Authorization=header)

    assert (response.status_code, response.json()["code"]) == (401, "UNAUTHORIZED")


def test_no_header_is_401(anonymous: Api) -> None:
    assert anonymous.refused("GET", PATH, status=401)["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "])
def test_the_scheme_may_be_in_any_case(anonymous: Api, scheme: str) -> None:
    token = token_pair(UserFactory())["access"]

    assert anonymous.call("GET", PATH, Authorization=f"{scheme} {token}").status_code == 200


def test_an_inactive_user_is_401(client_for: Any) -> None:
    user = UserFactory()
    caller = client_for(user)
    assert caller.read(PATH) == {"total": 0, "items": []}

    user.is_active = False
    user.save()

    caller.refused("GET", PATH, status=401)


def test_a_changed_password_ends_all_tokens(client_for: Any) -> None:
    user = UserFactory()
    caller = client_for(user)

    user.set_password("another long pass phrase")
    user.save()

    caller.refused("GET", PATH, status=401)


def test_401_comes_before_everything_else(anonymous: Api) -> None:
    anonymous.refused("GET", f"{PATH}/unknown", status=401)
    anonymous.refused("POST", PATH, b"{broken", status=401)
    anonymous.refused("PATCH", PATH, status=401)


@pytest.mark.parametrize(
    ("flags", "group", "status"),
    [
        ({}, None, 403),
        ({}, "admin", 403),
        ({"is_staff": True}, None, 403),
        ({"is_staff": True}, "operators", 403),
        ({"is_staff": True}, "admin", 201),
        ({"is_superuser": True}, None, 201),
    ],
)
def test_admins_are_superusers_and_staff_with_the_role(
    client_for: Any, flags: dict[str, bool], group: str | None, status: int
) -> None:
    user = UserFactory(**flags)
    if group:
        user.groups.add(Group.objects.create(name=group))
    sent = {"name": "a", "scope": "global", "containers": [{"name": "c", "image": "x"}]}

    response = client_for(user).call("POST", PATH, sent)

    assert response.status_code == status
    role = AccessToken(token_pair(user)["access"])["role"]
    assert ("admin" in role) is (status == 201)


def test_sign_in_refresh_and_use(anonymous: Api) -> None:
    user = UserFactory()

    pair = anonymous.send("POST", "/api/token/", {"username": user.username, "password": PASSWORD})
    assert set(pair) == {"access", "refresh"}
    fresh = anonymous.send("POST", "/api/token/refresh/", {"refresh": pair["refresh"]})

    assert set(fresh) == {"access", "refresh"}
    for token in (pair["access"], fresh["access"]):
        assert anonymous.call("GET", PATH, Authorization=f"Bearer {token}").status_code == 200
        assert anonymous.send("POST", "/api/token/verify/", {"token": token}) == {}
    assert anonymous.send("POST", "/api/token/verify/", {"token": fresh["refresh"]}) == {}


def test_a_refresh_token_works_once(anonymous: Api) -> None:
    pair = token_pair(UserFactory())

    anonymous.send("POST", "/api/token/refresh/", {"refresh": pair["refresh"]})

    assert anonymous.refused("POST", "/api/token/refresh/", {"refresh": pair["refresh"]}, status=401)
    anonymous.refused("POST", "/api/token/verify/", {"token": pair["refresh"]}, status=401)


def test_sign_out_ends_the_refresh_token(anonymous: Api) -> None:
    pair = token_pair(UserFactory())

    assert anonymous.send("POST", "/api/token/blacklist/", {"refresh": pair["refresh"]}) == {}

    anonymous.refused("POST", "/api/token/refresh/", {"refresh": pair["refresh"]}, status=401)
    anonymous.refused("POST", "/api/token/blacklist/", {"refresh": pair["refresh"]}, status=401)


@pytest.mark.parametrize("change", ["inactive", "deleted", "password"])
def test_a_refresh_token_of_a_changed_user_is_401(anonymous: Api, change: str) -> None:
    user = UserFactory()
    refresh = token_pair(user)["refresh"]
    if change == "deleted":
        user.delete()
    else:
        user.is_active = change != "inactive"
        user.set_password("another long pass phrase")
        user.save()

    anonymous.refused("POST", "/api/token/refresh/", {"refresh": refresh}, status=401)
    anonymous.refused("POST", "/api/token/verify/", {"token": refresh}, status=401)


@pytest.mark.parametrize("path", ["/api/token/refresh/", "/api/token/blacklist/"])
def test_an_access_token_does_not_refresh(anonymous: Api, path: str) -> None:
    anonymous.refused("POST", path, {"refresh": token_pair(UserFactory())["access"]}, status=401)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/api/token/", {}),
        ("/api/token/", {"username": "a"}),
        ("/api/token/", {"username": 1, "password": "x"}),
        ("/api/token/", {"username": "a", "password": None}),
        ("/api/token/", {"username": "a" * 151, "password": "x"}),
        ("/api/token/", {"username": "a", "password": "x" * 1025}),
        ("/api/token/", {"username": "a\u0000", "password": "x"}),
        ("/api/token/", []),
        ("/api/token/refresh/", {}),
        ("/api/token/refresh/", {"refresh": 5}),
        ("/api/token/verify/", {"token": ""}),
        ("/api/token/blacklist/", {"refresh": None}),
    ],
)
def test_bad_bodies_of_token_routes_are_400(anonymous: Api, path: str, sent: Any) -> None:
    assert anonymous.refused("POST", path, sent, status=400)["details"]["fields"]


def test_a_wrong_password_and_an_unknown_name_look_the_same(anonymous: Api) -> None:
    user = UserFactory()
    inactive = UserFactory(is_active=False)

    answers = [
        anonymous.refused("POST", "/api/token/", {"username": name, "password": password}, status=401)
        for name, password in ((user.username, "wrong"), ("nobody", "wrong"), (inactive.username, PASSWORD))
    ]

    assert answers[0] == answers[1] == answers[2]


def test_guessing_is_slowed_down_per_name(anonymous: Api) -> None:
    user, other = UserFactory(), UserFactory()
    wrong = {"username": user.username, "password": "wrong"}
    for number in range(10):
        # An invented proxy header must not make a new client of the same one.
        assert (
            anonymous.call("POST", "/api/token/", wrong, **{"X-Forwarded-For": f"10.0.0.{number}"}).status_code == 401
        )

    response = anonymous.call("POST", "/api/token/", {"username": user.username.upper(), "password": PASSWORD})

    assert (response.status_code, response.json()["code"]) == (429, "RATE_LIMITED")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert response.json()["details"] == {"retry_after": int(response["Retry-After"])}
    anonymous.send("POST", "/api/token/", {"username": other.username, "password": PASSWORD})


def test_sign_ins_that_work_are_not_counted(anonymous: Api) -> None:
    user = UserFactory()

    for _ in range(15):
        anonymous.send("POST", "/api/token/", {"username": user.username, "password": PASSWORD})
