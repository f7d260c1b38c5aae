"""Tokens of the platform: JWTs of another issuer and its auth service, both real servers on this machine (contract
A.2).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from secflow.http import platform
from secflow.http.tokens import token_pair
from tests.api.conftest import Api
from tests.factories import UserFactory

ISSUER, AUDIENCE = "https://id.example.org", "secflow"
PATH = "/app-templates"
GLOBAL = {"name": "a", "scope": "global", "containers": [{"name": "c", "image": "x"}]}


@dataclass
class Platform:
    """A small server: `answer` decides status and body of the next calls; `calls` are the headers it saw."""

    url: str = ""
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def platform_server() -> Iterator[Platform]:
    """A Platform that listens."""
    with serving(Platform()) as server:
        yield server


@contextmanager
def serving(state: Platform) -> Iterator[Platform]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.calls.append((self.command, dict(self.headers)))
            time.sleep(state.delay)
            content = state.body if isinstance(state.body, bytes) else json.dumps(state.body).encode()
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/check"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    platform._believed = platform.TimedCache(platform.CACHED_TOKENS)
    platform.key_set.cache_clear()
    yield
    platform._pool().clear()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """The issuer's key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(private: rsa.RSAPrivateKey) -> str:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def claims(**changes: Any) -> dict[str, Any]:
    made = {"sub": "u-17", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600, "username": "ada"} | changes
    return {name: value for name, value in made.items() if value is not None}


@pytest.fixture
def by_key(settings: Any, key: rsa.RSAPrivateKey) -> None:
    settings.SECFLOW = replace(
        settings.SECFLOW, auth_mode="jwt", auth_jwt_key=pem(key), auth_issuer=ISSUER, auth_audience=AUDIENCE
    )


def bearer(anonymous: Api, token: str, method: str = "GET", body: Any = None) -> Any:
    return anonymous.call(method, PATH, body, Authorization=f"Bearer {token}")


@pytest.mark.parametrize(
    ("extra", "admin"),
    [
        ({}, False),
        ({"role": ["user"]}, False),
        ({"role": ["user", "admin"]}, True),
        ({"role": "admin"}, True),
        ({"roles": ["admin"]}, True),
        ({"platform_role": "super_admin"}, True),
        ({"platform_role": "admin"}, False),
        ({"role": {"admin": True}}, False),
    ],
)
def test_a_token_of_the_issuer_names_user_and_rights(
    anonymous: Api, by_key: None, key: rsa.RSAPrivateKey, extra: dict[str, Any], admin: bool
) -> None:
    token = jwt.encode(claims(**extra), key, algorithm="RS256")

    response = bearer(anonymous, token, "POST", GLOBAL)

    assert response.status_code == (201 if admin else 403)
    if admin:
        assert response.json()["created_by"] == "u-17"


@pytest.mark.parametrize(
    ("user", "status"),
    [
        ({"user_id": 17, "sub": "x"}, 200),
        ({"sub": None, "id": "x"}, 200),
        ({"sub": None}, 401),
        ({"sub": None, "id": True}, 401),
        ({"sub": None, "id": ["x"]}, 401),
        ({"sub": "x" * 65}, 401),
        ({"is_active": False}, 401),
        ({"is_active": "false"}, 401),
        ({"iss": "https://other.example.org"}, 401),
        ({"iss": None}, 401),
        ({"aud": "other"}, 401),
        ({"aud": None}, 401),
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"nbf": 2**40}, 401),
        ({"token_type": "refresh"}, 401),
        ({"token_type": "access"}, 200),
    ],
)
def test_claims_decide(anonymous: Api, by_key: None, key: rsa.RSAPrivateKey, user: dict[str, Any], status: int) -> None:
    assert bearer(anonymous, jwt.encode(claims(**user), key, algorithm="RS256")).status_code == status


def test_only_the_pinned_algorithm_and_key_count(anonymous: Api, by_key: None, key: rsa.RSAPrivateKey) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    header = {"alg": "HS256", "typ": "JWT"}
    signing = b".".join(jwt.utils.base64url_encode(json.dumps(part).encode()) for part in (header, claims()))
    signature = jwt.utils.base64url_encode(hmac.new(pem(key).encode(), signing, hashlib.sha256).digest())
    tokens = {
        "another key": jwt.encode(claims(), other, algorithm="RS256"),
        "another algorithm": jwt.encode(claims(), key, algorithm="PS256"),
        "the public key as a secret": (signing + b"." + signature).decode(),
        "none": jwt.encode(claims(), None, algorithm="none"),
        "an own token": token_pair(UserFactory())["access"],
    }

    assert {case: bearer(anonymous, token).status_code for case, token in tokens.items()} == dict.fromkeys(tokens, 401)


def jwks(**keys: rsa.RSAPrivateKey) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm
    return {
        "keys": [
            algorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": name, "use": "sig", "alg": "RS256"}
            for name, private in keys.items()
        ]
    }


@pytest.fixture
def by_jwks(settings: Any, platform_server: Platform) -> Platform:
    settings.SECFLOW = replace(
        settings.SECFLOW,
        auth_mode="jwt",
        auth_jwt_key=None,
        auth_jwks_url=platform_server.url,
        auth_issuer=ISSUER,
        auth_audience=AUDIENCE,
        auth_timeout_seconds=2,
    )
    return platform_server


def test_keys_are_fetched_once(anonymous: Api, by_jwks: Platform, key: rsa.RSAPrivateKey) -> None:
    by_jwks.body = jwks(k1=key)
    token = jwt.encode(claims(), key, algorithm="RS256", headers={"kid": "k1"})

    assert [bearer(anonymous, token).status_code for _ in range(3)] == [200, 200, 200]
    assert bearer(anonymous, jwt.encode(claims(), key, algorithm="RS256")).status_code == 200  # the only key there is
    assert len(by_jwks.calls) == 1


def test_made_up_key_ids_do_not_bother_the_issuer(anonymous: Api, by_jwks: Platform, key: rsa.RSAPrivateKey) -> None:
    by_jwks.body = jwks(k1=key)
    tokens = [jwt.encode(claims(), key, algorithm="RS256", headers={"kid": f"x{number}"}) for number in range(5)]

    assert [bearer(anonymous, token).status_code for token in tokens] == [401] * 5
    assert len(by_jwks.calls) == 1


def test_a_new_key_is_found(
    anonymous: Api, by_jwks: Platform, key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "JWKS_PAUSE_SECONDS", 0)
    by_jwks.body = jwks(old=key)
    assert bearer(anonymous, jwt.encode(claims(), key, algorithm="RS256", headers={"kid": "old"})).status_code == 200
    renewed = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    by_jwks.body = jwks(new=renewed)

    token = jwt.encode(claims(), renewed, algorithm="RS256", headers={"kid": "new"})

    assert bearer(anonymous, token).status_code == 200


BROKEN: dict[str, Callable[[Platform], None]] = {
    "500": lambda server: setattr(server, "status", 500),
    "no JSON": lambda server: setattr(server, "body", b"<html>"),
    "a list": lambda server: setattr(server, "body", []),
    "slow": lambda server: setattr(server, "delay", 4),
    "too much": lambda server: setattr(server, "body", b'"' + b"x" * 300_000 + b'"'),
    "redirect": lambda server: (setattr(server, "status", 302), server.headers.update(Location="/check"))[0],
}


@pytest.mark.parametrize("case", BROKEN)
def test_keys_that_cannot_be_read_are_an_outage(
    anonymous: Api, by_jwks: Platform, key: rsa.RSAPrivateKey, case: str
) -> None:
    BROKEN[case](by_jwks)

    response = bearer(anonymous, jwt.encode(claims(), key, algorithm="RS256", headers={"kid": "k1"}))

    assert (response.status_code, response.json()["code"]) == (500, "INTERNAL_ERROR")
    assert response["Retry-After"]


@pytest.fixture
def by_service(settings: Any, platform_server: Platform) -> Platform:
    settings.SECFLOW = replace(
        settings.SECFLOW, auth_mode="service", auth_service_url=platform_server.url, auth_timeout_seconds=2
    )
    platform_server.body = {"id": 42, "username": "ada", "is_active": True, "role": ["user"]}
    return platform_server


def test_the_service_sees_the_same_header_once_a_minute(anonymous: Api, by_service: Platform) -> None:
    assert [bearer(anonymous, "opaque-token").status_code for _ in range(3)] == [200, 200, 200]

    [(method, headers)] = by_service.calls
    assert (method, headers["Authorization"]) == ("POST", "Bearer opaque-token")


def test_the_service_names_user_and_rights(anonymous: Api, by_service: Platform) -> None:
    by_service.body |= {"role": ["admin"]}

    made = bearer(anonymous, "t", "POST", GLOBAL).json()

    assert made["created_by"] == "42"


def test_without_a_cache_every_call_asks(anonymous: Api, by_service: Platform, settings: Any) -> None:
    settings.SECFLOW = replace(settings.SECFLOW, auth_cache_seconds=0)
    assert bearer(anonymous, "t").status_code == 200
    by_service.status = 401

    assert bearer(anonymous, "t").status_code == 401


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"id": None}, 401),
        ({"id": ""}, 401),
        ({"is_active": False}, 401),
    ],
)
def test_a_user_the_service_does_not_vouch_for_is_401(
    anonymous: Api, by_service: Platform, answer: dict[str, Any], status: int
) -> None:
    by_service.body |= answer

    assert bearer(anonymous, "t").status_code == status


def test_only_401_of_the_service_is_a_bad_token(anonymous: Api, by_service: Platform) -> None:
    by_service.status = 401
    assert bearer(anonymous, "t").status_code == 401
    for status in (204, 302, 400, 403, 404, 500, 503):
        by_service.status = status
        assert bearer(anonymous, "t").status_code == 500, status


@pytest.mark.parametrize("case", BROKEN)
def test_a_service_that_cannot_be_asked_is_an_outage(anonymous: Api, by_service: Platform, case: str) -> None:
    BROKEN[case](by_service)

    response = bearer(anonymous, "t")

    assert (response.status_code, response.json()["code"]) == (500, "INTERNAL_ERROR")
    assert response["Retry-After"]


def test_a_service_that_is_gone_is_an_outage(anonymous: Api, settings: Any) -> None:
    with serving(Platform()) as server:
        url = server.url
    settings.SECFLOW = replace(settings.SECFLOW, auth_mode="service", auth_service_url=url)

    response = bearer(anonymous, "t")

    assert response.status_code == 500
    assert url not in response.content.decode()


def test_other_modes_issue_no_tokens(anonymous: Api, by_service: Platform) -> None:
    for path in ("/api/token/", "/api/token/refresh/", "/api/token/verify/", "/api/token/blacklist/"):
        anonymous.refused("POST", path, {"username": "a", "password": "b"}, status=404)


def test_the_cache_is_bounded_and_forgets() -> None:
    cache = platform.TimedCache(2)
    for name in "abc":
        cache.put(name, name, 60)
    cache.put("c", "old", 0)

    assert [cache.get(name) for name in "abc"] == [None, "b", None]
